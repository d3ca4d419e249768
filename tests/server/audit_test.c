/* audit_test.c - what was recorded is there, in order and as it was, for who asks; other files are refused. */
#include "tests/server/audit_support.h"

#include <pthread.h>

/* ---- recording and reading --------------------------------------------------------------------------------------- */

#define SHOWN_ROWS 16

/* Copies of the first rows that a query showed, and how many there were. */
struct shown {
    size_t count, limit;
    struct audit_row rows[SHOWN_ROWS]; /* without what they point to */
    char *texts[SHOWN_ROWS];
    char key[80]; /* of the last one */
    size_t key_size;
};

static bool show_row(void *arg, const struct audit_row *row) {
    struct shown *shown = arg;
    if (shown->count < SHOWN_ROWS) {
        struct audit_row *copy = &shown->rows[shown->count];
        *copy = *row;
        int size = asprintf(&shown->texts[shown->count], "%s|%s|%s|%s|%s|%.*s|%.*s|%u|%s|%s", row->user, row->login,
                            row->login_id, row->address, row->action, (int)row->database.size,
                            (const char *)row->database.data, (int)row->key.size, (const char *)row->key.data,
                            row->status, row->request_id, row->detail);
        assert_true(size > 0);
        shown->key_size = row->key.size < sizeof shown->key ? row->key.size : sizeof shown->key;
        if (shown->key_size) memcpy(shown->key, row->key.data, shown->key_size);
    }
    shown->count++;
    return shown->limit == 0 || shown->count < shown->limit;
}

static struct shown query(struct audit *audit, const struct audit_query *query, bool *more) {
    struct shown shown = {0};
    if (audit_query(audit, query, show_row, &shown, more) != VELOCITY_OK) fail_msg("%s", velocity_error_message());
    return shown;
}

static void forget(struct shown *shown) {
    for (size_t i = 0; i < shown->count && i < SHOWN_ROWS; i++) free(shown->texts[i]);
}

static void what_was_recorded_is_read_back_the_newest_first(void **state) {
    (void)state;
    bool more = true;
    struct audit *audit = open_audit();
    struct audit_event full = {.time_ms = 1700000000123,
                               .user = "alice",
                               .login = "token",
                               .login_id = "0123",
                               .address = "[2001:db8::1]:4711",
                               .action = "put",
                               .database = velocity_str("orders"),
                               .key = velocity_str("order:1"),
                               .status = 204,
                               .request_id = "r-1",
                               .detail = "if-match"};
    struct audit_event empty = {.action = "login"};
    record(audit, &full);
    record(audit, &empty);
    struct shown shown = query(audit, &(struct audit_query){.limit = 10}, &more);
    assert_false(more);
    assert_int_equal(shown.count, 2);
    assert_int_equal(shown.rows[0].number, 2);
    assert_string_equal(shown.texts[0], "||||login|||0||");
    assert_true(shown.rows[0].time_ms > 1700000000123); /* now */
    assert_int_equal(shown.rows[1].number, 1);
    assert_int_equal(shown.rows[1].time_ms, 1700000000123);
    assert_string_equal(shown.texts[1], "alice|token|0123|[2001:db8::1]:4711|put|orders|order:1|204|r-1|if-match");
    assert_false(shown.rows[1].key_is_hash);
    forget(&shown);
    close_audit(audit);
}

static void a_log_goes_on_where_it_ended(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    record_many(audit, 3, 0);
    close_audit(audit);
    audit = open_audit();
    record_many(audit, 2, 0);
    assert_intact(audit, 5);
    assert_int_equal(verify(audit).last, 5);
    close_audit(audit);
    assert_int_equal(times_logged("audit_broken"), 0);
    audit_close(NULL);
}

static void rows_stay_in_the_order_of_recording_though_the_clock_goes_back(void **state) {
    (void)state;
    bool more;
    struct audit *audit = open_audit();
    static const int64_t times[] = {5000, 3000, 4000};
    for (size_t i = 0; i < COUNT(times); i++) {
        struct audit_event event = {.time_ms = times[i], .action = "put"};
        record(audit, &event);
    }
    struct shown shown = query(audit, &(struct audit_query){.limit = 10}, &more);
    assert_int_equal(shown.count, COUNT(times));
    for (size_t i = 0; i < COUNT(times); i++) assert_int_equal(shown.rows[COUNT(times) - 1 - i].time_ms, times[i]);
    forget(&shown);
    close_audit(audit);
}

static size_t matching(struct audit *audit, const struct audit_query *what) {
    bool more = true;
    struct shown shown = query(audit, what, &more);
    assert_false(more);
    forget(&shown);
    return shown.count;
}

static void a_query_finds_what_it_names_and_nothing_else(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    for (int i = 0; i < 12; i++) {
        struct audit_event event = {.time_ms = 1000 + i,
                                    .user = i % 2   ? "odd"
                                            : i % 4 ? ""
                                                    : "\xff\xfe",
                                    .action = i % 3 ? "get" : "put",
                                    .database = velocity_str(i < 6 ? "low" : "high")};
        record(audit, &event);
    }
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100}), 12);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .user = "odd"}), 6);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .user = ""}), 3);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .user = "\xff\xfe"}), 3);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .user = "odd' OR 1"}), 0);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .action = "put"}), 4);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .database = "high", .user = "odd"}), 3);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .since_ms = 1002, .until_ms = 1005}), 3);
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 100, .before = 4}), 3);
    close_audit(audit);
}

static void long_lists_come_in_pages(void **state) {
    (void)state;
    bool more = false;
    uint64_t before = 0, expected = 25;
    struct audit *audit = open_audit();
    record_many(audit, 25, 0);
    for (int page = 0; page < 3; page++) {
        struct shown shown = query(audit, &(struct audit_query){.limit = 10, .before = before}, &more);
        assert_int_equal(shown.count, page < 2 ? 10 : 5);
        for (size_t i = 0; i < shown.count; i++) assert_int_equal(shown.rows[i].number, expected--);
        before = shown.rows[shown.count - 1].number;
        assert_int_equal(more, page < 2);
        forget(&shown);
    }
    struct shown enough = {.limit = 2};
    assert_int_equal(audit_query(audit, &(struct audit_query){.limit = 10}, show_row, &enough, &more), VELOCITY_OK);
    assert_int_equal(enough.count, 2); /* the callback wanted no more */
    assert_true(more);
    forget(&enough);
    close_audit(audit);
}

static void a_search_that_takes_too_long_ends(void **state) {
    (void)state;
    bool more;
    struct shown shown = {0};
    struct audit *audit = open_audit();
    record_many(audit, 2000, 0);
    struct audit_query nothing = {.limit = 1, .user = "nobody has this name"};
    assert_int_equal(audit_query_timed(audit, &nothing, 0, show_row, &shown, &more), VELOCITY_BUSY);
    assert_non_null(strstr(velocity_error_message(), "too long"));
    assert_int_equal(audit_query_timed(audit, &nothing, 10000, show_row, &shown, &more), VELOCITY_OK);
    close_audit(audit);
}

/* ---- what is stored ---------------------------------------------------------------------------------------------- */

static void bytes_that_are_no_text_are_kept_as_they_are_and_shown_escaped(void **state) {
    (void)state;
    bool more;
    struct audit *audit = open_audit();
    struct audit_event event = {.user = "a\xff"
                                        "b\xc3\xa9",
                                .action = "put",
                                .database = LITERAL("d\0b"),
                                .key = LITERAL("k\0\xff")};
    record(audit, &event);
    struct shown shown = query(audit, &(struct audit_query){.limit = 1}, &more);
    assert_int_equal(strncmp(shown.texts[0], "a\\xffb\xc3\xa9|", 9), 0);
    assert_non_null(strstr(shown.texts[0], "|put|d\\x00b|"));
    assert_slice(velocity_bytes(shown.key, shown.key_size), LITERAL("k\0\xff"));
    forget(&shown);
    close_audit(audit);
    char *stored = ask("SELECT quote(user)||quote(database)||quote(key) FROM audit");
    assert_string_equal(stored, "X'61FF62C3A9'X'640062'X'6B00FF'");
    free(stored);
}

static void long_texts_are_cut_between_characters(void **state) {
    (void)state;
    static char text[3 * AUDIT_TEXT_MAX_BYTES], key[2 * AUDIT_KEY_MAX_BYTES];
    struct audit *audit = open_audit();
    memset(text, 'x', sizeof text - 1);
    memset(key, 'k', sizeof key);
    memcpy(text + AUDIT_TEXT_MAX_BYTES - 1, "\xe2\x82\xac", 3);
    struct audit_event event = {.user = text,
                                .login = text,
                                .login_id = text,
                                .address = text,
                                .action = text,
                                .database = velocity_bytes(text, sizeof text - 1),
                                .key = velocity_bytes(key, sizeof key),
                                .request_id = text,
                                .detail = text};
    record(audit, &event);
    text[AUDIT_TEXT_MAX_BYTES - 1] = 'x';
    text[AUDIT_TEXT_MAX_BYTES] = 0;
    event = (struct audit_event){.user = text};
    record(audit, &event);
    assert_intact(audit, 2);
    close_audit(audit);
    char *sizes = ask("SELECT group_concat(length(user)||' '||typeof(user)||' '||coalesce(length(detail), 0)||' '||"
                      "coalesce(length(key), 0)) FROM audit");
    assert_string_equal(sizes, "1023 text 1023 16384,1024 text 0 0");
    free(sizes);
}

static void keys_can_be_stored_as_hashes_and_names_of_users_stay_names(void **state) {
    (void)state;
    bool more;
    struct audit_settings hashed = everything;
    hashed.keys = AUDIT_KEYS_HASH;
    struct audit *audit = open_with(&hashed, &quick);
    struct audit_event put = put_by("alice", "key"), create = {.action = "user.create", .key = velocity_str("bob")};
    record(audit, &put);
    record(audit, &create);
    struct shown shown = query(audit, &(struct audit_query){.limit = 2}, &more);
    assert_slice(velocity_bytes(shown.key, shown.key_size),
                 velocity_str("801a84cb0eb5cb3ef3d3c9103acfd070bda9411bbaaff06554aedd7ff7b47e5f"));
    assert_true(shown.rows[1].key_is_hash);
    assert_false(shown.rows[0].key_is_hash);
    assert_string_equal(shown.texts[0], "||||user.create||bob|0||");
    forget(&shown);
    assert_intact(audit, 2);
    close_audit(audit);
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

static void a_level_says_what_is_recorded_and_security_always_is(void **state) {
    (void)state;
    static const bool wanted[][5] = {
        [AUDIT_LEVEL_ADMIN] = {false, true, true, false, false},
        [AUDIT_LEVEL_WRITES] = {false, true, true, true, false},
        [AUDIT_LEVEL_ALL] = {false, true, true, true, true},
    };
    struct audit *audit = open_audit();
    struct audit_settings settings = everything;
    for (int level = AUDIT_LEVEL_ADMIN; level <= AUDIT_LEVEL_ALL; level++) {
        settings.level = (enum audit_level)level;
        audit_configure(audit, &settings);
        for (int class = AUDIT_NEVER; class <= AUDIT_READ; class ++)
            assert_int_equal(audit_wants(audit, (enum audit_class) class), wanted[level][class]);
    }
    close_audit(audit);
}

static void switched_off_it_records_nothing_and_can_still_be_read(void **state) {
    (void)state;
    struct audit_settings off = everything;
    struct audit *audit = open_audit();
    record_many(audit, 3, 0);
    off.enabled = false;
    audit_configure(audit, &off);
    for (int class = AUDIT_NEVER; class <= AUDIT_READ; class ++)
        assert_false(audit_wants(audit, (enum audit_class) class));
    close_audit(audit);
    audit = open_with(&off, &quick);
    assert_false(audit_wants(audit, AUDIT_SECURITY));
    assert_int_equal(matching(audit, &(struct audit_query){.limit = 10}), 3);
    close_audit(audit);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void the_file_is_nobody_elses_business(void **state) {
    (void)state;
    struct stat info;
    char wal[128];
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    mode_t before = umask(0);
    struct audit *audit = open_audit();
    record_many(audit, 1, 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(wal, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    close_audit(audit);
    (void)umask(before);
}

static void assert_refused(velocity_status expected, const char *why) {
    struct audit *audit = NULL;
    assert_int_equal(audit_open(path, &everything, NULL, &audit), expected);
    assert_null(audit);
    assert_non_null(strstr(velocity_error_message(), path));
    if (!strstr(velocity_error_message(), why)) fail_msg("%s", velocity_error_message());
}

static void write_bytes(long offset, const char *bytes, size_t size) {
    FILE *file = fopen(path, offset ? "r+" : "w");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_file_that_is_no_audit_log_is_refused_and_left_alone(void **state) {
    (void)state;
    static char text[4096];
    memset(text, 'x', sizeof text);
    write_bytes(0, text, sizeof text);
    assert_refused(VELOCITY_CORRUPT, "move it away");
    assert_int_equal(unlink(path), 0);
    meddle("CREATE TABLE notes (text)");
    assert_refused(VELOCITY_CORRUPT, "no audit log");
    char *tables = ask("SELECT group_concat(name) FROM sqlite_schema");
    assert_string_equal(tables, "notes");
    free(tables);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(VELOCITY_IO, "directory");
}

static void a_damaged_file_is_refused(void **state) {
    (void)state;
    static char junk[8192];
    struct audit *audit = open_audit();
    record_many(audit, 500, 0);
    close_audit(audit);
    memset(junk, 0xa5, sizeof junk);
    write_bytes(4096 * 4, junk, sizeof junk);
    assert_refused(VELOCITY_CORRUPT, "move it away");
}

static void a_log_of_a_newer_version_is_refused(void **state) {
    (void)state;
    close_audit(open_audit());
    meddle("PRAGMA user_version = 2");
    assert_refused(VELOCITY_UNSUPPORTED, "format 2");
}

static void a_log_whose_making_was_cut_short_is_made(void **state) {
    (void)state;
    meddle("PRAGMA journal_mode = WAL; PRAGMA auto_vacuum = INCREMENTAL; VACUUM");
    struct audit *audit = open_audit();
    record_many(audit, 1, 0);
    assert_intact(audit, 1);
    close_audit(audit);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define THREADS 8
#define EACH    20000

struct recorder {
    struct audit *audit;
    unsigned number;
};

static void *record_each(void *arg) {
    const struct recorder *recorder = arg;
    char user[8], key[16];
    struct blocking blocking = {.waiter = {.ready = wake_blocking}};
    (void)sem_init(&blocking.woken, 0, 0);
    (void)snprintf(user, sizeof user, "%u", recorder->number);
    for (unsigned i = 0; i < EACH; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        struct audit_event event = put_by(user, key);
        while (audit_reserve(recorder->audit, &blocking.waiter) == AUDIT_WAIT)
            while (sem_wait(&blocking.woken) != 0) continue;
        audit_record(recorder->audit, &event);
        if (i % 5000 == 0) (void)audit_settle_waiting(recorder->audit);
    }
    return NULL;
}

struct order {
    unsigned next[THREADS]; /* what the row of a thread before, in descending order, must have been */
    uint64_t number, wrong;
};

static bool check_order(void *arg, const struct audit_row *row) {
    struct order *order = arg;
    unsigned long thread = strtoul(row->user, NULL, 10), i = 0;
    for (size_t k = 0; k < row->key.size; k++) i = 10 * i + (unsigned long)(((const char *)row->key.data)[k] - '0');
    if (thread >= THREADS || i != --order->next[thread] || row->number != order->number--) order->wrong++;
    return true;
}

static void many_threads_lose_nothing_and_each_keeps_its_order(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    struct recorder recorders[THREADS];
    struct order order = {.number = (uint64_t)THREADS * EACH};
    bool more;
    struct audit *audit = open_audit();
    for (unsigned i = 0; i < THREADS; i++) {
        recorders[i] = (struct recorder){audit, i};
        order.next[i] = EACH;
        assert_int_equal(pthread_create(&threads[i], NULL, record_each, &recorders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_intact(audit, (uint64_t)THREADS * EACH);
    assert_int_equal(audit_query(audit, &(struct audit_query){.limit = UINT32_MAX}, check_order, &order, &more),
                     VELOCITY_OK);
    assert_int_equal(order.wrong, 0);
    assert_int_equal(order.number, 0);
    close_audit(audit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        AUDIT_TEST(what_was_recorded_is_read_back_the_newest_first),
        AUDIT_TEST(a_log_goes_on_where_it_ended),
        AUDIT_TEST(rows_stay_in_the_order_of_recording_though_the_clock_goes_back),
        AUDIT_TEST(a_query_finds_what_it_names_and_nothing_else),
        AUDIT_TEST(long_lists_come_in_pages),
        AUDIT_TEST(a_search_that_takes_too_long_ends),
        AUDIT_TEST(bytes_that_are_no_text_are_kept_as_they_are_and_shown_escaped),
        AUDIT_TEST(long_texts_are_cut_between_characters),
        AUDIT_TEST(keys_can_be_stored_as_hashes_and_names_of_users_stay_names),
        AUDIT_TEST(a_level_says_what_is_recorded_and_security_always_is),
        AUDIT_TEST(switched_off_it_records_nothing_and_can_still_be_read),
        AUDIT_TEST(the_file_is_nobody_elses_business),
        AUDIT_TEST(a_file_that_is_no_audit_log_is_refused_and_left_alone),
        AUDIT_TEST(a_damaged_file_is_refused),
        AUDIT_TEST(a_log_of_a_newer_version_is_refused),
        AUDIT_TEST(a_log_whose_making_was_cut_short_is_made),
        AUDIT_TEST(many_threads_lose_nothing_and_each_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
