/*
 * json.c - is it JSON? One pass over a document, see json.h. The reader is json_read.c.
 *
 * The scanner is a loop over values with one bit a level: is the container that we are in an object? All pointers stay
 * within [begin, end]; a byte is read only after p < end was seen. Pure functions.
 */
#include "server/json.h"
#include "server/json_run.h"
#include "server/utf8.h"

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

static const char too_short[] = "the document ends too early";

/*
 * The functions below take where they begin and return where they end, so that the place stays in a register; NULL is a
 * failure, which is noted here.
 */
struct scan {
    const unsigned char *end;
    const unsigned char *bad; /* what can't be */
    const char *reason;
};

static const unsigned char *fail(struct scan *s, const unsigned char *at, const char *reason) {
    s->bad = at;
    s->reason = at < s->end ? reason : too_short;
    return NULL;
}

static inline uint64_t load8(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static const unsigned char *skip_spaces(const unsigned char *p, const unsigned char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
        while (end - p >= 8 && load8(p) == EIGHT(' ')) p += 8; /* indentation */
    }
    return p;
}

static inline const unsigned char *skip_space(const unsigned char *p, const unsigned char *end) {
    return p<end && * p> ' ' ? p : skip_spaces(p, end);
}

static bool is_hex(unsigned char c) {
    unsigned char lower = c | 0x20;
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f');
}

/* p is at a backslash. */
static const unsigned char *scan_escape(struct scan *s, const unsigned char *p) {
    if (++p == s->end) return fail(s, p, too_short);
    switch (*p++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return p;
    case 'u':
        for (int i = 0; i < 4; i++, p++)
            if (p == s->end || !is_hex(*p)) return fail(s, p, "\\u needs four hexadecimal digits");
        return p;
    default: return fail(s, p - 1, "no such escape");
    }
}

/* From behind the opening quote to behind the closing one. */
static const unsigned char *scan_string(struct scan *s, const unsigned char *p) {
    const unsigned char *end = s->end;
    while ((p = json_plain_run(p, end)) < end) {
        if (*p == '"') return p + 1;
        if (*p < 0x20) return fail(s, p, "a control character must be escaped");
        if (*p == '\\') {
            if (!(p = scan_escape(s, p))) return NULL;
            continue;
        }
        do {
            size_t size = utf8_sequence(p, end);
            if (size == 0) return fail(s, p, "a string must be UTF-8");
            p += size;
        } while (p < end && *p >= 0x80);
    }
    return fail(s, p, too_short);
}

static inline const unsigned char *skip_digits(const unsigned char *p, const unsigned char *end) {
    while (end - p >= 8) {
        uint64_t word = load8(p);
        /* All high halves are 3, and adding 6 carries none of the low ones over 9. */
        if (((word & EIGHT(0xF0)) | ((word + EIGHT(6)) & EIGHT(0xF0)) >> 4) != EIGHT(0x33)) break;
        p += 8;
    }
    while (p < end && (unsigned)*p - '0' <= 9) p++;
    return p;
}

/* p is at the minus or the first digit. */
static const unsigned char *scan_number(struct scan *s, const unsigned char *p) {
    const unsigned char *end = s->end, *digits;
    if (*p == '-') p++;
    digits = p;
    p = skip_digits(p, end);
    if (p == digits) return fail(s, p, "a digit is expected");
    if (*digits == '0' && p - digits > 1) return fail(s, digits + 1, "a number has no leading zero");
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) return fail(s, p, "a digit is expected");
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) return fail(s, p, "a digit is expected");
    }
    return p;
}

static const unsigned char *scan_literal(struct scan *s, const unsigned char *p, const char *word) {
    for (; *word; word++, p++)
        if (p == s->end || *p != (unsigned char)*word) return fail(s, p, "no such literal");
    return p;
}

/* A value that is no container. */
static inline const unsigned char *scan_scalar(struct scan *s, const unsigned char *p) {
    if (*p == '"') return scan_string(s, p + 1);
    if (*p == '-' || (unsigned)*p - '0' <= 9) return scan_number(s, p);
    if (*p == 't') return scan_literal(s, p, "true");
    if (*p == 'f') return scan_literal(s, p, "false");
    if (*p == 'n') return scan_literal(s, p, "null");
    return fail(s, p, "a value is expected");
}

/* A member's name and the colon. */
static inline const unsigned char *scan_name(struct scan *s, const unsigned char *p) {
    p = skip_space(p, s->end);
    if (p == s->end || *p != '"') return fail(s, p, "a member's name in quotes is expected");
    if (!(p = scan_string(s, p + 1))) return NULL;
    p = skip_space(p, s->end);
    if (p == s->end || *p != ':') return fail(s, p, "a colon is expected");
    return p + 1;
}

/* One value with all that is in it. */
static const unsigned char *scan_value(struct scan *s, const unsigned char *p) {
    const unsigned char *end = s->end;
    uint64_t objects[JSON_MAX_DEPTH / 64] = {0}; /* bit d: the container at depth d is an object */
    unsigned depth = 0;
    bool object = false;
    for (;;) {
        p = skip_space(p, end);
        if (p == end) return fail(s, p, too_short);
        if (*p == '{' || *p == '[') {
            if (depth == JSON_MAX_DEPTH) return fail(s, p, "nested too deeply");
            object = *p == '{';
            uint64_t bit = UINT64_C(1) << depth % 64;
            objects[depth / 64] = object ? objects[depth / 64] | bit : objects[depth / 64] & ~bit;
            depth++;
            p = skip_space(p + 1, end);
            if (p == end || *p != (object ? '}' : ']')) {
                if (object && !(p = scan_name(s, p))) return NULL;
                continue;
            }
        } else {
            if (!(p = scan_scalar(s, p)) || depth == 0) return p;
            p = skip_space(p, end);
        }
        /* Behind a value, or at the end of an empty container: close what ends here. */
        while (p < end && *p == (object ? '}' : ']')) {
            p++;
            if (--depth == 0) return p;
            object = objects[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
            p = skip_space(p, end);
        }
        if (p == end || *p != ',') return fail(s, p, object ? "a comma or } is expected" : "a comma or ] is expected");
        p++;
        if (object && !(p = scan_name(s, p))) return NULL;
    }
}

bool json_parse(velocity_slice document, struct json_value *out, struct json_error *error) {
    const unsigned char *begin = document.size ? document.data : (const void *)"", *end = begin + document.size;
    const unsigned char *first = skip_space(begin, end), *behind, *rest;
    struct scan s = {.end = end};
    if ((behind = scan_value(&s, first))) {
        rest = skip_space(behind, end);
        if (rest == end) {
            out->type = json_type_of(*first);
            out->raw = velocity_bytes(first, (size_t)(behind - first));
            return true;
        }
        fail(&s, rest, "something follows the value");
    }
    if (error) *error = (struct json_error){(size_t)(s.bad - begin), s.reason};
    return false;
}

bool json_valid(velocity_slice document, struct json_error *error) {
    struct json_value value;
    return json_parse(document, &value, error);
}
