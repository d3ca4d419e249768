/*
 * json.c - is it JSON? One pass over a document, see json.h. The reader is json_read.c.
 *
 * The scanner is a loop over values with one bit a level: is the container that we are in an object? All pointers stay
 * within [begin, end]; a byte is read only after p < end was seen. Pure functions.
 */
#include "server/json.h"
#include "server/json_run.h"
#include "server/utf8.h"

#define EIGHT_SPACES UINT64_C(0x2020202020202020)

static const char too_short[] = "the document ends too early";

struct scan {
    const unsigned char *at; /* where scanning goes on, or what can't be */
    const unsigned char *end;
    const char *reason; /* NULL while all is well */
};

static bool fail(struct scan *s, const unsigned char *at, const char *reason) {
    s->at = at;
    s->reason = at < s->end ? reason : too_short;
    return false;
}

static inline const unsigned char *skip_space(const unsigned char *p, const unsigned char *end) {
    while (p < end && *p <= ' ') {
        uint64_t word;
        while (end - p >= 8 && (memcpy(&word, p, 8), word == EIGHT_SPACES)) p += 8;
        if (p == end || (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')) break;
        p++;
    }
    return p;
}

static bool hex4(const unsigned char *p, const unsigned char *end, const unsigned char **bad) {
    for (int i = 0; i < 4; i++, p++) {
        unsigned char lower = p < end ? *p | 0x20 : 0;
        if (p == end || !((*p >= '0' && *p <= '9') || (lower >= 'a' && lower <= 'f'))) {
            *bad = p;
            return false;
        }
    }
    return true;
}

/* At a backslash; moves behind the escape. */
static bool scan_escape(struct scan *s) {
    const unsigned char *p = s->at + 1, *bad;
    if (p == s->end) return fail(s, p, too_short);
    switch (*p) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': s->at = p + 1; return true;
    case 'u':
        if (!hex4(p + 1, s->end, &bad)) return fail(s, bad, "\\u needs four hexadecimal digits");
        s->at = p + 5;
        return true;
    default: return fail(s, p, "no such escape");
    }
}

/* Behind the opening quote; moves behind the closing one. */
static bool scan_string(struct scan *s) {
    for (;;) {
        const unsigned char *p = json_plain_run(s->at, s->end);
        if (p == s->end) return fail(s, p, too_short);
        s->at = p;
        if (*p == '"') {
            s->at = p + 1;
            return true;
        }
        if (*p == '\\') {
            if (!scan_escape(s)) return false;
            continue;
        }
        if (*p < 0x20) return fail(s, p, "a control character must be escaped");
        do {
            size_t size = utf8_sequence(p, s->end);
            if (size == 0) return fail(s, p, "a string must be UTF-8");
            p += size;
        } while (p < s->end && *p >= 0x80);
        s->at = p;
    }
}

static inline const unsigned char *skip_digits(const unsigned char *p, const unsigned char *end) {
    while (p < end && (unsigned)*p - '0' <= 9) p++;
    return p;
}

/* At the minus or the first digit. */
static bool scan_number(struct scan *s) {
    const unsigned char *p = s->at, *end = s->end, *digits;
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
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) return fail(s, p, "a digit is expected");
    }
    s->at = p;
    return true;
}

static bool scan_literal(struct scan *s, const char *word, size_t size) {
    for (size_t i = 0; i < size; i++) {
        const unsigned char *p = s->at + i;
        if (p == s->end || *p != (unsigned char)word[i]) return fail(s, p, "no such literal");
    }
    s->at += size;
    return true;
}

/* A value that is no container. */
static bool scan_scalar(struct scan *s) {
    switch (*s->at) {
    case '"': s->at++; return scan_string(s);
    case 't': return scan_literal(s, "true", 4);
    case 'f': return scan_literal(s, "false", 5);
    case 'n': return scan_literal(s, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return scan_number(s);
    default: return fail(s, s->at, "a value is expected");
    }
}

/* A member's name and the colon. */
static bool scan_name(struct scan *s) {
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != '"') return fail(s, s->at, "a member's name in quotes is expected");
    s->at++;
    if (!scan_string(s)) return false;
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != ':') return fail(s, s->at, "a colon is expected");
    s->at++;
    return true;
}

/* One value with all that is in it. */
static bool scan_value(struct scan *s) {
    uint64_t objects[JSON_MAX_DEPTH / 64] = {0}; /* bit d: the container at depth d is an object */
    unsigned depth = 0;
    bool object = false;
    for (;;) {
        s->at = skip_space(s->at, s->end);
        if (s->at == s->end) return fail(s, s->at, too_short);
        if (*s->at == '{' || *s->at == '[') {
            if (depth == JSON_MAX_DEPTH) return fail(s, s->at, "nested too deeply");
            object = *s->at == '{';
            uint64_t bit = UINT64_C(1) << depth % 64;
            objects[depth / 64] = object ? objects[depth / 64] | bit : objects[depth / 64] & ~bit;
            depth++;
            s->at = skip_space(s->at + 1, s->end);
            if (s->at == s->end || *s->at != (object ? '}' : ']')) {
                if (object && !scan_name(s)) return false;
                continue;
            }
        } else if (!scan_scalar(s)) {
            return false;
        } else if (depth == 0) {
            return true;
        } else {
            s->at = skip_space(s->at, s->end);
        }
        /* Behind a value, or at the end of an empty container: close what ends here. */
        while (s->at < s->end && *s->at == (object ? '}' : ']')) {
            s->at++;
            if (--depth == 0) return true;
            object = objects[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
            s->at = skip_space(s->at, s->end);
        }
        if (s->at == s->end || *s->at != ',')
            return fail(s, s->at, object ? "a comma or } is expected" : "a comma or ] is expected");
        s->at++;
        if (object && !scan_name(s)) return false;
    }
}

bool json_parse(velocity_slice document, struct json_value *out, struct json_error *error) {
    const unsigned char *begin = document.size ? document.data : (const void *)"", *end = begin + document.size,
                        *first = skip_space(begin, end);
    struct scan s = {first, end, NULL};
    if (scan_value(&s)) {
        const unsigned char *rest = skip_space(s.at, end);
        if (rest == end) {
            out->type = json_type_of(*first);
            out->raw = velocity_bytes(first, (size_t)(s.at - first));
            return true;
        }
        fail(&s, rest, "something follows the value");
    }
    if (error) *error = (struct json_error){(size_t)(s.at - begin), s.reason};
    return false;
}

bool json_valid(velocity_slice document, struct json_error *error) {
    struct json_value value;
    return json_parse(document, &value, error);
}
