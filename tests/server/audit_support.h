/* audit_support.h - a log in a folder of its own, for audit_test.c and audit_verify_test.c. */
#ifndef VELOCITY_TESTS_AUDIT_SUPPORT_H
#define VELOCITY_TESTS_AUDIT_SUPPORT_H

#include "tests/server/cmocka_all.h"

#include "server/audit_internal.h"

#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[96], log_path[96], aside[96];

static inline int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/velocity-audit-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/audit.db", folder);
    (void)snprintf(log_path, sizeof log_path, "%s/log", folder);
    (void)snprintf(aside, sizeof aside, "%s/aside", folder);
    return 0;
}

static inline int remove_one(const char *name, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(name);
}

static inline int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define AUDIT_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

static const struct audit_settings everything = {.enabled = true, .level = AUDIT_LEVEL_ALL};
static const struct audit_timing quick = {.batch_ms = 10, .retry_ms = 10, .head_ms = 3600000, .prune_ms = 60000};

static struct logger *test_log;

static inline struct audit *open_with(const struct audit_settings *settings, const struct audit_timing *timing) {
    struct audit *audit = NULL;
    test_log = logger_open(log_path, LOGGER_LEVEL_DEBUG, LOGGER_FORMAT_LOGFMT);
    assert_non_null(test_log);
    if (audit_open_timed(path, settings, test_log, timing, &audit) != VELOCITY_OK)
        fail_msg("%s", velocity_error_message());
    return audit;
}

static inline struct audit *open_audit(void) {
    return open_with(&everything, &quick);
}

static inline void close_audit(struct audit *audit) {
    audit_close(audit);
    logger_close(test_log);
}

/* What was logged; the caller frees it. */
static inline char *read_log(void) {
    static const size_t limit = 1u << 20;
    char *text = calloc(1, limit);
    FILE *file = fopen(log_path, "r");
    assert_non_null(text);
    assert_non_null(file);
    assert_true(fread(text, 1, limit - 1, file) < limit - 1);
    assert_int_equal(fclose(file), 0);
    return text;
}

static inline size_t times_logged(const char *what) {
    size_t count = 0;
    char *text = read_log();
    for (char *at = text; (at = strstr(at, what)) != NULL; at++) count++;
    free(text);
    return count;
}

static inline void must_reserve(struct audit *audit) {
    struct audit_waiter unused = {.ready = NULL};
    assert_int_equal(audit_reserve(audit, &unused), AUDIT_GO);
}

static inline struct audit_event put_by(const char *user, const char *key) {
    return (struct audit_event){
        .user = user, .action = "put", .database = velocity_str("default"), .key = velocity_str(key), .status = 200};
}

static inline void record(struct audit *audit, const struct audit_event *event) {
    must_reserve(audit);
    audit_record(audit, event);
}

/* `count` rows with keys "0", "1", ... of that time. */
static inline void record_many(struct audit *audit, unsigned count, int64_t time_ms) {
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        struct audit_event event = put_by("alice", key);
        event.time_ms = time_ms;
        record(audit, &event);
        if (i % 1000 == 999) (void)audit_settle_waiting(audit);
    }
    (void)audit_settle_waiting(audit);
}

/* A thread that waits for the writer. */
struct blocking {
    struct audit_waiter waiter;
    sem_t woken;
    int times;
};

static inline void wake_blocking(struct audit_waiter *waiter) {
    struct blocking *blocking = (struct blocking *)waiter;
    blocking->times++;
    (void)sem_post(&blocking->woken);
}

static inline void blocking_init(struct blocking *blocking) {
    *blocking = (struct blocking){.waiter = {.ready = wake_blocking}};
    assert_int_equal(sem_init(&blocking->woken, 0, 0), 0);
}

static inline struct audit_stats stats_of(struct audit *audit) {
    struct audit_stats stats;
    audit_stats(audit, &stats);
    return stats;
}

static inline struct audit_verification verify(struct audit *audit) {
    struct audit_verification result;
    assert_int_equal(audit_verify(audit, &result), VELOCITY_OK);
    return result;
}

static inline void assert_intact(struct audit *audit, uint64_t rows) {
    struct audit_verification result = verify(audit);
    if (!result.intact) fail_msg("%s", result.reason);
    assert_int_equal(result.rows, rows);
}

/* Somebody with a tool and the right to write. */
static inline void meddle(const char *sql) {
    sqlite3 *db = NULL;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s: %s", sql, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What SQLite answers, as text; the caller frees it. */
static inline char *ask(const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const unsigned char *text = sqlite3_column_text(statement, 0);
    char *copy = strdup(text ? (const char *)text : "");
    assert_non_null(copy);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return copy;
}

#endif
