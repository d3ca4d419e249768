/* rows_sqlite_test.c - a SQLite table as rows: every type, every kind of table, gone on with behind each row. */
#include "cli/rows.h"
#include "tests/server/cmocka_all.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/velocity-sqlite-XXXXXX";

static void make(const char *sql) {
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s", error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct rows *open_rows(struct rows_options options) {
    char message[ROWS_MESSAGE_BYTES] = "";
    struct rows *rows = NULL;
    options.path = path;
    if (!options.table) options.table = "t";
    if (!rows_open_sqlite(&options, &rows, message)) print_message("%s\n", message);
    return rows;
}

/* "key=value" of each row, "!" where it is skipped, "." at the end, with spaces between. */
static void read_all(struct rows *rows, char *out, size_t size, uint64_t *positions) {
    size_t used = 0, count = 0;
    struct row row;
    enum row_result result;
    while ((result = rows->next(rows, &row)) == ROW_READ || result == ROW_SKIPPED) {
        if (result == ROW_READ)
            used += (size_t)snprintf(out + used, size - used, "%.*s=%.*s ", (int)row.key.size,
                                     (const char *)row.key.data, (int)row.value.size, (const char *)row.value.data);
        else
            used += (size_t)snprintf(out + used, size - used, "! ");
        if (positions) positions[count++] = rows->position;
    }
    assert_int_equal(result, ROW_END);
    (void)snprintf(out + used, size - used, ".");
}

static void assert_rows(struct rows_options options, const char *expected) {
    char found[1024];
    struct rows *rows = open_rows(options);
    assert_non_null(rows);
    read_all(rows, found, sizeof found, NULL);
    assert_string_equal(found, expected);
    rows->close(rows);
}

/* Behind each row stands what stood there when nothing was left. */
static void assert_goes_on(struct rows_options options, size_t count) {
    char whole[1024], found[1024];
    uint64_t positions[16];
    struct rows *rows = open_rows(options);
    uint64_t first = rows->position;
    read_all(rows, whole, sizeof whole, positions);
    rows->close(rows);
    rows = open_rows(options);
    assert_true(rows->seek(rows, first));
    read_all(rows, found, sizeof found, NULL);
    assert_string_equal(found, whole);
    rows->close(rows);
    const char *rest = whole;
    for (size_t i = 0; i < count; i++) {
        rest = strchr(rest, ' ') + 1;
        rows = open_rows(options);
        assert_true(rows->seek(rows, positions[i]));
        assert_int_equal(rows->position, positions[i]);
        read_all(rows, found, sizeof found, NULL);
        assert_string_equal(found, rest);
        rows->close(rows);
    }
    assert_string_equal(rest, ".");
}

static void each_type_becomes_what_json_has_for_it(void **state) {
    (void)state;
    make("CREATE TABLE t(k, v); INSERT INTO t "
         "VALUES('int',9223372036854775807),('least',-9223372036854775808),('real',1.5),"
         "('text','ä\"'),('blob',x'00FF'),('null',NULL),(NULL,'lost'),(7,'number'),(x'6B','bytes'),('inf',9e999),"
         "('latin',CAST(x'E9' AS TEXT)),('nul',CAST(x'610062' AS TEXT))");
    assert_rows((struct rows_options){0},
                "int={\"v\":9223372036854775807} least={\"v\":-9223372036854775808} real={\"v\":1.5} "
                "text={\"v\":\"ä\\\"\"} blob={\"v\":{\"base64\":\"AP8=\"}} null={\"v\":null} ! 7={\"v\":\"number\"} "
                "k={\"v\":\"bytes\"} inf={\"v\":\"inf\"} latin={\"v\":{\"base64\":\"6Q==\"}} "
                "nul={\"v\":\"a\\u0000b\"} .");
}

static void one_column_alone_is_the_value(void **state) {
    (void)state;
    make("CREATE TABLE t(k, v, w); INSERT INTO t VALUES('a',1,'x'),('b',NULL,'y'),('c',x'41','z')");
    assert_rows((struct rows_options){.value_column = "v"}, "a=1 b=null c=A .");
    assert_rows((struct rows_options){.key_column = "W", .value_column = "K"}, "x=a y=b z=c .");
    struct rows *rows = open_rows((struct rows_options){.value_column = "v"});
    struct row row;
    static const char *const types[] = {ROWS_TYPE_TEXT, ROWS_TYPE_JSON, ROWS_TYPE_BYTES};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rows->next(rows, &row), ROW_READ);
        assert_string_equal(row.type, types[i]);
    }
    rows->close(rows);
}

static void it_goes_on_behind_any_row_of_any_table(void **state) {
    (void)state;
    make("CREATE TABLE t(k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(-5,'a'),(0,'b'),(3,'c'),(9000000000,'d')");
    assert_goes_on((struct rows_options){0}, 4);
    make("CREATE TABLE t(k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES('z',1),('a',2),('m',3)");
    assert_rows((struct rows_options){.value_column = "v"}, "a=2 m=3 z=1 .");
    assert_goes_on((struct rows_options){.value_column = "v"}, 3);
    /* A column that is called as the row's number, and is not */
    make("CREATE TABLE t(k, rowid, oid); INSERT INTO t VALUES('a','9','x'),('b','5','y'),('c','1','z')");
    assert_rows((struct rows_options){.value_column = "rowid"}, "a=9 b=5 c=1 .");
    assert_goes_on((struct rows_options){.value_column = "rowid"}, 3);
    make("CREATE TABLE u(k, v); INSERT INTO u VALUES('a',1),('b',2); CREATE VIEW t AS SELECT k, v FROM u");
    assert_goes_on((struct rows_options){.value_column = "v"}, 2);
}

static void the_least_and_the_largest_number_of_a_row_are_shown(void **state) {
    (void)state;
    make("CREATE TABLE t(k INTEGER PRIMARY KEY, v); "
         "INSERT INTO t VALUES(-9223372036854775808,'least'),(9223372036854775807,'largest')");
    assert_rows((struct rows_options){.value_column = "v"}, "-9223372036854775808=least 9223372036854775807=largest .");
}

static void what_is_no_table_of_a_database_is_refused(void **state) {
    (void)state;
    make("CREATE TABLE t(k, v)");
    assert_rows((struct rows_options){0}, ".");
    assert_null(open_rows((struct rows_options){.table = "none"}));
    assert_null(open_rows((struct rows_options){.table = "t\" WHERE 1 --"}));
    assert_null(open_rows((struct rows_options){.key_column = "none"}));
    assert_null(open_rows((struct rows_options){.value_column = "none"}));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 4096; i++) assert_true(fputc('x', file) == 'x');
    assert_int_equal(fclose(file), 0);
    assert_null(open_rows((struct rows_options){0}));
}

static int make_path(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_becomes_what_json_has_for_it),
        cmocka_unit_test(one_column_alone_is_the_value),
        cmocka_unit_test(it_goes_on_behind_any_row_of_any_table),
        cmocka_unit_test(the_least_and_the_largest_number_of_a_row_are_shown),
        cmocka_unit_test(what_is_no_table_of_a_database_is_refused),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
