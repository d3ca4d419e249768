/*
 * service_batch.c - see service_batch.h.
 *
 * A batch that reads (gets, increments, touches) must look as if it happened at one instant. So: read all keys that it
 * needs from the database as of one snapshot, go through the operations in their order, then write with the further
 * condition that each key still stands where it was read; where one moved, again. What reads a key behind a write of it
 * in the same batch sees what that made of it.
 */
#include "server/service_batch.h"

#include "server/decimal.h"
#include "server/seeded_hash.h"
#include "server/service_internal.h"
#include "server/timestamp.h"

#include <stdlib.h>

/* Operations by key, to find the write that a read follows: open addressing, the newest write of a key stands in it. */
struct write_slot {
    uint32_t operation; /* + 1; 0: empty */
    uint32_t hash;      /* of its key: keys that only share a slot, however long and alike, are not compared */
};

struct write_index {
    struct write_slot *slots;
    size_t mask;
    uint64_t seed;
};

static bool reads(const struct service_batch_operation *operation) {
    return operation->action != SERVICE_BATCH_PUT && operation->action != SERVICE_BATCH_DELETE;
}

/* After it was gone through: does it write? A touch of what is not there does not. */
static bool writes(const struct service_batch_operation *operation) {
    return operation->action != SERVICE_BATCH_GET && (operation->action != SERVICE_BATCH_TOUCH || operation->found);
}

bool service_batch_takes_space(const struct service_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++) {
        enum service_batch_action action = batch->operations[i].action;
        if (action != SERVICE_BATCH_GET && action != SERVICE_BATCH_DELETE) return true;
    }
    return false;
}

bool service_batch_reads(const struct service_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++)
        if (reads(&batch->operations[i])) return true;
    return batch->operation_count == 0;
}

void service_batch_release(struct service_request *request) {
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    for (size_t i = 0; i < batch->value_count; i++) store->operations->release(store, &batch->values[i]);
    free(batch->values);
    batch->values = NULL;
    batch->value_count = 0;
    scratch_reset(&batch->made);
}

static bool key_equal(velocity_slice a, velocity_slice b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static struct write_slot *write_index_slot(const struct write_index *index, const struct service_batch *batch,
                                           velocity_slice key) {
    uint64_t hash = seeded_hash(index->seed, key);
    uint32_t high = (uint32_t)(hash >> 32);
    struct write_slot *slot;
    for (size_t at = hash & index->mask;; at = (at + 1) & index->mask) {
        slot = &index->slots[at];
        if (!slot->operation) break;
        if (slot->hash == high && key_equal(batch->operations[slot->operation - 1].key, key)) break;
    }
    slot->hash = high;
    return slot;
}

/* What a key holds at some place in the batch. */
struct state {
    bool present;
    uint32_t flags;
    uint64_t version; /* of one from the database */
    int64_t expires_at_ms;
    velocity_slice value;
};

/* What one attempt works with. */
struct attempt {
    struct service_request *request;
    struct store_operation *writes;
    size_t write_count;
    struct store_condition *conditions; /* the caller's, then one a key read */
    size_t condition_count;
    velocity_slice *keys; /* to read: those of reads that follow no write, then those of the caller's conditions */
    size_t read_count;
    uint32_t *reads;      /* of each operation that reads: which of `keys` + 1, or 0 */
    uint32_t *sources;    /* the same: the write that it follows + 1, or 0 */
    struct state *states; /* of each operation that writes: what it leaves behind */
    velocity_status *statuses;
    int64_t now_ms;
    struct write_index index;
};

static void attempt_free(struct attempt *a) {
    free(a->writes);
    free(a->conditions);
    free(a->keys);
    free(a->reads);
    free(a->sources);
    free(a->states);
    free(a->statuses);
    free(a->index.slots);
}

static bool attempt_alloc(struct attempt *a, const struct service_batch *batch) {
    size_t n = batch->operation_count, all = n + batch->condition_count + 1, slots = 16;
    while (slots < 2 * n) slots *= 2;
    a->writes = calloc(n + 1, sizeof *a->writes);
    a->conditions = calloc(all, sizeof *a->conditions);
    a->keys = calloc(all, sizeof *a->keys);
    a->reads = calloc(n + 1, sizeof *a->reads);
    a->sources = calloc(n + 1, sizeof *a->sources);
    a->states = calloc(n + 1, sizeof *a->states);
    a->statuses = calloc(all, sizeof *a->statuses);
    a->index.slots = calloc(slots, sizeof *a->index.slots);
    a->index.mask = slots - 1;
    return a->writes && a->conditions && a->keys && a->reads && a->sources && a->states && a->statuses &&
           a->index.slots;
}

static struct store_operation store_operation_of(const struct service_batch_operation *operation) {
    struct store_operation out = {.action = operation->action == SERVICE_BATCH_PUT ? STORE_PUT : STORE_DELETE,
                                  .flags = operation->flags,
                                  .expires_at_ms = operation->expires_at_ms,
                                  .key = operation->key,
                                  .value = operation->value};
    return out;
}

/* Finds for each operation that reads what it follows: a write of the batch, or the database. Gets of keys that are not
 * the caller's to see find nothing. */
static void attempt_plan(struct attempt *a, struct service_batch *batch) {
    const struct principal *principal = a->request->caller.principal;
    for (size_t i = 0; i < batch->operation_count; i++) {
        struct service_batch_operation *operation = &batch->operations[i];
        if (principal && !scope_has_key(&principal->scope, operation->key)) continue; /* a get: writes were checked */
        struct write_slot *slot = write_index_slot(&a->index, batch, operation->key);
        if (reads(operation) && slot->operation) {
            a->sources[i] = slot->operation;
        } else if (reads(operation)) {
            a->keys[a->read_count++] = operation->key;
            a->reads[i] = (uint32_t)a->read_count;
        }
        if (operation->action != SERVICE_BATCH_GET) slot->operation = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < batch->condition_count; i++) {
        a->conditions[i] = batch->conditions[i];
        a->keys[a->read_count + i] = batch->conditions[i].key;
    }
}

/* The caller's conditions against what was read, with the answer that the engine would give. */
static bool conditions_hold(const struct attempt *a, const struct service_batch *batch) {
    for (size_t i = 0; i < batch->condition_count; i++) {
        size_t at = a->read_count + i;
        uint64_t version = store_standing(a->statuses[at], &batch->values[at]);
        if (store_condition_holds(batch->conditions[i].version, version)) continue;
        a->request->status = VELOCITY_CONFLICT;
        a->request->failed_condition = i;
        a->request->current_version = version;
        return false;
    }
    return true;
}

/* ---- going through the operations ------------------------------------------------------------------------------- */

/* What the key of an operation that reads holds before it. What was written with a moment that has passed is gone. */
static struct state state_before(const struct attempt *a, const struct service_batch *batch, size_t i) {
    if (a->sources[i]) {
        struct state state = a->states[a->sources[i] - 1];
        bool expired = state.expires_at_ms && state.expires_at_ms <= a->now_ms;
        return expired ? (struct state){.present = false} : state;
    }
    if (!a->reads[i] || a->statuses[a->reads[i] - 1] != VELOCITY_OK) return (struct state){.present = false};
    const velocity_value *value = &batch->values[a->reads[i] - 1];
    return (struct state){.present = true,
                          .flags = value->flags,
                          .version = value->sequence,
                          .expires_at_ms = value->expires_at_ms,
                          .value = velocity_bytes(value->data, value->size)};
}

static void add_put(struct attempt *a, velocity_slice key, const struct state *state) {
    a->writes[a->write_count++] = (struct store_operation){.action = STORE_PUT,
                                                           .flags = state->flags,
                                                           .expires_at_ms = state->expires_at_ms,
                                                           .key = key,
                                                           .value = state->value};
}

static bool unfit(struct attempt *a, const char *why) {
    service_refuse(a->request, VELOCITY_CONFLICT, SERVICE_UNFIT);
    service_say(a->request, why);
    return false;
}

/* The state's value is to be `number`, behind the bytes that name its type. */
static bool write_number(struct attempt *a, struct service_batch_operation *operation, struct state *state,
                         size_t type_bytes, int64_t number) {
    char *bytes = scratch_alloc(&a->request->batch->made, type_bytes + DECIMAL_I64_BYTES);
    if (!bytes) {
        service_refuse(a->request, VELOCITY_NO_MEMORY, SERVICE_NO_REFUSAL);
        return false;
    }
    if (type_bytes) memcpy(bytes, state->value.data, type_bytes);
    size_t digits = decimal_format_i64(number, bytes + type_bytes);
    state->value = velocity_bytes(bytes, type_bytes + digits);
    operation->value = velocity_bytes(bytes + type_bytes, digits);
    return true;
}

/* From the state before to the one behind. False: refused. */
static bool increment(struct attempt *a, struct service_batch_operation *operation, struct state *state) {
    struct service_content content = {0};
    int64_t number = 0;
    if (!state->present) {
        *state = (struct state){.present = true, .flags = operation->flags};
    } else {
        velocity_slice stored = state->value;
        if (!a->request->look_into(state->flags, stored, &content)) return unfit(a, "the value's type is damaged");
        velocity_slice text = velocity_bytes((const char *)stored.data + content.at, stored.size - content.at);
        if (!decimal_i64(text, &number)) return unfit(a, "the stored value is not a decimal number of 64 bits");
    }
    if (__builtin_add_overflow(number, operation->by, &number)) return unfit(a, "the sum does not fit in 64 bits");
    return write_number(a, operation, state, content.at, number);
}

/* One operation, from what the batch has come to. *bytes counts what is found. False: refused. */
static bool go_through(struct attempt *a, struct service_batch *batch, size_t i, uint64_t *bytes) {
    struct service_batch_operation *operation = &batch->operations[i];
    struct state state = reads(operation) ? state_before(a, batch, i) : (struct state){.present = false};
    switch (operation->action) {
    case SERVICE_BATCH_PUT:
        state = (struct state){.present = true,
                               .flags = operation->flags,
                               .expires_at_ms = operation->expires_at_ms,
                               .value = operation->value};
        add_put(a, operation->key, &state);
        break;
    case SERVICE_BATCH_DELETE: a->writes[a->write_count++] = store_operation_of(operation); break;
    case SERVICE_BATCH_GET:
        operation->found = state.present;
        operation->value = state.value;
        operation->version = state.version;
        operation->found_flags = state.flags;
        operation->expires_at_ms = state.expires_at_ms;
        *bytes += state.value.size;
        return true;
    case SERVICE_BATCH_INCREMENT:
        if (!increment(a, operation, &state)) return false;
        add_put(a, operation->key, &state);
        break;
    case SERVICE_BATCH_TOUCH:
        operation->found = state.present;
        *bytes += state.value.size;
        if (!state.present) break;
        state.expires_at_ms = operation->expires_at_ms;
        add_put(a, operation->key, &state);
        break;
    }
    a->states[i] = state;
    return true;
}

/* Answers the gets and makes the writes. False: refused. */
static bool go_through_all(struct attempt *a, struct service_batch *batch) {
    uint64_t bytes = 0;
    a->write_count = 0;
    for (size_t i = 0; i < batch->operation_count; i++) {
        if (go_through(a, batch, i, &bytes)) continue;
        a->request->failed_condition = i;
        return false;
    }
    if (bytes <= batch->max_found_bytes) return true;
    service_refuse(a->request, VELOCITY_INVALID, SERVICE_FOUND_TOO_LARGE);
    return false;
}

/* ---- attempts --------------------------------------------------------------------------------------------------- */

/* Inside of a transaction none has a number yet. */
static void number_writes(struct service_batch *batch, uint64_t last_version, size_t write_count) {
    bool numbered = last_version != VELOCITY_ABSENT;
    uint64_t next = numbered ? last_version - write_count + 1 : VELOCITY_ABSENT;
    for (size_t i = 0; i < batch->operation_count; i++)
        if (writes(&batch->operations[i])) batch->operations[i].version = numbered ? next++ : next;
}

/* Of the keys that were read: each must still stand there. */
static void add_conditions(struct attempt *a, const struct service_batch *batch) {
    a->condition_count = batch->condition_count;
    for (size_t i = 0; i < a->read_count; i++) {
        uint64_t seen = store_standing(a->statuses[i], &batch->values[i]);
        a->conditions[a->condition_count++] = (struct store_condition){.key = a->keys[i], .version = seen};
    }
}

/* True: answered, one way or the other. False: a key moved between read and write. */
static bool attempt_once(struct attempt *a) {
    struct service_request *request = a->request;
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    uint64_t version = 0;
    size_t count = a->read_count + batch->condition_count;
    service_batch_release(request);
    batch->values = calloc(count + 1, sizeof *batch->values);
    request->status = VELOCITY_NO_MEMORY;
    if (!batch->values) return true;
    request->status = store->operations->get_many(store, count, a->keys, batch->values, a->statuses, &version);
    /* Where one read failed, the others' values are held all the same. */
    batch->value_count = count;
    if (request->status != VELOCITY_OK || !conditions_hold(a, batch) || !go_through_all(a, batch)) return true;
    request->version = version;
    if (a->write_count == 0) return true;
    add_conditions(a, batch);
    struct store_batch write = {.conditions = a->conditions,
                                .condition_count = a->condition_count,
                                .operations = a->writes,
                                .operation_count = a->write_count};
    store->operations->write(store, &write, &request->commit);
    request->status = request->commit.status;
    request->version = request->commit.version;
    if (request->status == VELOCITY_CONFLICT && request->commit.failed_condition >= batch->condition_count)
        return false;
    request->current_version = request->commit.current_version;
    request->failed_condition = request->commit.failed_condition;
    return true;
}

void service_batch_run(struct service_request *request) {
    struct service_batch *batch = request->batch;
    struct attempt a = {.request = request, .now_ms = timestamp_now(), .index.seed = request->service->hash_seed};
    bool answered = false;
    scratch_init(&batch->made, NULL, 0);
    if (attempt_alloc(&a, batch)) {
        attempt_plan(&a, batch);
        for (int i = 0; i < SERVICE_ATTEMPTS && !answered; i++) answered = attempt_once(&a);
        if (!answered) request->status = VELOCITY_BUSY;
    } else {
        request->status = VELOCITY_NO_MEMORY;
    }
    if (request->status == VELOCITY_OK && a.write_count) {
        number_writes(batch, request->version, a.write_count);
        for (size_t i = 0; i < batch->operation_count; i++)
            if (a.sources[i] && !writes(&batch->operations[i]))
                batch->operations[i].version = batch->operations[a.sources[i] - 1].version;
    }
    attempt_free(&a);
}

void service_batch_write_async(struct service_request *request) {
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    struct store_operation *writes = malloc((batch->operation_count + 1) * sizeof *writes);
    if (!writes) {
        request->commit.status = VELOCITY_NO_MEMORY;
        request->commit.done(&request->commit);
        return;
    }
    for (size_t i = 0; i < batch->operation_count; i++) writes[i] = store_operation_of(&batch->operations[i]);
    struct store_batch write = {.conditions = batch->conditions,
                                .condition_count = batch->condition_count,
                                .operations = writes,
                                .operation_count = batch->operation_count};
    store->operations->write_async(store, &write, &request->commit); /* which may answer, and end the request */
    free(writes);
}

void service_batch_committed(struct service_request *request) {
    if (request->status == VELOCITY_OK)
        number_writes(request->batch, request->version, request->batch->operation_count);
}
