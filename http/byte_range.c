/* byte_range.c - see byte_range.h. */
#include "http/byte_range.h"

#include "http/headers.h"

#include <strings.h>

/* Takes digits off the text; a number too large counts as the largest. False: there are none. */
static bool take_number(velocity_slice *text, uint64_t *out) {
    const unsigned char *p = text->data;
    size_t at = 0;
    uint64_t n = 0;
    for (; at < text->size && (unsigned)p[at] - '0' <= 9; at++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (unsigned)p[at] - '0', &n)) n = UINT64_MAX;
    *out = n;
    *text = velocity_bytes(p + at, text->size - at);
    return at > 0;
}

/* The one range of the set; empty elements of the list are passed over. False: there is another number of them. */
static bool take_only_range(velocity_slice set, velocity_slice *out) {
    bool found = false;
    for (;;) {
        const char *comma = set.size ? memchr(set.data, ',', set.size) : NULL;
        size_t size = comma ? (size_t)(comma - (const char *)set.data) : set.size;
        velocity_slice element = header_trim(velocity_bytes(set.data, size));
        if (element.size && found) return false;
        if (element.size) *out = element;
        found = found || element.size;
        if (!comma) return found;
        set = velocity_bytes(comma + 1, set.size - size - 1);
    }
}

/* "first-last", "first-" or "-count". *suffix: the last one. False: malformed. */
static bool take_bounds(velocity_slice range, uint64_t *first, uint64_t *last, bool *suffix) {
    *suffix = !take_number(&range, first);
    if (range.size == 0 || *(const char *)range.data != '-') return false;
    range = velocity_bytes((const char *)range.data + 1, range.size - 1);
    *last = UINT64_MAX;
    if (range.size == 0) return !*suffix;
    return take_number(&range, last) && range.size == 0 && (*suffix || *last >= *first);
}

enum byte_range_result byte_range_parse(velocity_slice value, uint64_t size, uint64_t *first, uint64_t *count) {
    static const char unit[] = "bytes=";
    const size_t unit_bytes = sizeof unit - 1;
    velocity_slice text = header_trim(value), range;
    uint64_t last;
    bool suffix;
    if (!value.data || text.size < unit_bytes || strncasecmp(text.data, unit, unit_bytes) != 0) return BYTE_RANGE_WHOLE;
    text = velocity_bytes((const char *)text.data + unit_bytes, text.size - unit_bytes);
    if (!take_only_range(text, &range) || !take_bounds(range, first, &last, &suffix)) return BYTE_RANGE_WHOLE;
    if (suffix && last && size == 0) return BYTE_RANGE_WHOLE; /* all of nothing, which no Content-Range can say */
    if (suffix) {
        *count = last < size ? last : size;
        *first = size - *count;
        return *count ? BYTE_RANGE_PART : BYTE_RANGE_UNSATISFIABLE;
    }
    if (*first >= size) return BYTE_RANGE_UNSATISFIABLE;
    *count = (last < size ? last + 1 : size) - *first;
    return BYTE_RANGE_PART;
}

bool byte_range_applies(velocity_slice if_range, uint64_t version) {
    struct etag_condition tags;
    uint64_t named;
    if (!if_range.data) return true;
    if (version == VELOCITY_ABSENT) return false; /* written by the transaction that reads it: no tag names it yet */
    return etag_condition_parse(if_range, &tags) && etag_single_version(&tags, &named) && named == version;
}
