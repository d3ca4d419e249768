/*
 * service.h - the service layer: what every front can ask of the databases, one request at a time, so that permission,
 * limits, audit, admission and counting are the same on all of them.
 *
 *     service_admit   who is it, may they, not too often, which database -- before any body
 *            |  ADMITTED (PENDING: once more when ready() was called; REFUSED: refusal says why)
 *            v
 *     service_reserve   room in the audit log -- when all of the request is here: a client that sends its body slowly
 *            |          must not hold any
 *            v
 *     service_try(service, &request) -- true: answered
 *            | false: it has to wait
 *            v
 *     service_start(service, &request) -> ... -> request.done(&request), once, on any thread
 *            |
 *            v
 *     service_settle  what came of it goes to the audit log -- before the reply is sent
 *     service_request_end
 *
 * None of these calls waits for a disk: writes go through the engine's asynchronous commit, everything else that may
 * wait goes to the executor. A request and all that it points to live until it is answered; its reply lives until
 * service_request_end.
 *
 * Threads: all functions from any thread; one request belongs to one thread at a time.
 */
#ifndef VELOCITY_SERVER_SERVICE_H
#define VELOCITY_SERVER_SERVICE_H

#include "engine/velocity.h"
#include "server/audit.h"
#include "server/auth.h"
#include "server/databases.h"
#include "server/executor.h"
#include "server/jobs.h"
#include "server/json.h"
#include "server/scratch.h"
#include "server/store.h"
#include "server/transactions.h"

#include <stdatomic.h>

struct service;

struct service_options {
    uint32_t executor_threads;   /* 0: 2 x cores */
    uint32_t executor_queue;     /* requests that may wait for them; 0: 1024 */
    uint64_t max_value_bytes;    /* of one value */
    uint64_t max_inflight_bytes; /* of request bodies held at once */
    uint64_t disk_reserve_bytes; /* free space of data_dir's file system below which writes answer NO_SPACE; 0: none */
    const char *data_dir;        /* copied */
    /* Of transactions; 0: as transactions_options has it. All open ones together hold at most max_inflight_bytes. */
    uint32_t transaction_idle_seconds, transaction_max_seconds, max_transactions_per_user;
    uint64_t max_transaction_bytes;
    /* The caller's; they must outlive the service. */
    struct databases *databases;
    struct auth *auth;
    struct audit *audit; /* NULL: nothing is recorded */
};

/* Requests a second; 0: no limit. They may change at any time. */
struct service_limits {
    uint64_t per_user, per_connection, global;
};

/* NULL when memory or threads could not be had: velocity_error_message() says which. */
struct service *service_new(const struct service_options *options);
/* No front may use it any more. NULL is allowed. */
void service_free(struct service *service);
void service_set_limits(struct service *service, const struct service_limits *limits);
struct databases *service_databases(struct service *service);
struct auth *service_auth(struct service *service);
struct audit *service_audit(struct service *service); /* NULL: none */
struct jobs *service_jobs(struct service *service);   /* its own, and ended with it */
struct transactions *service_transactions(struct service *service);
/* For what a request that was admitted leads to later: streams. */
struct executor *service_executor(struct service *service);

/* ---- requests --------------------------------------------------------------------------------------------------- */

enum service_operation {
    SERVICE_GET,
    SERVICE_PUT,
    SERVICE_DELETE,
    SERVICE_PATCH, /* a JSON merge patch (RFC 7396) of what stands there */
    SERVICE_DELETE_RANGE,
    SERVICE_BATCH,
    SERVICE_SCAN,
    SERVICE_CALL, /* anything else that may wait: `call` runs on the executor */
    SERVICE_COMMIT,
    SERVICE_ROLLBACK, /* both: of the transaction `transaction_id` */
};

/* What a front declares of one of its operations, in its table. */
struct service_action {
    const char *name; /* in figures, audit log and documents: "put" */
    enum permission permission;
    enum audit_class audit;
    bool unlimited;      /* rate limits do not count it */
    bool in_database;    /* it concerns the keys of one database, which is acquired */
    bool in_transaction; /* it can be done inside of one */
    bool probe;          /* whether the process is well: answered to anyone, whatever they show */
};

/* Who asks, and from where. Everything is the front's, until the request has ended. */
struct service_caller {
    struct principal *principal; /* NULL: nobody */
    bool refused;                /* what it showed was wrong */
    const char *address;         /* peer.text, or what a trusted proxy said */
    struct rate_bucket *bucket;  /* of the connection; NULL: none */
    const char *request_id;
};

/* What must hold of the key for a put, delete or patch to happen; else CONFLICT. */
enum service_precondition {
    SERVICE_ALWAYS,
    SERVICE_AT_VERSION, /* it stands at if_version, VELOCITY_ABSENT or VELOCITY_EXISTS */
    SERVICE_IF_HOLDS,   /* holds(holds_arg, what it stands at: store_standing); the key is read first */
};

/* One operation of a batch, and afterwards its result. */
enum service_batch_action {
    SERVICE_BATCH_PUT,
    SERVICE_BATCH_DELETE,
    SERVICE_BATCH_GET,
    SERVICE_BATCH_INCREMENT, /* of a decimal i64, 0 where there is none: UNFIT where it is something else, or too far */
    SERVICE_BATCH_TOUCH,     /* changes nothing but the expiry; of a key that is absent it does nothing */
};

struct service_batch_operation {
    enum service_batch_action action;
    uint32_t flags; /* of a put; of an increment, where it makes the key */
    velocity_slice key;
    velocity_slice value;  /* of a put; out: of a get that found one, and the digits that an increment came to */
    int64_t by;            /* of an increment */
    int64_t expires_at_ms; /* of a put or touch: 0: never; out: of a get that found one */
    bool found;            /* out: of a get or touch */
    uint64_t version;      /* out: of the write, or of what the get found */
    uint32_t found_flags;  /* out, get */
};

struct service_request;

struct service_batch {
    const struct store_condition *conditions;
    size_t condition_count;
    struct service_batch_operation *operations;
    size_t operation_count;
    uint64_t max_found_bytes; /* gets and touches that find more together: INVALID, nothing done */
    /* Of one that reads: asked when all was found and nothing is done yet, perhaps more than once. Is there room for
     * the reply? False: BUSY. NULL: there is. */
    bool (*has_room)(struct service_request *request);
    /* internal */
    velocity_value *values;
    size_t value_count;
    struct scratch made;     /* values of increments */
    struct attempt *attempt; /* to be composed */
};

/* What a front knows of a value that it stored. */
struct service_content {
    size_t at; /* bytes before it: its type's name */
    bool json; /* its type is JSON */
};

/* Why a request was refused where the status alone does not say. */
enum service_refusal {
    SERVICE_NO_REFUSAL,
    SERVICE_NOT_JSON,         /* INVALID: json_error says why */
    SERVICE_QUEUE_FULL,       /* BUSY */
    SERVICE_DISK_LOW,         /* NO_SPACE */
    SERVICE_FOUND_TOO_LARGE,  /* INVALID: batch.max_found_bytes */
    SERVICE_UNFIT,            /* CONFLICT: what is stored is not what the operation needs; the message says what */
    SERVICE_RESULT_TOO_LARGE, /* INVALID: what a patch makes is larger than a value may be */
    /* of service_admit; nothing was done */
    SERVICE_LOGIN_NEEDED,
    SERVICE_LOGIN_WRONG,
    SERVICE_ROLE_TOO_LOW,
    SERVICE_OUT_OF_SCOPE, /* also of a write: INVALID */
    SERVICE_RATE_LIMITED, /* rate.retry_after_ms */
    SERVICE_NOT_AUDITED,  /* the audit log can't be written */
    SERVICE_NO_DATABASE,  /* status: NOT_FOUND, or why it could not be opened */
    /* of what is done with a transaction, by service_admit too; a message says more */
    SERVICE_TRANSACTION_UNKNOWN,
    SERVICE_TRANSACTION_BUSY,
    SERVICE_TRANSACTION_EXPIRED,  /* idle or open for too long */
    SERVICE_TRANSACTION_ENDED,    /* otherwise */
    SERVICE_TRANSACTION_TOO_LARGE /* INVALID: what it would hold */
};

enum service_verdict { SERVICE_ADMITTED, SERVICE_REFUSED, SERVICE_PENDING };

struct service_request {
    /* set before service_admit */
    const struct service_action *action;
    struct service_caller caller;
    velocity_slice database_name;
    velocity_slice transaction_id;                  /* all of it is done inside of this one; empty: of none */
    void (*ready)(struct service_request *request); /* after PENDING; on any thread */
    /* set before service_try */
    enum service_operation operation;
    velocity_slice key; /* of get, put, delete; else what the audit log shall name: a user, a prefix */
    const char *remark; /* for the audit log, may be NULL; never a value or a secret */
    /* put, patch */
    velocity_slice value; /* of a patch: the patch */
    /* put */
    uint32_t flags;        /* type JSON is always checked */
    int64_t expires_at_ms; /* 0: never */
    bool check_json;       /* check the value though its type is another */
    size_t json_at;        /* bytes before the JSON in the value: its type's name */
    /* patch, and a batch with increments: takes a stored value apart. False: it is damaged. */
    bool (*look_into)(uint32_t flags, velocity_slice stored, struct service_content *out);
    velocity_slice range_start, range_end; /* of delete_range; empty: no bound */
    /* put, delete, patch */
    enum service_precondition precondition;
    uint64_t if_version;
    bool (*holds)(void *arg, uint64_t standing);
    void *holds_arg;
    /* batch, scan; the caller's */
    struct service_batch *batch;
    struct store_scan *scan;
    bool scan_whole; /* refused where the scan's range is not wholly inside of the scope; else it is clipped */
    /* Of a scan that may take long, and ended before it was complete: true: `scan` says where it goes on, and it does
     * so when the others that wait have had their turn, in the state that it began with. NULL: it never goes on. */
    bool (*goes_on)(struct service_request *request);
    /* Runs where the answer of a batch or scan was made and may take its time, before done; NULL: nothing. What the
     * gets of a batch have found is gone afterwards. */
    void (*render)(struct service_request *request);
    void (*call)(struct service_request *request);
    void (*done)(struct service_request *request);

    /* the reply */
    velocity_status status;
    enum service_refusal refusal;
    struct rate_answer rate; /* the limit that has the least left; limit 0: none */
    uint64_t version; /* OK: of the write, inside of a transaction VELOCITY_ABSENT; of a batch without writes: of what
                         was read */
    uint64_t current_version; /* CONFLICT: as store_standing has it; of a commit: the message and commit.lost_key name
                                 the key */
    size_t failed_condition;  /* CONFLICT, OUT_OF_SCOPE of a batch: the operation or condition */
    struct json_error json_error;
    velocity_value found; /* get, OK; released by service_request_end */

    /* internal */
    struct service *service;
    struct database *database;
    uint64_t opening;                /* of the database that was left */
    struct store *store;             /* the database's, or the transaction's while it is entered */
    struct transaction *transaction; /* entered; NULL: none */
    struct store *view;              /* the state of a scan that may go on; NULL: none */
    struct rewrite *rewrite;         /* in the commit queue; NULL: none */
    bool reserved;                   /* room in the audit log */
    bool begun;                      /* service_try was called */
    struct audit_waiter waiter;
    struct executor_task task;
    struct store_commit commit;
};

/* REFUSED: refusal and status say why; the reply must still be settled. */
VELOCITY_CHECK_RESULT enum service_verdict service_admit(struct service *service, struct service_request *request);
/* As service_admit, which came before. */
VELOCITY_CHECK_RESULT enum service_verdict service_reserve(struct service *service, struct service_request *request);
/* Records what came of it: `status` is HTTP's, or what stands for it. ADMITTED: the reply may go out; PENDING: ready()
 * will run, then once more. Never REFUSED. */
VELOCITY_CHECK_RESULT enum service_verdict service_settle(struct service *service, struct service_request *request,
                                                          unsigned status);
/* The same for what need not be on disk before its reply: an error, or nobody who would hear it. */
void service_record(struct service *service, struct service_request *request, unsigned status);
/* For the audit log: somebody was turned away before any operation began, for a reason that `action` names. Never
 * waits; there is an end to the rows of one who goes on with it. */
void service_note_refusal(struct service *service, const struct service_caller *caller, const char *action,
                          unsigned status, const char *detail);
/* The same without a row of its own: it is counted. */
void service_count_refusal(struct service *service, const struct service_caller *caller);

/* True: answered. False: nothing has happened yet, and service_start must be called (after suspending whatever must not
 * go on). */
VELOCITY_CHECK_RESULT bool service_try(struct service *service, struct service_request *request);
/* done may run before this returns. */
void service_start(struct service *service, struct service_request *request);
/* Gives back what the reply holds; the request may then be filled anew. Harmless on a zeroed one, and twice. */
void service_request_end(struct service_request *request);
/* The same, and what was kept for reuse. */
void service_request_destroy(struct service_request *request);
/* Why, in words, after a status that is an error; "" if there is nothing to say. */
const char *service_request_message(const struct service_request *request);

/* ---- around requests -------------------------------------------------------------------------------------------- */

/* Less than disk_reserve_bytes is free: what takes space is refused. Counts it as refused. For calls, which say
 * themselves what they do. */
VELOCITY_CHECK_RESULT bool service_refuses_space(struct service *service);

/* Of a request that goes on for long: between two calls it is not inside of its database, which may be dropped
 * meanwhile. Stepping in waits for nobody. False: the database is gone, even where another has its name now, and the
 * request says so. */
void service_step_out(struct service_request *request);
VELOCITY_CHECK_RESULT bool service_step_in(struct service_request *request);

/* A budget of bytes of request bodies. False: it would be exceeded, nothing was taken. */
VELOCITY_CHECK_RESULT bool service_take_bytes(struct service *service, uint64_t bytes);
void service_give_bytes(struct service *service, uint64_t bytes);

struct service_stats {
    uint64_t inflight_bytes, max_inflight_bytes;
    uint32_t executor_waiting;
    uint64_t disk_free_bytes; /* UINT64_MAX: not known */
    uint64_t disk_reserve_bytes;
    uint64_t refused_inflight, refused_queue_full, refused_disk_low, refused_rate; /* since the start */
};
void service_stats(struct service *service, struct service_stats *out);

#endif
