/* event_stream_test.c - events come out whole, however the bytes were cut. */
#include "cli/event_stream.h"
#include "tests/server/cmocka_all.h"

#include <stdio.h>

#define SEEN_MAX 16

struct seen {
    size_t count, wanted; /* wanted 0: all */
    char text[SEEN_MAX][128];
};

static bool see(void *arg, const char *name, const char *id, velocity_slice data) {
    struct seen *seen = arg;
    assert_in_range(seen->count, 0, SEEN_MAX - 1);
    (void)snprintf(seen->text[seen->count++], sizeof seen->text[0], "%s|%s|%.*s", name, id, (int)data.size,
                   data.size ? (const char *)data.data : "");
    return seen->count != seen->wanted;
}

static const char text[] = ": a comment\n"
                           "id: 1\nevent: put\ndata: {\"key\":\"a\"}\n\n"
                           "id: 2\n\n"
                           "data: one\ndata:two\ndata:  three\n\n"
                           "unknown: x\nnothing\nid: 3\r\nevent: delete\r\ndata: x\r\n\r\n"
                           "event: lost\ndata: not ended\n";

static void check(const struct seen *seen) {
    assert_int_equal(seen->count, 3);
    assert_string_equal(seen->text[0], "put|1|{\"key\":\"a\"}");
    assert_string_equal(seen->text[1], "message|2|one\ntwo\n three");
    assert_string_equal(seen->text[2], "delete|3|x");
}

static void events_are_the_same_whatever_the_pieces(void **state) {
    (void)state;
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        struct seen seen = {0};
        struct event_stream stream = {.event = see, .arg = &seen};
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t size = sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece;
            assert_true(event_stream_take(&stream, text + at, size));
        }
        check(&seen);
        assert_string_equal(stream.id, "3");
        event_stream_free(&stream);
    }
}

static void a_new_connection_keeps_the_last_id_and_forgets_what_was_not_ended(void **state) {
    (void)state;
    struct seen seen = {0};
    struct event_stream stream = {.event = see, .arg = &seen};
    assert_true(event_stream_take(&stream, text, sizeof text - 1));
    static const char half[] = "id: 9\ndata: ha", rest[] = "data: new\n\n";
    assert_true(event_stream_take(&stream, half, sizeof half - 1));
    event_stream_restart(&stream);
    assert_string_equal(stream.id, "3");
    assert_true(event_stream_take(&stream, rest, sizeof rest - 1));
    assert_int_equal(seen.count, 4);
    assert_string_equal(seen.text[3], "message|3|new");
    event_stream_free(&stream);
}

static void it_ends_where_no_more_is_wanted_and_at_a_line_that_is_too_long(void **state) {
    (void)state;
    struct seen seen = {.wanted = 1};
    struct event_stream stream = {.event = see, .arg = &seen};
    assert_false(event_stream_take(&stream, text, sizeof text - 1));
    assert_int_equal(seen.count, 1);
    event_stream_free(&stream);
    stream = (struct event_stream){.event = see, .arg = &seen, .line.limit_bytes = 8};
    assert_false(event_stream_take(&stream, "data: 0123456789\n\n", 18));
    assert_true(stream.line.failed);
    event_stream_free(&stream);
}

static void an_id_that_can_be_none_of_ours_is_passed_over(void **state) {
    (void)state;
    struct seen seen = {0};
    struct event_stream stream = {.event = see, .arg = &seen};
    static const char odd[] = "id: 5\ndata: a\n\nid: 0123456789012345678901234567890123456789\ndata: b\n\n";
    assert_true(event_stream_take(&stream, odd, sizeof odd - 1));
    assert_string_equal(seen.text[1], "message|5|b");
    event_stream_free(&stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_whatever_the_pieces),
        cmocka_unit_test(a_new_connection_keeps_the_last_id_and_forgets_what_was_not_ended),
        cmocka_unit_test(it_ends_where_no_more_is_wanted_and_at_a_line_that_is_too_long),
        cmocka_unit_test(an_id_that_can_be_none_of_ours_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
