/*
 * service_admit.c - the gate and the record: permission, rate limits, scope, audit.
 *
 * A request that was begun is recorded however it ends; one that was refused is recorded where its operation is, and
 * always where somebody showed a wrong secret or asked for what is not theirs.
 */
#include "server/service_internal.h"

#include <stdio.h>
#include <time.h>

#define STATUS_CLIENT_LEFT 499u /* what logs of proxies call it */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- permission ------------------------------------------------------------------------------------------------- */

static bool permitted(struct service_request *request) {
    const struct service_caller *caller = &request->caller;
    const struct service_action *action = request->action;
    if (caller->refused) {
        service_refuse(request, VELOCITY_INVALID, SERVICE_LOGIN_WRONG);
        return false;
    }
    if (action->permission == PERMISSION_NONE) return true;
    if (!caller->principal) {
        service_refuse(request, VELOCITY_INVALID, SERVICE_LOGIN_NEEDED);
        return false;
    }
    if (!principal_may(caller->principal, action->permission)) {
        service_refuse(request, VELOCITY_INVALID, SERVICE_ROLE_TOO_LOW);
        return false;
    }
    if (action->in_database && !scope_has_database(&caller->principal->scope, request->database_name)) {
        service_refuse(request, VELOCITY_INVALID, SERVICE_OUT_OF_SCOPE);
        return false;
    }
    return true;
}

/* ---- rate limits ------------------------------------------------------------------------------------------------ */

#define LIMITS 3

/* The answer with the least left is the one to tell. */
static void tell(struct service_request *request, const struct rate_answer *answer) {
    if (!answer->limit) return;
    if (request->rate.limit && request->rate.remaining <= answer->remaining) return;
    request->rate = *answer;
}

static bool often_enough(struct service *service, struct service_request *request) {
    const struct service_caller *caller = &request->caller;
    struct {
        struct rate_bucket *bucket;
        uint64_t per_second;
    } limits[LIMITS] = {
        {caller->bucket, atomic_load_explicit(&service->limit_per_connection, memory_order_relaxed)},
        {caller->principal ? caller->principal->bucket : NULL,
         atomic_load_explicit(&service->limit_per_user, memory_order_relaxed)},
        {&service->bucket, atomic_load_explicit(&service->limit_global, memory_order_relaxed)},
    };
    if (request->action->unlimited) return true;
    uint64_t now = 0;
    for (size_t i = 0; i < LIMITS; i++) {
        struct rate_answer answer;
        if (!limits[i].bucket || !limits[i].per_second) continue;
        if (!now) now = now_ns();
        if (rate_take(limits[i].bucket, limits[i].per_second, now, &answer)) {
            tell(request, &answer);
            continue;
        }
        while (i-- > 0)
            if (limits[i].bucket && limits[i].per_second) rate_give_back(limits[i].bucket, limits[i].per_second);
        request->rate = answer;
        service_refuse(request, VELOCITY_BUSY, SERVICE_RATE_LIMITED);
        atomic_fetch_add_explicit(&service->refused_rate, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

/* ---- scope ------------------------------------------------------------------------------------------------------ */

static bool batch_in_scope(struct service_request *request, const struct scope *scope) {
    const struct service_batch *batch = request->batch;
    for (size_t i = 0; i < batch->condition_count; i++) {
        request->failed_condition = i;
        if (!scope_has_key(scope, batch->conditions[i].key)) return false;
    }
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct service_batch_operation *operation = &batch->operations[i];
        request->failed_condition = i;
        if (operation->action == SERVICE_BATCH_GET) continue; /* clipped when it is read */
        if (!principal_may(request->caller.principal, PERMISSION_WRITE)) {
            service_refuse(request, VELOCITY_INVALID, SERVICE_ROLE_TOO_LOW);
            return false;
        }
        if (!scope_has_key(scope, operation->key)) return false;
    }
    return true;
}

bool service_in_scope(struct service_request *request) {
    const struct principal *principal = request->caller.principal;
    bool inside = true;
    if (!principal) return true;
    switch (request->operation) {
    case SERVICE_GET:
        inside = scope_has_key(&principal->scope, request->key);
        if (inside) return true;
        service_refuse(request, VELOCITY_NOT_FOUND, SERVICE_NO_REFUSAL); /* reads are clipped */
        return false;
    case SERVICE_SCAN:
        inside = !request->scan_whole ||
                 scope_has_range(&principal->scope, request->scan->start, request->scan->end, request->scan->prefix);
        if (!inside) break;
        request->scan->prefixes = principal->scope.prefixes;
        request->scan->prefix_count = principal->scope.prefix_count;
        return true;
    case SERVICE_PUT:
    case SERVICE_DELETE:
    case SERVICE_PATCH: inside = scope_has_key(&principal->scope, request->key); break;
    case SERVICE_DELETE_RANGE:
        inside = scope_has_range(&principal->scope, request->range_start, request->range_end, velocity_bytes(NULL, 0));
        break;
    case SERVICE_BATCH: inside = batch_in_scope(request, &principal->scope); break;
    case SERVICE_CALL:
    case SERVICE_COMMIT:
    case SERVICE_ROLLBACK: return true;
    }
    if (!inside && request->refusal == SERVICE_NO_REFUSAL)
        service_refuse(request, VELOCITY_INVALID, SERVICE_OUT_OF_SCOPE);
    return inside;
}

/* ---- audit ------------------------------------------------------------------------------------------------------ */

static void ready(struct audit_waiter *waiter) {
    struct service_request *request =
        (struct service_request *)((char *)waiter - offsetof(struct service_request, waiter));
    request->ready(request);
}

/* Somebody tried what was not theirs: that is recorded whatever the operation. */
static bool is_offence(const struct service_request *request) {
    return request->refusal == SERVICE_LOGIN_WRONG || request->refusal == SERVICE_ROLE_TOO_LOW ||
           request->refusal == SERVICE_OUT_OF_SCOPE;
}

static enum service_verdict reserve(struct service *service, struct service_request *request, enum audit_class class) {
    if (!service->audit || request->reserved || !audit_wants(service->audit, class)) return SERVICE_ADMITTED;
    request->waiter.ready = ready;
    switch (audit_reserve(service->audit, &request->waiter)) {
    case AUDIT_GO: request->reserved = true; break;
    case AUDIT_WAIT: return SERVICE_PENDING;
    case AUDIT_FAILING:
        if (request->refusal == SERVICE_NO_REFUSAL) service_refuse(request, VELOCITY_BUSY, SERVICE_NOT_AUDITED);
        return SERVICE_REFUSED;
    }
    return SERVICE_ADMITTED;
}

enum service_verdict service_reserve(struct service *service, struct service_request *request) {
    return reserve(service, request, request->action->audit);
}

#define REMARK_BYTES 1024

/* "3 writes: a, b, c", as many keys as there is room for. */
static void describe_batch(const struct service_batch *batch, char *remark, size_t used) {
    size_t writes = 0;
    for (size_t i = 0; i < batch->operation_count; i++) writes += batch->operations[i].action != SERVICE_BATCH_GET;
    used += (size_t)snprintf(remark + used, REMARK_BYTES - used, "%zu writes", writes);
    const char *separator = ": ";
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct service_batch_operation *operation = &batch->operations[i];
        if (operation->action == SERVICE_BATCH_GET) continue;
        if (used + strlen(separator) + operation->key.size + sizeof ", ..." > REMARK_BYTES) {
            strcpy(remark + used, ", ...");
            return;
        }
        used += (size_t)snprintf(remark + used, REMARK_BYTES - used, "%s", separator);
        memcpy(remark + used, operation->key.data, operation->key.size);
        used += operation->key.size;
        remark[used] = 0;
        separator = ", ";
    }
}

/* What there is to add: of a batch its writes, inside of a transaction which one it is. */
static const char *describe(const struct service_request *request, char remark[REMARK_BYTES]) {
    bool inside = request->transaction_id.size >= TRANSACTION_PREFIX_BYTES && request->action->in_transaction;
    bool batch = request->operation == SERVICE_BATCH && request->batch;
    const char *own = request->remark ? request->remark : "";
    if (!inside && !batch) return own;
    const char *more = batch ? "" : own;
    size_t used = 0;
    if (inside)
        used = (size_t)snprintf(remark, REMARK_BYTES, "in transaction %.*s%s%.500s", TRANSACTION_PREFIX_BYTES,
                                (const char *)request->transaction_id.data, batch || *more ? ", " : "", more);
    if (batch) describe_batch(request->batch, remark, used);
    return remark;
}

/* Who it was, from where; the rest is to be filled in. */
static struct audit_event event_of(const struct service_caller *caller) {
    static const char *const logins[] = {
        [LOGIN_OPEN] = "open", [LOGIN_PASSWORD] = "password", [LOGIN_TOKEN] = "token", [LOGIN_SESSION] = "session"};
    const struct principal *principal = caller->principal;
    return (struct audit_event){.user = principal ? principal->user : "",
                                .login = principal ? logins[principal->login] : "",
                                .login_id = principal ? principal->id : "",
                                .address = caller->address,
                                .request_id = caller->request_id};
}

/* Nothing was done, so it can be tried again for ever. What level WRITES or ALL wants of keys stays whole. */
static bool is_refusal(const struct service_request *request, unsigned status) {
    enum audit_class class = request->action->audit;
    if (!request->caller.principal) return status >= 400;
    bool can_be_many = is_offence(request) || class == AUDIT_SECURITY || class == AUDIT_ADMIN;
    return can_be_many && status >= 400 && status < STATUS_CLIENT_LEFT;
}

static void record(struct service_request *request, unsigned status) {
    char remark[REMARK_BYTES];
    struct audit *audit = request->service->audit;
    /* The key is the name that was tried. */
    bool login = request->refusal == SERVICE_LOGIN_WRONG && !request->caller.principal;
    struct audit_event event = event_of(&request->caller);
    event.action = login ? "login" : request->action->name;
    event.database = login && request->key.size ? velocity_bytes(NULL, 0) : request->database_name;
    event.key = request->key;
    event.status = status;
    event.detail = describe(request, remark);
    if (is_refusal(request, status))
        audit_record_refusal(audit, &event);
    else
        audit_record(audit, &event);
    request->reserved = false;
}

void service_note_refusal(struct service *service, const struct service_caller *caller, const char *action,
                          unsigned status, const char *detail) {
    struct audit_event event = event_of(caller);
    if (!service->audit || !audit_wants(service->audit, AUDIT_SECURITY)) return;
    event.action = action;
    event.status = status;
    event.detail = detail;
    audit_note_refusal(service->audit, &event);
}

void service_count_refusal(struct service *service, const struct service_caller *caller) {
    if (!service->audit || !audit_wants(service->audit, AUDIT_SECURITY)) return;
    audit_count_refusal(service->audit, caller->principal ? caller->principal->user : "", caller->address);
}

/* A stranger can go on for ever with what costs nothing. So what came to nothing is recorded of those who are known,
 * and of strangers the wrong guess, which leads to a ban. */
static bool is_noise(const struct service_request *request, unsigned status) {
    return !request->caller.principal && status >= 400 && status != 401 && status != STATUS_CLIENT_LEFT;
}

void service_record(struct service *service, struct service_request *request, unsigned status) {
    if (request->service && service->audit && request->reserved) record(request, status);
}

enum service_verdict service_settle(struct service *service, struct service_request *request, unsigned status) {
    if (!request->service || !service->audit) return SERVICE_ADMITTED;
    /* One that only its key or batch gave away has no room yet where its operation is not recorded. */
    if (is_offence(request) && reserve(service, request, AUDIT_SECURITY) == SERVICE_PENDING) return SERVICE_PENDING;
    if (!request->reserved) return SERVICE_ADMITTED;
    if (is_noise(request, status)) {
        audit_cancel(service->audit);
        request->reserved = false;
        return SERVICE_ADMITTED;
    }
    bool through = request->action->audit == AUDIT_SECURITY && request->refusal == SERVICE_NO_REFUSAL;
    record(request, status);
    if (!through) return SERVICE_ADMITTED;
    request->waiter.ready = ready;
    return audit_settle(service->audit, &request->waiter) == AUDIT_WAIT ? SERVICE_PENDING : SERVICE_ADMITTED;
}

static void leave_database(struct service_request *request) {
    database_release(request->database);
    request->database = NULL;
    request->store = NULL;
}

void service_release(struct service_request *request) {
    if (request->reserved) {
        if (request->begun)
            record(request, STATUS_CLIENT_LEFT);
        else
            audit_cancel(request->service->audit);
        request->reserved = false;
    }
    leave_database(request);
    request->begun = false;
}

/* ---- the gate --------------------------------------------------------------------------------------------------- */

static bool enter_database(struct service *service, struct service_request *request) {
    if (!request->action->in_database) return true;
    velocity_status status = databases_acquire(service->databases, request->database_name, &request->database);
    if (status == VELOCITY_OK) {
        request->store = database_store(request->database);
        return true;
    }
    service_refuse(request, status, SERVICE_NO_DATABASE);
    request->commit.message[0] = 0;
    strncat(request->commit.message, velocity_error_message(), sizeof request->commit.message - 1);
    return false;
}

void service_step_out(struct service_request *request) {
    if (!request->database) return;
    request->opening = database_opening(request->database);
    leave_database(request);
}

bool service_step_in(struct service_request *request) {
    if (!enter_database(request->service, request)) return false;
    if (database_opening(request->database) == request->opening) return true;
    leave_database(request);
    service_refuse(request, VELOCITY_NOT_FOUND, SERVICE_NO_DATABASE);
    return false;
}

enum service_verdict service_admit(struct service *service, struct service_request *request) {
    if (!request->service) { /* else it waited for the audit log, and everything before was judged */
        request->service = service;
        request->refusal = SERVICE_NO_REFUSAL;
        request->commit.message[0] = 0;
        /* The refusals of those who are known count, too: each leaves a row in the audit log. */
        if (permitted(request) || request->caller.principal) (void)often_enough(service, request);
    }
    if (is_offence(request)) {
        enum service_verdict verdict = reserve(service, request, AUDIT_SECURITY);
        if (verdict == SERVICE_PENDING) return verdict;
    }
    if (request->refusal != SERVICE_NO_REFUSAL) return SERVICE_REFUSED;
    if (!enter_database(service, request)) return SERVICE_REFUSED;
    if (request->transaction_id.size && !service_look_at_transaction(service, request)) return SERVICE_REFUSED;
    return SERVICE_ADMITTED;
}
