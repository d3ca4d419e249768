/*
 * json_read.c - walks a document that json_parse() accepted: members, elements, and what strings and numbers mean.
 *
 * It trusts the grammar, not the memory: given something else it finds other values or none, and never reads outside
 * the slice. Pure functions.
 */
#include "server/json.h"
#include "server/json_skip.h"
#include "server/utf8.h"

static bool is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const unsigned char *skip_space(const unsigned char *p, const unsigned char *end) {
    while (p < end && is_space(*p)) p++;
    return p;
}

enum json_type json_type_of(unsigned char first) {
    switch (first) {
    case 'n': return JSON_NULL;
    case 'f': return JSON_FALSE;
    case 't': return JSON_TRUE;
    case '"': return JSON_STRING;
    case '[': return JSON_ARRAY;
    case '{': return JSON_OBJECT;
    default: return JSON_NUMBER;
    }
}

/* From behind the opening quote to behind the closing one. */
static const unsigned char *skip_string(const unsigned char *p, const unsigned char *end) {
    while (p < end) {
#if defined(__SSE2__)
        if (end - p >= 16) {
            __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)p);
            __m128i special =
                _mm_or_si128(_mm_cmpeq_epi8(chunk, _mm_set1_epi8('"')), _mm_cmpeq_epi8(chunk, _mm_set1_epi8('\\')));
            unsigned mask = (unsigned)_mm_movemask_epi8(special);
            if (!mask) {
                p += 16;
                continue;
            }
            p += __builtin_ctz(mask);
        }
#endif
        if (*p == '"') return p + 1;
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    }
    return end;
}

/* From the first byte of a value to behind its last. */
static const unsigned char *skip_value(const unsigned char *p, const unsigned char *end) {
    if (*p == '"') return skip_string(p + 1, end);
    if (*p == '{' || *p == '[') return json_skip_container(p, end);
    while (p < end && *p != ',' && *p != ']' && *p != '}' && !is_space(*p)) p++;
    return p;
}

void json_read(struct json_reader *reader, struct json_value container) {
    const unsigned char *p = container.raw.data;
    bool walks = (container.type == JSON_ARRAY || container.type == JSON_OBJECT) && container.raw.size >= 2;
    reader->at = walks ? p + 1 : p;
    reader->end = walks ? p + container.raw.size - 1 : p; /* without the closing bracket */
    reader->first = true;
}

/* To the next element or name. */
static bool next(struct json_reader *r) {
    r->at = skip_space(r->at, r->end);
    if (r->at == r->end) return false;
    if (!r->first) {
        if (*r->at != ',') return false;
        r->at = skip_space(r->at + 1, r->end);
    }
    r->first = false;
    return r->at < r->end;
}

static void take_value(struct json_reader *r, struct json_value *out) {
    const unsigned char *begin = r->at;
    r->at = skip_value(begin, r->end);
    out->type = json_type_of(*begin);
    out->raw = velocity_bytes(begin, (size_t)(r->at - begin));
}

bool json_next_element(struct json_reader *reader, struct json_value *out) {
    if (!next(reader)) return false;
    take_value(reader, out);
    return true;
}

/* The next member's name; the reader then stands on its value. */
static bool take_name(struct json_reader *reader, velocity_slice *name) {
    const unsigned char *begin;
    if (!next(reader) || *reader->at != '"') return false;
    begin = reader->at + 1;
    reader->at = skip_string(begin, reader->end);
    if (reader->at == begin) return false;
    *name = velocity_bytes(begin, (size_t)(reader->at - begin) - 1);
    reader->at = skip_space(reader->at, reader->end);
    if (reader->at == reader->end || *reader->at != ':') return false;
    reader->at = skip_space(reader->at + 1, reader->end);
    return reader->at < reader->end;
}

bool json_next_member(struct json_reader *reader, struct json_member *out) {
    if (!take_name(reader, &out->name)) return false;
    take_value(reader, &out->value);
    return true;
}

bool json_next_name(struct json_reader *reader, velocity_slice *name, enum json_type *type) {
    if (!take_name(reader, name)) return false;
    *type = json_type_of(*reader->at);
    return true;
}

void json_pass(struct json_reader *reader, struct json_value *out) {
    take_value(reader, out);
}

void json_enter(struct json_reader *reader) {
    reader->at++;
    reader->first = true;
}

void json_leave(struct json_reader *reader) {
    if (reader->at < reader->end) reader->at++;
    reader->first = false;
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static bool hex4(const unsigned char *p, const unsigned char *end, uint32_t *out) {
    uint32_t n = 0;
    if (end - p < 4) return false;
    for (int i = 0; i < 4; i++) {
        unsigned char lower = p[i] | 0x20;
        if (p[i] >= '0' && p[i] <= '9')
            n = n << 4 | (uint32_t)(p[i] - '0');
        else if (lower >= 'a' && lower <= 'f')
            n = n << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
    }
    *out = n;
    return true;
}

/* *p stands behind "\u". A pair of surrogates is one code point; one alone is what `lone` says. */
static bool decode_unicode(const unsigned char **p, const unsigned char *end, bool lone, uint32_t *out) {
    uint32_t high, low;
    if (!hex4(*p, end, &high)) return false;
    *p += 4;
    *out = high;
    if (high < 0xD800 || high > 0xDFFF) return true;
    if (high > 0xDBFF || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u' || !hex4(*p + 2, end, &low)) return lone;
    if (low < 0xDC00 || low > 0xDFFF) return lone;
    *p += 6;
    *out = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* The byte that a two-character escape stands for; 0: none does. */
static unsigned char short_escape(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

/* Resolves the escapes of what stands between quotes. What comes out is never longer than what went in. `lone`: a
 * surrogate alone has the three bytes of its code point; else it is false. */
static bool unescape(velocity_slice raw, bool lone, char *buffer, size_t *size) {
    const unsigned char *p = raw.data, *end = p + raw.size;
    unsigned char *out = (unsigned char *)buffer;
    while (p < end) {
        const unsigned char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((escape ? escape : end) - p);
        memcpy(out, p, plain);
        out += plain;
        p += plain;
        if (!escape) break;
        if (end - p < 2) return false;
        if (p[1] == 'u') {
            uint32_t c;
            p += 2;
            if (!decode_unicode(&p, end, lone, &c)) return false;
            out += utf8_encode(c, out);
        } else {
            if (!(*out = short_escape(p[1]))) return false;
            out++;
            p += 2;
        }
    }
    *size = (size_t)(out - (unsigned char *)buffer);
    return true;
}

static velocity_slice between_quotes(struct json_value string) {
    if (string.type != JSON_STRING || string.raw.size < 2) return velocity_bytes("", 0);
    return velocity_bytes((const char *)string.raw.data + 1, string.raw.size - 2);
}

size_t json_string_buffer_bytes(struct json_value string) {
    velocity_slice raw = between_quotes(string);
    return raw.size && memchr(raw.data, '\\', raw.size) ? raw.size : 0;
}

bool json_string(struct json_value string, char *buffer, velocity_slice *out) {
    velocity_slice raw = between_quotes(string);
    size_t size;
    if (string.type != JSON_STRING) return false;
    if (json_string_buffer_bytes(string) == 0) {
        *out = raw;
        return true;
    }
    if (!unescape(raw, false, buffer, &size)) return false;
    *out = velocity_bytes(buffer, size);
    return true;
}

bool json_name_is_plain(velocity_slice name) {
    return name.size == 0 || !memchr(name.data, '\\', name.size);
}

velocity_slice json_name_bytes(velocity_slice name, char *buffer) {
    size_t size;
    if (json_name_is_plain(name) || !unescape(name, true, buffer, &size)) return name;
    return velocity_bytes(buffer, size);
}

int json_field(const struct json_member *member, const char *const *names, size_t count, uint64_t *seen) {
    char buffer[6 * JSON_FIELD_BYTES]; /* every character as \uXXXX */
    velocity_slice name = member->name;
    size_t size;
    if (json_name_is_plain(name)) return field_index(name, names, count, seen);
    if (name.size > sizeof buffer || !unescape(name, false, buffer, &size)) return FIELD_UNKNOWN;
    return field_index(velocity_bytes(buffer, size), names, count, seen);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static bool digits_u64(const unsigned char *p, size_t size, uint64_t *out) {
    uint64_t n = 0;
    if (size == 0) return false;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n)) return false;
    }
    *out = n;
    return true;
}

bool json_u64(struct json_value number, uint64_t *out) {
    return number.type == JSON_NUMBER && digits_u64(number.raw.data, number.raw.size, out);
}

bool json_i64(struct json_value number, int64_t *out) {
    const unsigned char *p = number.raw.data;
    bool negative = number.type == JSON_NUMBER && number.raw.size > 0 && *p == '-';
    uint64_t magnitude;
    if (number.type != JSON_NUMBER || !digits_u64(p + negative, number.raw.size - negative, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool json_bool(struct json_value value, bool *out) {
    if (value.type != JSON_TRUE && value.type != JSON_FALSE) return false;
    *out = value.type == JSON_TRUE;
    return true;
}
