/*
 * headers.c - entity tags and media types, see headers.h. Host is host.c. Pure functions.
 */
#include "http/headers.h"
#include "server/decimal.h"
#include "server/utf8.h"

static bool is_blank(unsigned char c) {
    return c == ' ' || c == '\t';
}

velocity_slice header_trim(velocity_slice value) {
    const unsigned char *p = value.data;
    size_t begin = 0, end = value.size;
    while (begin < end && is_blank(p[begin])) begin++;
    while (end > begin && is_blank(p[end - 1])) end--;
    return begin == end ? velocity_bytes("", 0) : velocity_bytes(p + begin, end - begin);
}

static unsigned char lower(unsigned char c) {
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool header_is(velocity_slice value, const char *expected) {
    const unsigned char *p = value.data;
    if (value.size != strlen(expected)) return false;
    for (size_t i = 0; i < value.size; i++)
        if (lower(p[i]) != lower((unsigned char)expected[i])) return false;
    return true;
}

bool content_length_parse(velocity_slice value, uint64_t *out) {
    velocity_slice digits = header_trim(value);
    const unsigned char *p = digits.data;
    uint64_t n = 0;
    if (digits.size == 0) return false;
    for (size_t i = 0; i < digits.size; i++) {
        unsigned digit = (unsigned)p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n)) return false;
    }
    *out = n;
    return true;
}

/* ---- entity tags (RFC 9110, section 8.8.3) --------------------------------------------------------------------- */

size_t etag_format(uint64_t version, char out[ETAG_BYTES]) {
    size_t digits = decimal_format_u64(version, out + 1);
    out[0] = '"';
    out[1 + digits] = '"';
    return digits + 2;
}

/* An entity tag at the beginning of `text`: how many bytes it takes; 0: there is none. */
static size_t take_etag(velocity_slice text, struct etag *out) {
    const unsigned char *p = text.data;
    size_t at = 0, begin;
    out->weak = text.size >= 2 && p[0] == 'W' && p[1] == '/';
    if (out->weak) at = 2;
    if (at == text.size || p[at] != '"') return 0;
    begin = ++at;
    while (at < text.size && p[at] != '"') {
        if (p[at] <= ' ' || p[at] == 0x7F) return 0;
        at++;
    }
    if (at == text.size) return 0;
    out->version = 0;
    out->ours = decimal_u64(velocity_bytes(p + begin, at - begin), &out->version);
    return at + 1;
}

/* Empty elements are passed over, as RFC 9110 asks of who reads a list. */
static velocity_slice skip_separators(velocity_slice list) {
    const unsigned char *p = list.data;
    size_t at = 0;
    while (at < list.size && (is_blank(p[at]) || p[at] == ',')) at++;
    return at == list.size ? velocity_bytes("", 0) : velocity_bytes(p + at, list.size - at);
}

/* After a tag: white space, then a comma or the end. */
static bool ends_element(velocity_slice rest) {
    velocity_slice next = header_trim(rest);
    return next.size == 0 || *(const char *)next.data == ',';
}

bool etag_condition_parse(velocity_slice value, struct etag_condition *out) {
    velocity_slice rest = header_trim(value);
    *out = (struct etag_condition){.list = rest};
    if (rest.size == 1 && *(const char *)rest.data == '*') {
        *out = (struct etag_condition){.any = true, .list = {"", 0}};
        return true;
    }
    for (rest = skip_separators(rest); rest.size; rest = skip_separators(rest)) {
        struct etag tag;
        size_t size = take_etag(rest, &tag);
        if (size == 0) return false;
        rest = velocity_bytes((const char *)rest.data + size, rest.size - size);
        if (!ends_element(rest)) return false;
        out->count++;
    }
    return out->count > 0;
}

bool etag_next(struct etag_condition *c, struct etag *out) {
    velocity_slice rest = skip_separators(c->list);
    size_t size = rest.size ? take_etag(rest, out) : 0;
    c->list = size ? velocity_bytes((const char *)rest.data + size, rest.size - size) : velocity_bytes("", 0);
    return size != 0;
}

static bool lists(const struct etag_condition *c, uint64_t version, bool weak_too) {
    struct etag_condition left = *c;
    struct etag tag;
    while (etag_next(&left, &tag))
        if (tag.ours && tag.version == version && (weak_too || !tag.weak)) return true;
    return false;
}

bool etag_if_match(const struct etag_condition *c, uint64_t version) {
    return version != VELOCITY_ABSENT && (c->any || lists(c, version, false));
}

bool etag_if_none_match(const struct etag_condition *c, uint64_t version) {
    return version == VELOCITY_ABSENT || !(c->any || lists(c, version, true));
}

bool etag_single_version(const struct etag_condition *c, uint64_t *version) {
    struct etag_condition left = *c;
    struct etag tag;
    if (c->any || c->count != 1 || !etag_next(&left, &tag) || tag.weak || !tag.ours) return false;
    /* These two mean something else to a batch, and no key stands at them. */
    if (tag.version == VELOCITY_ABSENT || tag.version == VELOCITY_EXISTS) return false;
    *version = tag.version;
    return true;
}

/* ---- media types (RFC 9110, sections 5.6.6 and 8.3.1) ----------------------------------------------------------- */

static bool is_token_char(unsigned char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_end(const unsigned char *p, size_t at, size_t size) {
    while (at < size && is_token_char(p[at])) at++;
    return at;
}

/* Behind a quoted string that begins at `at`; 0: it is malformed. */
static size_t quoted_end(const unsigned char *p, size_t at, size_t size) {
    for (at++; at < size && p[at] != '"'; at++) {
        if (p[at] == '\\' && ++at == size) return 0;
        if ((p[at] < ' ' && p[at] != '\t') || p[at] == 0x7F) return 0;
    }
    return at < size ? at + 1 : 0;
}

static size_t skip_blanks(const unsigned char *p, size_t at, size_t size) {
    while (at < size && is_blank(p[at])) at++;
    return at;
}

/* The value may be a quoted string, which is UTF-8 as well as the token is. */
static bool is_other_charset(velocity_slice name, velocity_slice value) {
    const unsigned char *p = value.data;
    bool quoted = value.size > 1 && *p == '"';
    return header_is(name, "charset") && !header_is(quoted ? velocity_bytes(p + 1, value.size - 2) : value, "utf-8");
}

/* *( OWS ";" OWS [ name "=" ( token / quoted string ) ] ) up to the end. */
static bool parameters_valid(const unsigned char *p, size_t at, size_t size, bool *other_charset) {
    while (at < size) {
        size_t name, value;
        at = skip_blanks(p, at, size);
        if (at == size || p[at] != ';') return false;
        name = skip_blanks(p, at + 1, size);
        at = token_end(p, name, size);
        if (at == name) continue; /* an empty parameter: another ; or the end must follow */
        if (at == size || p[at] != '=') return false;
        value = at + 1;
        at = value < size && p[value] == '"' ? quoted_end(p, value, size) : token_end(p, value, size);
        if (at <= value) return false;
        *other_charset |=
            is_other_charset(velocity_bytes(p + name, value - 1 - name), velocity_bytes(p + value, at - value));
    }
    return true;
}

/* Behind type/subtype, with which the value begins; 0: it is no media type. */
static size_t essence_end(velocity_slice value, bool *other_charset) {
    const unsigned char *p = value.data;
    size_t slash = token_end(p, 0, value.size), end;
    *other_charset = false;
    if (value.size > MEDIA_TYPE_MAX_BYTES || slash == 0 || slash == value.size || p[slash] != '/') return 0;
    end = token_end(p, slash + 1, value.size);
    return end > slash + 1 && parameters_valid(p, end, value.size, other_charset) ? end : 0;
}

/* Indexed by value_type. */
static const char *const value_type_names[] = {"application/octet-stream", "application/json",
                                               "text/plain; charset=utf-8"};

const char *value_type_name(uint32_t type) {
    return type < sizeof value_type_names / sizeof *value_type_names ? value_type_names[type] : NULL;
}

bool media_type_parse(velocity_slice value, struct media_type *out) {
    velocity_slice name = header_trim(value);
    const unsigned char *p = name.data;
    bool other_charset;
    size_t end = essence_end(name, &other_charset);
    if (end == 0 || !utf8_valid(name)) return false;
    *out = (struct media_type){VALUE_OTHER, header_is(velocity_bytes(p, end), "application/json"), name};
    for (uint32_t type = 0; value_type_name(type); type++) {
        const char *known = value_type_name(type);
        if (name.size == strlen(known) && memcmp(p, known, name.size) == 0) out->type = (enum value_type)type;
    }
    return true;
}

bool media_type_is(velocity_slice value, const char *name) {
    velocity_slice type = header_trim(value);
    bool other_charset;
    size_t end = essence_end(type, &other_charset);
    return end && !other_charset && header_is(velocity_bytes(type.data, end), name);
}
