/*
 * audit.h - who did what, when, from where and with which result: a SQLite database that one thread writes in batches.
 *
 *     audit_reserve -- GO --> the operation --> audit_record --> [queue] --writer--> audit.db (WAL, one transaction
 *         |     \- FAILING: 503                                                     a batch, within a second)
 *         +-- WAIT: ready() when there is room again
 *
 * Invariants:
 *  1. Nothing that was done is without a row: who reserved has room, and who finds none waits.
 *  2. Each row's hash is SHA-256 over the row before it and its own fields, so that a changed or removed row shows. The
 *     head (number and hash of the newest row) goes to the log every hour and at the end, so that a cut tail shows.
 *  3. Rows leave only from the oldest end, by age or size; an anchor row says how many and with which hash.
 *
 * Threads: one writer of its own; all functions from any thread. audit_reserve, audit_record..., audit_wants never
 * wait; audit_query and audit_verify read the file over connections of their own.
 */
#ifndef VELOCITY_SERVER_AUDIT_H
#define VELOCITY_SERVER_AUDIT_H

#include "engine/velocity.h"
#include "server/logger.h"

struct audit;

enum audit_class {
    AUDIT_NEVER,
    AUDIT_SECURITY, /* logins, users, tokens: at every level, and on disk before its reply */
    AUDIT_ADMIN,    /* databases, configuration */
    AUDIT_WRITE,    /* of keys */
    AUDIT_READ,
};
enum audit_level { AUDIT_LEVEL_ADMIN, AUDIT_LEVEL_WRITES, AUDIT_LEVEL_ALL };
enum audit_keys { AUDIT_KEYS_NAME, AUDIT_KEYS_HASH }; /* HASH: SHA-256 of database, NUL and key, in hexadecimal */
enum audit_on_failure { AUDIT_REFUSE, AUDIT_CONTINUE };

struct audit_settings {
    bool enabled; /* false: nothing is recorded, what is there stays readable */
    enum audit_level level;
    enum audit_keys keys;
    enum audit_on_failure on_failure;
    uint32_t retention_days; /* 0: no end */
    uint64_t max_bytes;      /* of the file; 0: no end */
};

/* `path`: made (0600) if it is missing. A file that is no audit log, or one that is damaged: CORRUPT. */
VELOCITY_CHECK_RESULT velocity_status audit_open(const char *path, const struct audit_settings *settings,
                                                 struct logger *log, struct audit **out);
void audit_configure(struct audit *audit, const struct audit_settings *settings);
/* Writes what was recorded. NULL is allowed. */
void audit_close(struct audit *audit);

/* Number and hash of the newest row, to the log now: as each hour, and when it is closed. */
void audit_log_head(struct audit *audit);

bool audit_wants(struct audit *audit, enum audit_class class);

struct audit_waiter {
    void (*ready)(struct audit_waiter *waiter); /* on the writer's thread; must not wait */
    struct audit_waiter *next;                  /* internal */
    uint64_t ticket;                            /* internal: 0 before it is used the first time */
};
enum audit_answer {
    AUDIT_GO,
    AUDIT_WAIT,    /* ready will run, once; then ask again */
    AUDIT_FAILING, /* rows can't be written and on_failure is REFUSE: the operation must not be done */
};
/* Room for one event. The waiter is only used where it answers WAIT, and must live until ready has run. */
enum audit_answer audit_reserve(struct audit *audit, struct audit_waiter *waiter);
void audit_cancel(struct audit *audit); /* a reservation that is not needed */

/* Copied. Texts may be NULL; longer ones than 1 KiB are cut (key: 16 KiB). */
struct audit_event {
    int64_t time_ms;      /* wall clock; 0: now */
    const char *user;     /* "" or NULL: nobody */
    const char *login;    /* "open", "password", "token", "session" */
    const char *login_id; /* of token or session */
    const char *address;  /* peer.text */
    const char *action;   /* "put", "user.create" */
    velocity_slice database;
    velocity_slice key; /* or prefix, or what the action is about: a user's name */
    unsigned status;    /* HTTP's, or what stands for it */
    const char *request_id;
    const char *detail; /* "": nothing to add; never a value, password or secret */
};
/* Uses up one reservation. */
void audit_record(struct audit *audit, const struct audit_event *event);
/* The same of what was refused, so that nothing was done: of that a user, or the address of a stranger, has 60 rows at
 * once and one a second then, and all strangers together ten. What is beyond is counted, and a minute later a row
 * "audit.refusals" says of whom how many. */
void audit_record_refusal(struct audit *audit, const struct audit_event *event);
/* Without a reservation: where there is no room it is counted, too. */
void audit_note_refusal(struct audit *audit, const struct audit_event *event);
/* Counted only. */
void audit_count_refusal(struct audit *audit, const char *user, const char *address);
/* GO: all that was recorded before the first call with this waiter is on disk (fsync); or rows can't be written and
 * on_failure is CONTINUE. */
enum audit_answer audit_settle(struct audit *audit, struct audit_waiter *waiter);

/* For threads that may wait: the same, but GO or FAILING only. */
enum audit_answer audit_reserve_waiting(struct audit *audit);
enum audit_answer audit_settle_waiting(struct audit *audit);

/* ---- reading (waits) -------------------------------------------------------------------------------------------- */

struct audit_query {
    int64_t since_ms, until_ms;           /* 0: no bound; until is exclusive */
    const char *user, *action, *database; /* NULL: any */
    uint64_t before;                      /* rows with a smaller number only; 0: from the newest */
    uint32_t limit;
};
struct audit_row {
    uint64_t number; /* from 1, without a gap */
    int64_t time_ms;
    const char *user, *login, *login_id, *address, *action, *request_id, *detail;
    velocity_slice database, key;
    bool key_is_hash;
    unsigned status;
    char hash[65];
};
/* The newest first. *more: there are further ones. What is recorded and not written yet is written first. Texts are
 * UTF-8 and never NULL: what came as something else shows with \xHH for each byte that is none. BUSY: searching took
 * more than ten seconds. */
VELOCITY_CHECK_RESULT velocity_status audit_query(struct audit *audit, const struct audit_query *query,
                                                  bool (*row)(void *arg, const struct audit_row *row), void *arg,
                                                  bool *more);

struct audit_verification {
    bool intact;
    uint64_t rows, first, last;
    char head[65];      /* hash of the last row */
    uint64_t broken_at; /* not intact: the first row that does not follow from the one before */
    char reason[160];
};
VELOCITY_CHECK_RESULT velocity_status audit_verify(struct audit *audit, struct audit_verification *out);

struct audit_stats {
    uint64_t recorded, written, batches, pruned, write_failures, waited, refused;
    uint64_t lost; /* with CONTINUE: events for which there was no room while rows could not be written */
    uint32_t queued;
    uint64_t file_bytes;
    bool failing;
};
void audit_stats(struct audit *audit, struct audit_stats *out);

#endif
