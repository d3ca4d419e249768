/* audit_verify_test.c - whatever was changed in the file shows; what the log itself removes does not break the chain.
 */
#include "tests/server/audit_support.h"

#include <pthread.h>

/* ---- the hash ---------------------------------------------------------------------------------------------------- */

/* Computed with another program: SHA-256 of 32 zero bytes and the text. */
#define KNOWN_HASH "afe91f21c493ffbb0b51ab4b4bb5a3ccb02d1104ed8906f24992c47c1ab9c6b6"
#define KNOWN_TEXT                                                                                                     \
    "1,1700000000000,'o''brien','token',"                                                                              \
    "'0123abcd','[::1]:5','put','default',X'6B657900FF',NULL,204,'req-1','it''s fine'"
#define QUOTED_COLUMNS                                                                                                 \
    "quote(number)||','||quote(time_ms)||','||quote(user)||','||quote(login)||','||quote(login_id)||','||"             \
    "quote(address)||','||quote(action)||','||quote(database)||','||quote(key)||','||quote(key_sha256)||','||"         \
    "quote(status)||','||quote(request_id)||','||quote(detail)"

static void a_row_is_hashed_as_sqlite_quotes_it(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    struct audit_event event = {.time_ms = 1700000000000,
                                .user = "o'brien",
                                .login = "token",
                                .login_id = "0123abcd",
                                .address = "[::1]:5",
                                .action = "put",
                                .database = velocity_str("default"),
                                .key = LITERAL("key\0\xff"),
                                .status = 204,
                                .request_id = "req-1",
                                .detail = "it's fine"};
    record(audit, &event);
    assert_string_equal(verify(audit).head, KNOWN_HASH);
    close_audit(audit);
    char *text = ask("SELECT " QUOTED_COLUMNS " FROM audit");
    assert_string_equal(text, KNOWN_TEXT);
    free(text);
    char *hash = ask("SELECT lower(hex(hash)) FROM audit");
    assert_string_equal(hash, KNOWN_HASH);
    free(hash);
}

static void numbers_and_nothing_are_quoted_as_sqlite_does(void **state) {
    (void)state;
    struct audit_chain chain;
    struct audit_hash zero = {{0}}, hash;
    struct audit_value row[AUDIT_COLUMNS] = {{0}};
    row[AUDIT_NUMBER] = audit_integer(INT64_MAX);
    row[AUDIT_TIME_MS] = audit_integer(INT64_MIN);
    row[AUDIT_USER] = audit_text(velocity_str("''"));
    row[AUDIT_KEY] = audit_blob(velocity_str(""));
    assert_true(audit_chain_init(&chain));
    assert_true(audit_chain_next(&chain, &zero, row, &hash));
    static const char expected[] = "9223372036854775807,-9223372036854775808,"
                                   "'''''',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL";
    assert_memory_equal(chain.bytes + AUDIT_HASH_BYTES, expected, sizeof expected - 1);
    static char giant[AUDIT_ROW_MAX_BYTES + 1];
    row[AUDIT_DETAIL] = audit_blob(velocity_bytes(giant, sizeof giant));
    assert_false(audit_chain_next(&chain, &zero, row, &hash));
    row[AUDIT_DETAIL] = audit_blob(velocity_bytes(giant, sizeof giant - 3)); /* user has two bytes */
    assert_true(audit_chain_next(&chain, &zero, row, &hash));
    audit_chain_destroy(&chain);
}

/* ---- what others do to the file ---------------------------------------------------------------------------------- */

static void make_log(unsigned rows) {
    struct audit *audit = open_audit();
    struct audit_event event = {.time_ms = 1700000000000,
                                .user = "alice",
                                .login = "token",
                                .login_id = "0123",
                                .address = "[::1]:5",
                                .action = "put",
                                .database = velocity_str("default"),
                                .key = velocity_str("key"),
                                .status = 204,
                                .request_id = "req",
                                .detail = "detail"};
    for (unsigned i = 0; i < rows; i++) record(audit, &event);
    assert_intact(audit, rows);
    close_audit(audit);
}

/* Opens the log and expects the break at that row. */
static void assert_broken(uint64_t at, const char *why) {
    struct audit *audit = open_audit();
    struct audit_verification result = verify(audit);
    assert_false(result.intact);
    if (result.broken_at != at || !strstr(result.reason, why)) fail_msg("%s", result.reason);
    close_audit(audit);
}

/* Opens the log after somebody did that to row 3. */
static void assert_shows(const char *sql, bool changed) {
    struct audit *audit = NULL;
    meddle(sql);
    test_log = logger_open(log_path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_LOGFMT);
    assert_non_null(test_log);
    assert_int_equal(audit_open(path, &everything, test_log, &audit), VELOCITY_OK); /* it tells, and goes on */
    struct audit_verification result = verify(audit);
    if (result.intact == changed || (changed && result.broken_at != 3)) fail_msg("%s", sql);
    assert_int_equal(times_logged("event=audit_broken"), changed);
    close_audit(audit);
    assert_int_equal(unlink(log_path), 0);
}

static void a_change_of_any_column_shows(void **state) {
    (void)state;
    static const char *const columns[] = {"time_ms", "user",       "login", "login_id", "address",
                                          "action",  "database",   "key",   "hash",     "key_sha256",
                                          "status",  "request_id", "detail"};
    static const char *const changes[] = {"7", "'x'", "NULL", "X'00'", "zeroblob(32)", "1.5"};
    static char whole[1 << 16];
    char sql[128];
    make_log(5);
    assert_int_equal(unlink(log_path), 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(whole, 1, sizeof whole, file);
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < COUNT(columns); i++) {
        for (size_t k = 0; k < COUNT(changes); k++) {
            bool null = !strcmp(changes[k], "NULL"),
                 required = !strcmp(columns[i], "time_ms") || !strcmp(columns[i], "hash");
            bool unchanged = null && (required || !strcmp(columns[i], "key_sha256")); /* refused, or NULL before */
            (void)snprintf(sql, sizeof sql, "UPDATE OR IGNORE audit SET %s = %s WHERE number = 3", columns[i],
                           changes[k]);
            file = fopen(path, "w");
            assert_non_null(file);
            assert_int_equal(fwrite(whole, 1, size, file), size);
            assert_int_equal(fclose(file), 0);
            assert_shows(sql, !unchanged);
        }
    }
}

static void a_newest_row_without_a_hash_is_damage(void **state) {
    (void)state;
    struct audit *audit = NULL;
    make_log(5);
    meddle("UPDATE audit SET hash = 'x' WHERE number = 5");
    assert_int_equal(audit_open(path, &everything, NULL, &audit), VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), "newest row"));
}

static void the_same_bytes_as_another_type_show(void **state) {
    (void)state;
    make_log(5);
    meddle("UPDATE audit SET user = CAST(user AS BLOB) WHERE number = 3");
    assert_broken(3, "one of them was changed");
}

static void a_number_that_was_changed_shows(void **state) {
    (void)state;
    make_log(5);
    meddle("UPDATE audit SET number = 99 WHERE number = 3");
    assert_broken(4, "the one before it was removed");
}

static void a_removed_row_shows(void **state) {
    (void)state;
    make_log(5);
    meddle("DELETE FROM audit WHERE number = 3");
    assert_broken(4, "the one before it was removed");
}

static void a_removed_row_shows_though_the_others_moved_up(void **state) {
    (void)state;
    make_log(5);
    meddle("DELETE FROM audit WHERE number = 3; UPDATE audit SET number = 3 WHERE number = 4;"
           "UPDATE audit SET number = 4 WHERE number = 5");
    assert_broken(3, "one of them was changed");
}

static void swapped_rows_show(void **state) {
    (void)state;
    make_log(5);
    meddle("UPDATE audit SET number = -2 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3;"
           "UPDATE audit SET number = 3 WHERE number = -2");
    assert_broken(2, "one of them was changed");
}

static void a_row_that_was_put_in_front_shows(void **state) {
    (void)state;
    make_log(5);
    meddle("INSERT INTO audit SELECT 0, time_ms, user, login, login_id, address, action, database, key, key_sha256,"
           " status, request_id, detail, hash FROM audit WHERE number = 1");
    assert_broken(0, "before the first one");
}

static void a_row_that_was_put_in_front_does_not_make_the_others_old(void **state) {
    (void)state;
    struct audit_stats stats = {0};
    make_log(5);
    meddle("INSERT INTO audit SELECT 0, time_ms, user, login, login_id, address, action, database, key, key_sha256,"
           " status, request_id, detail, hash FROM audit WHERE number = 1");
    struct audit *audit = open_audit();
    for (int i = 0; i < 20; i++) { /* each time it looks for what is to be pruned */
        audit_configure(audit, &everything);
        usleep(1000);
    }
    audit_stats(audit, &stats);
    assert_int_equal(stats.pruned, 0);
    assert_false(verify(audit).intact);
    close_audit(audit);
}

static void a_removed_beginning_shows(void **state) {
    (void)state;
    make_log(5);
    meddle("DELETE FROM audit WHERE number <= 2");
    assert_broken(3, "the one before it was removed");
}

static void a_forged_anchor_shows(void **state) {
    (void)state;
    make_log(5);
    meddle("UPDATE audit_anchor SET number = 2, hash = (SELECT hash FROM audit WHERE number = 2), row = 5;"
           "DELETE FROM audit WHERE number <= 2");
    assert_broken(5, "the anchor is forged");
    meddle("UPDATE audit_anchor SET row = 77");
    assert_broken(77, "the anchor is forged");
    meddle("UPDATE audit_anchor SET row = 0");
    assert_broken(0, "the anchor is forged");
    meddle("DELETE FROM audit_anchor");
    struct audit *audit = NULL;
    assert_int_equal(audit_open(path, &everything, NULL, &audit), VELOCITY_CORRUPT);
}

static void a_tail_cut_while_nobody_looks_shows_only_against_the_logged_head(void **state) {
    (void)state;
    make_log(5);
    char *head = ask("SELECT 'event=audit_head number=5 hash='||lower(hex(hash)) FROM audit WHERE number = 5");
    assert_int_equal(times_logged(head), 1);
    free(head);
    meddle("DELETE FROM audit WHERE number > 3");
    struct audit *audit = open_audit();
    assert_intact(audit, 3);
    assert_int_equal(verify(audit).last, 3);
    close_audit(audit);
}

static void a_tail_cut_under_a_running_server_shows(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    record_many(audit, 5, 0);
    meddle("DELETE FROM audit WHERE number > 3");
    struct audit_verification result = verify(audit);
    assert_false(result.intact);
    assert_int_equal(result.broken_at, 4);
    close_audit(audit);
}

static void a_chain_that_was_rewritten_under_a_running_server_shows(void **state) {
    (void)state;
    char sql[256];
    make_log(4); /* another one, good in itself */
    assert_int_equal(rename(path, aside), 0);
    struct audit *audit = open_audit();
    record_many(audit, 4, 1);
    assert_intact(audit, 4);
    (void)snprintf(sql, sizeof sql,
                   "ATTACH '%s' AS other; DELETE FROM audit; INSERT INTO audit SELECT * FROM other.audit", aside);
    meddle(sql);
    struct audit_verification result = verify(audit);
    assert_false(result.intact);
    assert_int_equal(result.broken_at, 4);
    assert_non_null(strstr(result.reason, "rewritten"));
    close_audit(audit);
}

static void the_head_goes_to_the_log_from_time_to_time(void **state) {
    (void)state;
    struct audit_timing often = quick;
    often.head_ms = 20;
    struct audit *audit = open_with(&everything, &often);
    audit_log_head(audit);
    assert_int_equal(times_logged("event=audit_head number=0"), 1);
    record_many(audit, 7, 0);
    assert_soon(times_logged("event=audit_head number=7 ") == 1);
    close_audit(audit);
    assert_int_equal(times_logged("event=audit_head number=7 "), 2);
}

/* ---- what the log itself removes --------------------------------------------------------------------------------- */

#define OLD_ROWS 12000

static void rows_leave_when_they_are_old_enough_and_the_file_shrinks(void **state) {
    (void)state;
    struct audit_settings month = everything;
    struct stat full, pruned;
    struct audit *audit = open_audit();
    record_many(audit, OLD_ROWS, 1700000000000);
    record_many(audit, 10, 0);
    close_audit(audit);
    assert_int_equal(stat(path, &full), 0);
    audit = open_audit();
    month.retention_days = 30;
    audit_configure(audit, &month);
    assert_soon(stats_of(audit).pruned == OLD_ROWS);
    struct audit_verification result = verify(audit);
    assert_true(result.intact);
    assert_int_equal(result.first, OLD_ROWS + 1);
    assert_int_equal(result.rows, result.last - result.first + 1);
    assert_true(result.rows >= 11 && result.rows <= 13); /* ten, and one for each step */
    assert_soon(stats_of(audit).file_bytes < (uint64_t)full.st_size / 2);
    record_many(audit, 5, 0);
    close_audit(audit);
    assert_int_equal(stat(path, &pruned), 0);
    assert_true(pruned.st_size < full.st_size / 2);
    audit = open_audit(); /* it begins behind the anchor, and goes on */
    assert_intact(audit, result.rows + 5);
    close_audit(audit);
    assert_int_equal(times_logged("event=audit_broken"), 0);
    char *detail =
        ask("SELECT substr(detail, 1, 16)||substr(detail, -10) FROM audit WHERE action = '" AUDIT_PRUNE_ACTION
            "' ORDER BY number DESC LIMIT 1");
    assert_non_null(strstr(detail, "last=12000 hash="));
    assert_non_null(strstr(detail, " rows=2000"));
    free(detail);
}

static void rows_leave_when_the_file_is_too_large(void **state) {
    (void)state;
    struct stat info;
    struct audit_settings small = everything;
    small.max_bytes = 1 << 20;
    struct audit *audit = open_with(&small, &quick);
    record_many(audit, 25000, 0);
    assert_soon(stats_of(audit).file_bytes <= small.max_bytes);
    struct audit_verification result = verify(audit);
    if (!result.intact) fail_msg("%s", result.reason);
    assert_int_equal(result.rows, result.last - result.first + 1);
    assert_true(stats_of(audit).pruned >= result.first - 1);
    assert_true(result.rows > 3000); /* no more left than had to */
    small.max_bytes = 1 << 18;
    audit_configure(audit, &small);
    assert_soon(stats_of(audit).file_bytes <= small.max_bytes);
    assert_true(verify(audit).intact);
    close_audit(audit);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size <= 1 << 18);
}

static void the_newest_rows_stay_however_small_the_file_must_be(void **state) {
    (void)state;
    struct audit_settings tiny = everything;
    tiny.max_bytes = 1;
    struct audit *audit = open_with(&tiny, &quick);
    record_many(audit, 300, 0);
    assert_soon(stats_of(audit).pruned > 0);
    assert_true(verify(audit).rows >= 100);
    assert_true(verify(audit).intact);
    close_audit(audit);
}

static void an_anchor_whose_row_was_changed_shows(void **state) {
    (void)state;
    struct audit_settings day = everything;
    day.retention_days = 1;
    struct audit *audit = open_audit();
    record_many(audit, 20, 1700000000000);
    record_many(audit, 5, 0);
    audit_configure(audit, &day);
    assert_soon(stats_of(audit).pruned == 20);
    assert_intact(audit, 6);
    close_audit(audit);
    meddle("UPDATE audit_anchor SET number = 22, hash = (SELECT hash FROM audit WHERE number = 22);"
           "DELETE FROM audit WHERE number <= 22");
    assert_broken(26, "the anchor is forged");
}

/* ---- at the same time -------------------------------------------------------------------------------------------- */

static void *record_and_prune(void *arg) {
    struct audit *audit = arg;
    for (int i = 0; i < 40; i++) record_many(audit, 250, 0);
    return NULL;
}

static void verifying_goes_on_while_rows_come_and_leave(void **state) {
    (void)state;
    pthread_t writer;
    struct audit_settings small = everything;
    small.max_bytes = 1 << 18;
    struct audit *audit = open_with(&small, &quick);
    assert_int_equal(pthread_create(&writer, NULL, record_and_prune, audit), 0);
    while (stats_of(audit).written < 9000) {
        struct audit_verification result;
        assert_int_equal(audit_verify_stepwise(audit, 50, &result), VELOCITY_OK);
        if (!result.intact) fail_msg("%s", result.reason);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(stats_of(audit).pruned > 0);
    assert_true(verify(audit).intact);
    close_audit(audit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        AUDIT_TEST(a_row_is_hashed_as_sqlite_quotes_it),
        AUDIT_TEST(numbers_and_nothing_are_quoted_as_sqlite_does),
        AUDIT_TEST(a_change_of_any_column_shows),
        AUDIT_TEST(a_newest_row_without_a_hash_is_damage),
        AUDIT_TEST(the_same_bytes_as_another_type_show),
        AUDIT_TEST(a_number_that_was_changed_shows),
        AUDIT_TEST(a_removed_row_shows),
        AUDIT_TEST(a_removed_row_shows_though_the_others_moved_up),
        AUDIT_TEST(swapped_rows_show),
        AUDIT_TEST(a_row_that_was_put_in_front_shows),
        AUDIT_TEST(a_row_that_was_put_in_front_does_not_make_the_others_old),
        AUDIT_TEST(a_removed_beginning_shows),
        AUDIT_TEST(a_forged_anchor_shows),
        AUDIT_TEST(a_tail_cut_while_nobody_looks_shows_only_against_the_logged_head),
        AUDIT_TEST(a_tail_cut_under_a_running_server_shows),
        AUDIT_TEST(a_chain_that_was_rewritten_under_a_running_server_shows),
        AUDIT_TEST(the_head_goes_to_the_log_from_time_to_time),
        AUDIT_TEST(rows_leave_when_they_are_old_enough_and_the_file_shrinks),
        AUDIT_TEST(rows_leave_when_the_file_is_too_large),
        AUDIT_TEST(the_newest_rows_stay_however_small_the_file_must_be),
        AUDIT_TEST(an_anchor_whose_row_was_changed_shows),
        AUDIT_TEST(verifying_goes_on_while_rows_come_and_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
