/*
 * target.c - see target.h. Pure functions.
 */
#include "http/target.h"
#include "server/base64.h"
#include "server/decimal.h"

static bool refuse(const char **reason, const char *why) {
    *reason = why;
    return false;
}

static unsigned char lower(unsigned char c) {
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* The size of "http://" or "https://" at the beginning, in any case; 0: neither. */
static size_t scheme_size(velocity_slice raw) {
    static const char *const schemes[] = {"http://", "https://"};
    const unsigned char *p = raw.data;
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(schemes[i]), same = 0;
        while (same < size && same < raw.size && lower(p[same]) == (unsigned char)schemes[i][same]) same++;
        if (same == size) return size;
    }
    return 0;
}

static void split_query(velocity_slice rest, struct target *out) {
    const char *mark = rest.size ? memchr(rest.data, '?', rest.size) : NULL;
    size_t path_size = mark ? (size_t)(mark - (const char *)rest.data) : rest.size;
    out->path = velocity_bytes(rest.data, path_size);
    out->has_query = mark != NULL;
    if (mark) out->query = velocity_bytes(mark + 1, rest.size - path_size - 1);
}

static bool parse_absolute(velocity_slice raw, struct target *out, const char **reason) {
    size_t scheme = scheme_size(raw), size = 0;
    const char *authority = (const char *)raw.data + scheme;
    if (scheme == 0) return refuse(reason, "a request target begins with / or http://");
    while (scheme + size < raw.size && authority[size] != '/' && authority[size] != '?') size++;
    if (size == 0) return refuse(reason, "the request target names no host");
    out->authority = velocity_bytes(authority, size);
    split_query(velocity_bytes(authority + size, raw.size - scheme - size), out);
    if (out->path.size == 0) out->path = velocity_str("/");
    return true;
}

bool target_parse(velocity_slice raw, struct target *out, const char **reason) {
    const unsigned char *p = raw.data;
    *out = (struct target){.path = {"", 0}, .query = {"", 0}, .authority = {"", 0}};
    if (raw.size == 0) return refuse(reason, "the request target is empty");
    for (size_t i = 0; i < raw.size; i++) {
        if (p[i] <= ' ' || p[i] == 0x7F) return refuse(reason, "a space or control character must be escaped");
        if (p[i] == '#') return refuse(reason, "a # must be escaped as %23");
    }
    if (raw.size == 1 && p[0] == '*') {
        out->asterisk = true;
        return true;
    }
    if (p[0] != '/') return parse_absolute(raw, out, reason);
    split_query(raw, out);
    return true;
}

static int hex(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool target_decode(velocity_slice raw, bool plus_is_space, char *buffer, velocity_slice *out) {
    const unsigned char *p = raw.data;
    size_t plain = 0, size;
    while (plain < raw.size && p[plain] != '%' && !(plus_is_space && p[plain] == '+')) plain++;
    if (plain == raw.size) {
        *out = raw;
        return true;
    }
    if ((const void *)buffer != raw.data) memcpy(buffer, p, plain);
    size = plain;
    for (size_t i = plain; i < raw.size; i++) {
        unsigned char c = p[i];
        if (c == '%') {
            int high = raw.size - i > 2 ? hex(p[i + 1]) : -1, low = raw.size - i > 2 ? hex(p[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (unsigned char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        buffer[size++] = (char)c;
    }
    *out = velocity_bytes(buffer, size);
    return true;
}

void query_begin(struct query *q, velocity_slice raw_query, char *buffer) {
    q->rest = raw_query;
    q->buffer = buffer;
}

/* Takes what stands before `separator` off *text, the separator too. False: there was no separator. */
static bool cut(velocity_slice *text, char separator, velocity_slice *head) {
    const char *begin = text->data, *at = text->size ? memchr(begin, separator, text->size) : NULL;
    head->data = begin;
    head->size = at ? (size_t)(at - begin) : text->size;
    *text = at ? velocity_bytes(at + 1, text->size - head->size - 1) : velocity_bytes("", 0);
    return at != NULL;
}

enum query_result query_next(struct query *q, velocity_slice *name, velocity_slice *value) {
    velocity_slice piece, raw_name;
    do {
        if (q->rest.size == 0) return QUERY_END;
        cut(&q->rest, '&', &piece);
    } while (piece.size == 0);
    cut(&piece, '=', &raw_name);
    if (!target_decode(raw_name, true, q->buffer, name)) return QUERY_MALFORMED;
    q->buffer += raw_name.size;
    if (!target_decode(piece, true, q->buffer, value)) return QUERY_MALFORMED;
    q->buffer += piece.size;
    return QUERY_PARAMETER;
}

bool query_u64(velocity_slice value, uint64_t minimum, uint64_t maximum, uint64_t *out) {
    uint64_t n;
    if (!decimal_u64(value, &n) || n < minimum || n > maximum) return false;
    *out = n;
    return true;
}

static bool equals(velocity_slice value, const char *text) {
    return value.size == strlen(text) && memcmp(value.data, text, value.size) == 0;
}

bool query_bool(velocity_slice value, bool *out) {
    if (!equals(value, "true") && !equals(value, "false")) return false;
    *out = equals(value, "true");
    return true;
}

bool query_base64url(velocity_slice value, char *buffer, velocity_slice *out) {
    size_t size;
    if (!base64url_decode(value, buffer, &size)) return false;
    *out = velocity_bytes(buffer, size);
    return true;
}
