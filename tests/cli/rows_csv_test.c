/* rows_csv_test.c - comma-separated values as RFC 4180 has them, and what is no record. */
#include "cli/rows.h"
#include "tests/server/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct rows *open_text(const char *text, size_t size, struct rows_options options, char path[64]) {
    char message[ROWS_MESSAGE_BYTES] = "";
    struct rows *rows = NULL;
    strcpy(path, "/tmp/velocity-csv-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, size) == (ssize_t)size && close(fd) == 0);
    options.path = path;
    if (!rows_open_csv(&options, &rows, message)) print_message("%s\n", message);
    return rows;
}

static struct rows *open_csv(const char *text, struct rows_options options) {
    char path[64];
    struct rows *rows = open_text(text, strlen(text), options, path);
    assert_int_equal(unlink(path), 0);
    return rows;
}

static void expect_row(struct rows *rows, const char *key, const char *value) {
    struct row row;
    assert_int_equal(rows->next(rows, &row), ROW_READ);
    assert_int_equal(row.key.size, strlen(key));
    assert_memory_equal(row.key.data, key, row.key.size);
    assert_int_equal(row.value.size, strlen(value));
    assert_memory_equal(row.value.data, value, row.value.size);
}

static void expect(struct rows *rows, enum row_result result) {
    struct row row;
    assert_int_equal(rows->next(rows, &row), result);
    if (result == ROW_SKIPPED || result == ROW_FAILED) assert_true(*rows->message);
}

static void a_column_is_the_key_and_the_others_become_an_object(void **state) {
    (void)state;
    struct rows *rows = open_csv("id,name,age\r\n1,Ada,36\r\n2,\"Bob, \"\"B\"\"\",\r\n", (struct rows_options){0});
    expect_row(rows, "1", "{\"name\":\"Ada\",\"age\":\"36\"}");
    expect_row(rows, "2", "{\"name\":\"Bob, \\\"B\\\"\",\"age\":\"\"}");
    expect(rows, ROW_END);
    rows->close(rows);
}

static void one_column_may_be_the_value_and_another_the_key(void **state) {
    (void)state;
    struct rows *rows =
        open_csv("a,b,c\n1,2,3\n\n\"x\ny\",\"\",z", (struct rows_options){.key_column = "c", .value_column = "a"});
    expect_row(rows, "3", "1");
    expect_row(rows, "z", "x\ny");
    expect(rows, ROW_END);
    rows->close(rows);
}

static void a_record_of_another_length_is_skipped_and_the_next_one_read(void **state) {
    (void)state;
    struct rows *rows = open_csv("a,b\n1\n1,2,3\n4,5\n", (struct rows_options){0});
    expect(rows, ROW_SKIPPED);
    expect(rows, ROW_SKIPPED);
    expect_row(rows, "4", "{\"b\":\"5\"}");
    expect(rows, ROW_END);
    rows->close(rows);
}

static void a_mark_of_byte_order_is_no_part_of_a_name(void **state) {
    (void)state;
    struct rows *rows = open_csv("\xEF\xBB\xBFid,v\n1,2\n", (struct rows_options){.key_column = "id"});
    expect_row(rows, "1", "{\"v\":\"2\"}");
    rows->close(rows);
}

static void a_mark_of_byte_order_may_stand_before_a_quote(void **state) {
    (void)state;
    struct rows *rows = open_csv("\xEF\xBB\xBF\"id\",\"v,w\"\n1,2\n", (struct rows_options){.key_column = "id"});
    assert_non_null(rows);
    expect_row(rows, "1", "{\"v,w\":\"2\"}");
    rows->close(rows);
}

static void what_is_not_utf8_is_skipped_or_kept_byte_for_byte(void **state) {
    (void)state;
    struct rows *rows = open_csv("id,v\n1,caf\xE9\n2,x\n", (struct rows_options){0});
    expect(rows, ROW_SKIPPED);
    expect_row(rows, "2", "{\"v\":\"x\"}");
    rows->close(rows);
    rows = open_csv("id,v\n1,caf\xE9\n", (struct rows_options){.value_column = "v"});
    expect_row(rows, "1", "caf\xE9");
    rows->close(rows);
}

static void the_last_record_may_lack_its_end_or_half_of_it(void **state) {
    (void)state;
    static const char *const endings[] = {"", "\r", "\n", "\r\n"};
    for (size_t i = 0; i < 4; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "id,v\r\n1,a%s", endings[i]);
        struct rows *rows = open_csv(text, (struct rows_options){.value_column = "v"});
        expect_row(rows, "1", "a");
        expect(rows, ROW_END);
        rows->close(rows);
    }
}

static void it_goes_on_behind_a_record(void **state) {
    (void)state;
    struct rows *rows = open_csv("id,v\n1,a\n2,b\n3,c\n", (struct rows_options){.value_column = "v"});
    assert_true(rows->seek(rows, 2));
    expect_row(rows, "3", "c");
    assert_int_equal(rows->position, 3);
    expect(rows, ROW_END);
    rows->close(rows);
    rows = open_csv("id,v\n1,a\n", (struct rows_options){0});
    assert_false(rows->seek(rows, 2));
    rows->close(rows);
}

static void what_is_no_table_is_refused(void **state) {
    (void)state;
    char path[64];
    assert_null(open_csv("", (struct rows_options){0}));
    assert_null(open_csv("a,b\n", (struct rows_options){.key_column = "c"}));
    assert_null(open_csv("a,b\n", (struct rows_options){.value_column = "c"}));
    struct rows *rows = open_csv("a,b\n1,\"never ends\n2,3\n", (struct rows_options){0});
    expect(rows, ROW_FAILED);
    rows->close(rows);
    rows = open_csv("a,b\n1,2\n\"", (struct rows_options){0});
    expect_row(rows, "1", "{\"b\":\"2\"}");
    expect(rows, ROW_FAILED);
    assert_non_null(strstr(rows->message, "begins at byte 8"));
    rows->close(rows);
    assert_null(open_csv("a,b,a\n", (struct rows_options){0}));
    assert_null(open_csv("a,caf\xE9\n", (struct rows_options){0}));
    rows = open_text("a,b\n1,\0\n", 8, (struct rows_options){0}, path);
    expect(rows, ROW_FAILED);
    rows->close(rows);
    assert_int_equal(unlink(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_is_the_key_and_the_others_become_an_object),
        cmocka_unit_test(one_column_may_be_the_value_and_another_the_key),
        cmocka_unit_test(a_record_of_another_length_is_skipped_and_the_next_one_read),
        cmocka_unit_test(a_mark_of_byte_order_is_no_part_of_a_name),
        cmocka_unit_test(a_mark_of_byte_order_may_stand_before_a_quote),
        cmocka_unit_test(what_is_not_utf8_is_skipped_or_kept_byte_for_byte),
        cmocka_unit_test(the_last_record_may_lack_its_end_or_half_of_it),
        cmocka_unit_test(it_goes_on_behind_a_record),
        cmocka_unit_test(what_is_no_table_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
