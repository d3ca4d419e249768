/* forwarded.c - see forwarded.h. */
#include "http/forwarded.h"

#include "http/headers.h"

#include <string.h>
#include <strings.h>

static velocity_slice between(const char *from, const char *to) {
    return header_trim(velocity_bytes(from, (size_t)(to - from)));
}

bool forwarded_last(velocity_slice *list, velocity_slice *element) {
    const char *begin = list->data, *end = begin + list->size, *at = end;
    bool quoted = false;
    if (list->size == 0) return false;
    while (at > begin) {
        if (at[-1] == '"') quoted = !quoted;
        if (at[-1] == ',' && !quoted) break;
        at--;
    }
    *element = between(at, end);
    *list = velocity_bytes(begin, at > begin ? (size_t)(at - begin) - 1 : 0);
    return true;
}

static velocity_slice without_quotes(velocity_slice value) {
    const char *p = value.data;
    if (value.size >= 2 && p[0] == '"' && p[value.size - 1] == '"') return velocity_bytes(p + 1, value.size - 2);
    return value;
}

bool forwarded_parameter(velocity_slice element, const char *name, velocity_slice *value) {
    const char *p = element.data, *end = p + element.size;
    size_t size = strlen(name);
    while (p < end) {
        const char *semicolon = memchr(p, ';', (size_t)(end - p)), *stop = semicolon ? semicolon : end;
        velocity_slice pair = between(p, stop);
        if (pair.size > size && strncasecmp(pair.data, name, size) == 0 && ((const char *)pair.data)[size] == '=') {
            *value = without_quotes(velocity_bytes((const char *)pair.data + size + 1, pair.size - size - 1));
            return true;
        }
        p = semicolon ? semicolon + 1 : end;
    }
    return false;
}
