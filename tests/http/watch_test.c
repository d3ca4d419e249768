/* watch_test.c - what stands in the events of a watch, and in items that are written piece by piece. */
#include "tests/server/cmocka_all.h"

#include "http/item_pieces.h"
#include "http/watch.h"

static void assert_event(struct follow_event event, const char *expected) {
    struct json_writer out = {0};
    watch_write_event(&event, &out);
    watch_write_event(&event, &out); /* one behind the other: nothing of the first shows in the second */
    assert_false(out.failed);
    assert_int_equal(out.size, 2 * strlen(expected));
    assert_memory_equal(out.data, expected, strlen(expected));
    assert_memory_equal(out.data + strlen(expected), expected, strlen(expected));
    json_writer_free(&out);
}

static void each_kind_of_event_has_its_form(void **state) {
    (void)state;
    assert_event((struct follow_event){.kind = FOLLOW_PUT,
                                       .version = UINT64_MAX,
                                       .key = LITERAL("k\n"),
                                       .value = LITERAL("[1.0]"),
                                       .flags = VALUE_JSON,
                                       .expires_at_ms = 1},
                 "id: 18446744073709551615\nevent: put\ndata: {\"key\":\"k\\n\",\"version\":\"18446744073709551615\","
                 "\"type\":\"application/json\",\"size\":5,\"expires_at\":\"1970-01-01T00:00:00.001Z\",\"value\":[1.0]}"
                 "\n\n");
    assert_event((struct follow_event){.kind = FOLLOW_DELETE, .version = 7, .key = LITERAL("\xFF")},
                 "id: 7\nevent: delete\ndata: {\"key64\":\"_w\",\"version\":\"7\"}\n\n");
    assert_event((struct follow_event){.kind = FOLLOW_HEARTBEAT, .version = 7},
                 "id: 7\nevent: heartbeat\ndata: {\"version\":\"7\"}\n\n");
    assert_event((struct follow_event){.kind = FOLLOW_GONE, .version = 7},
                 "id: 7\nevent: gone\ndata: {\"code\":\"history_gone\",\"version\":\"7\"}\n\n");
}

static void ranges_name_their_bounds_as_keys_are_named(void **state) {
    static char beyond[16385];
    (void)state;
    assert_event(
        (struct follow_event){.kind = FOLLOW_DELETE_RANGE, .version = 7, .key = LITERAL("a"), .end = LITERAL("b")},
        "id: 7\nevent: range_delete\ndata: {\"start\":\"a\",\"end\":\"b\",\"version\":\"7\"}\n\n");
    assert_event(
        (struct follow_event){
            .kind = FOLLOW_DELETE_RANGE, .version = 7, .key = LITERAL("\xFF"), .end = LITERAL("\xFF\xFF")},
        "id: 7\nevent: range_delete\ndata: {\"start64\":\"_w\",\"end64\":\"__8\",\"version\":\"7\"}\n\n");
    /* Whoever comes back behind this part is not to miss the next. */
    assert_event(
        (struct follow_event){
            .kind = FOLLOW_DELETE_RANGE, .version = 7, .key = LITERAL("a"), .end = LITERAL("b"), .more = true},
        "id: 6\nevent: range_delete\ndata: {\"start\":\"a\",\"end\":\"b\",\"version\":\"7\"}\n\n");
    memset(beyond, 0xFF, sizeof beyond);
    const char *unbounded = "id: 7\nevent: range_delete\ndata: {\"start\":\"a\",\"end\":null,\"version\":\"7\"}\n\n";
    assert_event((struct follow_event){.kind = FOLLOW_DELETE_RANGE, .version = 7, .key = LITERAL("a")}, unbounded);
    assert_event((struct follow_event){.kind = FOLLOW_DELETE_RANGE,
                                       .version = 7,
                                       .key = LITERAL("a"),
                                       .end = velocity_bytes(beyond, sizeof beyond)},
                 unbounded);
}

/* No line of an event may end before its end, whatever was stored. */
static void values_that_hold_line_ends_stay_on_their_line(void **state) {
    static const char *const values[] = {"{\"a\":\n1}", "[1\r]", "\r\n", "\n\nevent: put\n\n"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        for (uint32_t flags = 0; flags < 3; flags++) {
            struct json_writer out = {0};
            struct follow_event event = {.kind = FOLLOW_PUT,
                                         .version = 1,
                                         .key = LITERAL("k"),
                                         .value = velocity_str(values[i]),
                                         .flags = flags};
            if (flags == VALUE_JSON && i > 1) continue; /* is never stored */
            watch_write_event(&event, &out);
            size_t ends = 0;
            for (size_t at = 0; at < out.size; at++) {
                assert_int_not_equal(out.data[at], '\r');
                ends += out.data[at] == '\n';
            }
            assert_int_equal(ends, 4);
            json_writer_free(&out);
        }
    }
}

static void a_value_whose_type_is_damaged_is_shown_as_bytes(void **state) {
    (void)state;
    assert_event((struct follow_event){.kind = FOLLOW_PUT,
                                       .version = 1,
                                       .key = LITERAL("k"),
                                       .value = LITERAL("\x09"
                                                        "abc"),
                                       .flags = VALUE_OTHER},
                 "id: 1\nevent: put\ndata: {\"key\":\"k\",\"version\":\"1\",\"type\":\"application/octet-stream\","
                 "\"size\":4,\"text\":\"\\tabc\"}\n\n");
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static void assert_pieces(const char *type, velocity_slice value) {
    struct item item = {.key = LITERAL("k"),
                        .version = 3,
                        .type = velocity_str(type),
                        .value = value,
                        .expires_at_ms = 5,
                        .one_line = true};
    struct json_writer whole = {0};
    item_write(&whole, &item, true, UINT64_MAX);
    for (size_t bytes = 1; bytes < value.size + 40; bytes = bytes * 2 + 1) {
        struct json_writer out = {0};
        struct item_pieces pieces;
        item_pieces_begin(&pieces, &item, &out);
        size_t count = 1;
        while (!item_pieces_write(&pieces, bytes, &out)) count++;
        assert_true(count <= value.size / 13 + 1); /* some way with each */
        assert_slice(velocity_bytes(out.data, out.size), velocity_bytes(whole.data, whole.size));
        json_writer_free(&out);
    }
    json_writer_free(&whole);
}

static void pieces_put_together_are_the_item(void **state) {
    char bytes[5000], text[4000] = "", json[3000] = "[";
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 131);
    while (strlen(text) + 20 < sizeof text) strcat(text, "a\"\\\n\x01é€😀");
    while (strlen(json) + 20 < sizeof json) strcat(json, "{\"ü\": 1.50},");
    strcat(json, "0]");
    for (size_t size = 0; size < 70; size++) assert_pieces("application/octet-stream", velocity_bytes(bytes, size));
    for (size_t size = sizeof bytes - 4; size <= sizeof bytes; size++)
        assert_pieces("application/octet-stream", velocity_bytes(bytes, size));
    assert_pieces("text/plain; charset=utf-8", velocity_str(text));
    assert_pieces("text/plain; charset=utf-8", velocity_bytes(text, strlen(text) - 1)); /* perhaps a torn sequence */
    assert_pieces("application/json", velocity_str(json));
    json[1] = '\n';
    assert_pieces("application/json", velocity_str(json));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_event_has_its_form),
        cmocka_unit_test(ranges_name_their_bounds_as_keys_are_named),
        cmocka_unit_test(values_that_hold_line_ends_stay_on_their_line),
        cmocka_unit_test(a_value_whose_type_is_damaged_is_shown_as_bytes),
        cmocka_unit_test(pieces_put_together_are_the_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
