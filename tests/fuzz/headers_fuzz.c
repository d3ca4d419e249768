/*
 * headers_fuzz.c - any bytes as a field value: what is accepted holds no control character that could end a line, and
 * what comes out agrees with itself.
 */
#include "http/headers.h"
#include "tests/fuzz/fuzz.h"

static bool has_line_end(velocity_slice value) {
    return value.size && (memchr(value.data, '\r', value.size) || memchr(value.data, '\n', value.size) ||
                          memchr(value.data, 0, value.size));
}

static void check_etags(velocity_slice value) {
    struct etag_condition c, left;
    struct etag tag;
    uint64_t single;
    uint32_t count = 0;
    if (!etag_condition_parse(value, &c)) return;
    CHECK(!has_line_end(value));
    CHECK(c.any ? c.count == 0 : c.count > 0);
    for (left = c; etag_next(&left, &tag); count++) {
        if (!tag.ours || tag.version == VELOCITY_ABSENT) continue;
        CHECK(!etag_if_none_match(&c, tag.version));
        CHECK(tag.weak || etag_if_match(&c, tag.version));
    }
    CHECK(count == c.count);
    CHECK(!etag_if_match(&c, VELOCITY_ABSENT) && etag_if_none_match(&c, VELOCITY_ABSENT));
    if (etag_single_version(&c, &single)) {
        char text[ETAG_BYTES];
        CHECK(memmem(value.data, value.size, text, etag_format(single, text)));
    }
}

static void check_media_type(velocity_slice value) {
    struct media_type m, again;
    if (!media_type_parse(value, &m)) return;
    CHECK(!has_line_end(m.name) && m.name.size <= MEDIA_TYPE_MAX_BYTES && m.name.size >= 3);
    CHECK(media_type_parse(m.name, &again) && slice_equal(m.name, again.name));
    CHECK(m.type == again.type && m.json == again.json);
    if (m.type != VALUE_OTHER) CHECK(slice_equal(m.name, velocity_str(value_type_name(m.type))));
    if (m.type == VALUE_JSON) CHECK(m.json);
}

static void check_host(velocity_slice value) {
    struct host h, again;
    if (!host_parse(value, &h)) return;
    CHECK(h.name.size && fuzz_within(h.name, value) && !has_line_end(value));
    if (h.ipv6) return;
    CHECK(!memchr(h.name.data, ':', h.name.size));
    /* A name that lost its trailing dot is judged like the name that never had it. */
    if (((const char *)h.name.data)[h.name.size - 1] == '.') return;
    CHECK(host_parse(h.name, &again) && host_is_loopback(&again) == host_is_loopback(&h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    velocity_slice value = velocity_bytes(data, size);
    uint64_t length;
    check_etags(value);
    check_media_type(value);
    check_host(value);
    if (content_length_parse(value, &length)) CHECK(!has_line_end(value) && size > 0);
    return 0;
}
