/*
 * service_transaction.c - requests inside of transactions, and their end.
 *
 *     service_admit: is it there at all? (look)
 *     service_try:   enter --> the executor: the operation, on the transaction's store --> leave --> done
 *                                            or its commit, asynchronously -------------> done
 */
#include "server/service_internal.h"

#include <stdio.h>

static struct transaction_caller caller_of(const struct service_request *request) {
    return (struct transaction_caller){.principal = request->caller.principal, .database = request->database_name};
}

static bool refuse(struct service_request *request, velocity_status status, enum service_refusal refusal,
                   const char *why) {
    service_refuse(request, status, refusal);
    (void)snprintf(request->commit.message, sizeof request->commit.message, "%s", why);
    return false;
}

/* How it ended, to whoever wants more of it. */
static bool refuse_ended(struct service_request *request, const struct outcome *outcome) {
    switch ((enum transaction_end)outcome->end) {
    case TRANSACTION_IDLE:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_EXPIRED,
                      "no request came for longer than transaction_idle_seconds: it was rolled back");
    case TRANSACTION_OLD:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_EXPIRED,
                      "it was open for longer than transaction_max_seconds: it was rolled back");
    case TRANSACTION_ROLLED_BACK:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_ENDED, "it was rolled back");
    case TRANSACTION_REVOKED:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_ENDED,
                      "who began it may no longer do what they could: it was rolled back");
    case TRANSACTION_DROPPED:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_ENDED,
                      "its database was being dropped: it was rolled back");
    case TRANSACTION_COMMITTED: break;
    }
    return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_ENDED,
                  outcome->status == VELOCITY_OK ? "it was committed" : "its commit ended it");
}

/* Whoever commits again, because the answer was lost, gets the same one. */
static bool answer_again(struct service_request *request, struct outcome *outcome) {
    if (request->operation != SERVICE_COMMIT || outcome->end != TRANSACTION_COMMITTED)
        return refuse_ended(request, outcome);
    request->status = outcome->status;
    request->version = outcome->version;
    memcpy(request->commit.message, outcome->message, sizeof outcome->message);
    store_commit_forget(&request->commit);
    request->commit.lost_key = outcome->key; /* is the request's now */
    outcome->key = velocity_bytes(NULL, 0);
    return false;
}

_Static_assert(sizeof((struct outcome *)0)->message <= sizeof((struct store_commit *)0)->message, "it is copied");

static bool judge(struct service_request *request, enum transaction_entry entry, struct outcome *outcome) {
    switch (entry) {
    case TRANSACTION_ENTERED: return true;
    case TRANSACTION_BUSY:
        return refuse(request, VELOCITY_INVALID, SERVICE_TRANSACTION_BUSY, "another request is inside of it");
    case TRANSACTION_UNKNOWN: break;
    case TRANSACTION_ENDED: return answer_again(request, outcome);
    }
    return refuse(request, VELOCITY_NOT_FOUND, SERVICE_TRANSACTION_UNKNOWN,
                  "there is none with this id that this login began in this database");
}

bool service_look_at_transaction(struct service *service, struct service_request *request) {
    struct transaction_caller caller = caller_of(request);
    struct outcome outcome = {0};
    enum transaction_entry entry = transactions_look(service->transactions, request->transaction_id, &caller, &outcome);
    /* Whoever is inside may have left by the time that this one has come as far. */
    bool good = entry == TRANSACTION_BUSY || judge(request, entry, &outcome);
    outcome_clear(&outcome);
    return good;
}

bool service_enter_transaction(struct service *service, struct service_request *request) {
    struct transaction_caller caller = caller_of(request);
    struct transaction *transaction = NULL;
    struct outcome outcome = {0};
    enum transaction_entry entry =
        transactions_enter(service->transactions, request->transaction_id, &caller, &transaction, &outcome);
    bool entered = judge(request, entry, &outcome);
    outcome_clear(&outcome);
    if (!entered) return false;
    request->transaction = transaction;
    request->store = transaction_store(transaction);
    if (request->operation != SERVICE_COMMIT || !transaction_takes_space(transaction) ||
        !service_refuses_space(service))
        return true;
    service_refuse(request, VELOCITY_NO_SPACE, SERVICE_DISK_LOW);
    service_leave_transaction(request);
    return false;
}

void service_leave_transaction(struct service_request *request) {
    if (!request->transaction) return;
    bool failed = request->status != VELOCITY_OK && request->refusal == SERVICE_NO_REFUSAL;
    if (failed && transaction_excess(request->transaction) == TRANSACTION_TOO_LARGE)
        request->refusal = SERVICE_TRANSACTION_TOO_LARGE;
    transaction_leave(request->transaction);
    request->transaction = NULL;
    request->store = database_store(request->database); /* what was found is given back through it */
}

static void committed(struct store_commit *commit) {
    struct service_request *request =
        (struct service_request *)((char *)commit - offsetof(struct service_request, commit));
    request->status = commit->status;
    request->version = commit->version;
    request->transaction = NULL; /* it was left */
    request->store = database_store(request->database);
    request->done(request);
}

void service_commit(struct service_request *request) {
    request->commit.done = committed;
    transaction_commit(request->transaction, &request->commit);
}

/* To roll back what is rolled back already is done. */
void service_rollback(struct service *service, struct service_request *request) {
    struct transaction_caller caller = caller_of(request);
    struct outcome outcome = {0};
    enum transaction_entry entry =
        transactions_rollback(service->transactions, request->transaction_id, &caller, &outcome);
    request->status = VELOCITY_OK;
    bool undone =
        entry == TRANSACTION_ENDED && (outcome.end != TRANSACTION_COMMITTED || outcome.status == VELOCITY_CONFLICT);
    if (!undone) (void)judge(request, entry, &outcome);
    outcome_clear(&outcome);
}
