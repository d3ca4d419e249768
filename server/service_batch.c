/*
 * service_batch.c - see service_batch.h.
 *
 * A batch with gets must look as if it happened at one instant. So: read all keys that it gets from the database as of
 * one snapshot, then write with the further condition that each still stands where it was read; where one moved, again.
 * A get behind a put or delete of its key in the same batch is answered from that.
 */
#include "server/service_batch.h"

#include "server/service_internal.h"

#include <stdlib.h>

#define BATCH_ATTEMPTS 100 /* before BUSY */

/* Operations by key, to find the write that a get follows: open addressing, the newest write of a key stands in it. */
struct write_slot {
    uint32_t operation; /* + 1; 0: empty */
    uint32_t hash;      /* of its key: keys that only share a slot, however long and alike, are not compared */
};

struct write_index {
    struct write_slot *slots;
    size_t mask;
    uint64_t seed;
};

bool service_batch_takes_space(const struct service_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++)
        if (batch->operations[i].action == SERVICE_BATCH_PUT) return true;
    return false;
}

bool service_batch_reads(const struct service_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++)
        if (batch->operations[i].action == SERVICE_BATCH_GET) return true;
    return batch->operation_count == 0;
}

void service_batch_release(struct service_request *request) {
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    for (size_t i = 0; i < batch->value_count; i++) store->operations->release(store, &batch->values[i]);
    free(batch->values);
    batch->values = NULL;
    batch->value_count = 0;
}

static bool key_equal(velocity_slice a, velocity_slice b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* FNV-1a, begun with a number that nobody outside knows: keys that collide cannot be prepared. */
static uint64_t key_hash(uint64_t seed, velocity_slice key) {
    const unsigned char *p = key.data;
    uint64_t hash = seed;
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash ^ (hash >> 29);
}

static struct write_slot *write_index_slot(const struct write_index *index, const struct service_batch *batch,
                                           velocity_slice key) {
    uint64_t hash = key_hash(index->seed, key);
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

/* What one attempt works with. */
struct attempt {
    struct service_request *request;
    struct store_operation *writes;
    size_t write_count;
    struct store_condition *conditions; /* the caller's, then one a key read */
    size_t condition_count;
    velocity_slice *keys; /* to read: those of gets that follow no write, then those of the caller's conditions */
    uint32_t *readers;    /* keys[i] is read for this operation */
    size_t read_count;
    uint32_t *sources; /* of each operation that is a get: the write that it follows + 1, or 0 */
    velocity_status *statuses;
    struct write_index index;
};

static void attempt_free(struct attempt *a) {
    free(a->writes);
    free(a->conditions);
    free(a->keys);
    free(a->readers);
    free(a->sources);
    free(a->statuses);
    free(a->index.slots);
}

static bool attempt_alloc(struct attempt *a, const struct service_batch *batch) {
    size_t n = batch->operation_count, all = n + batch->condition_count + 1, slots = 16;
    while (slots < 2 * n) slots *= 2;
    a->writes = calloc(n + 1, sizeof *a->writes);
    a->conditions = calloc(all, sizeof *a->conditions);
    a->keys = calloc(all, sizeof *a->keys);
    a->readers = calloc(n + 1, sizeof *a->readers);
    a->sources = calloc(n + 1, sizeof *a->sources);
    a->statuses = calloc(all, sizeof *a->statuses);
    a->index.slots = calloc(slots, sizeof *a->index.slots);
    a->index.mask = slots - 1;
    return a->writes && a->conditions && a->keys && a->readers && a->sources && a->statuses && a->index.slots;
}

static struct store_operation store_operation_of(const struct service_batch_operation *operation) {
    struct store_operation out = {.action = operation->action == SERVICE_BATCH_PUT ? STORE_PUT : STORE_DELETE,
                                  .flags = operation->flags,
                                  .key = operation->key,
                                  .value = operation->value};
    return out;
}

/* Sorts the operations into writes, gets from the database and gets from a write of the batch. Gets of keys that are
 * not the caller's to see find nothing. */
static void attempt_plan(struct attempt *a, struct service_batch *batch) {
    const struct principal *principal = a->request->caller.principal;
    for (size_t i = 0; i < batch->operation_count; i++) {
        struct service_batch_operation *operation = &batch->operations[i];
        operation->found = false;
        if (principal && !scope_has_key(&principal->scope, operation->key)) continue; /* a get: writes were checked */
        struct write_slot *slot = write_index_slot(&a->index, batch, operation->key);
        if (operation->action != SERVICE_BATCH_GET) {
            slot->operation = (uint32_t)i + 1;
            a->writes[a->write_count++] = store_operation_of(operation);
        } else if (slot->operation) {
            a->sources[i] = slot->operation;
        } else {
            a->readers[a->read_count] = (uint32_t)i;
            a->keys[a->read_count++] = operation->key;
        }
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

/* Fills in what the gets found, in the database or in the batch. False: more bytes than the caller takes. */
static bool fill_found(struct attempt *a, struct service_batch *batch) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->read_count; i++) {
        struct service_batch_operation *operation = &batch->operations[a->readers[i]];
        operation->found = a->statuses[i] == VELOCITY_OK;
        if (!operation->found) continue;
        operation->value = velocity_bytes(batch->values[i].data, batch->values[i].size);
        operation->found_flags = batch->values[i].flags;
        operation->version = batch->values[i].sequence;
        bytes += operation->value.size;
    }
    for (size_t i = 0; i < batch->operation_count; i++) {
        if (!a->sources[i]) continue;
        const struct service_batch_operation *source = &batch->operations[a->sources[i] - 1];
        struct service_batch_operation *operation = &batch->operations[i];
        operation->found = source->action == SERVICE_BATCH_PUT;
        if (!operation->found) continue;
        operation->value = source->value;
        operation->found_flags = source->flags;
        bytes += operation->value.size;
    }
    return bytes <= batch->max_found_bytes;
}

/* Inside of a transaction none has a number yet. */
static void number_writes(struct service_batch *batch, uint64_t last_version, size_t write_count) {
    bool numbered = last_version != VELOCITY_ABSENT;
    uint64_t next = numbered ? last_version - write_count + 1 : VELOCITY_ABSENT;
    for (size_t i = 0; i < batch->operation_count; i++)
        if (batch->operations[i].action != SERVICE_BATCH_GET) batch->operations[i].version = numbered ? next++ : next;
}

/* True: answered, one way or the other. False: a key moved between read and write. */
static bool attempt_once(struct attempt *a) {
    struct service_request *request = a->request;
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    uint64_t version = 0;
    size_t reads = a->read_count + batch->condition_count;
    service_batch_release(request);
    batch->values = calloc(reads + 1, sizeof *batch->values);
    request->status = VELOCITY_NO_MEMORY;
    if (!batch->values) return true;
    request->status = store->operations->get_many(store, reads, a->keys, batch->values, a->statuses, &version);
    /* Where one read failed, the others' values are held all the same. */
    batch->value_count = reads;
    if (request->status != VELOCITY_OK || !conditions_hold(a, batch)) return true;
    if (!fill_found(a, batch)) {
        request->status = VELOCITY_INVALID;
        request->refusal = SERVICE_FOUND_TOO_LARGE;
        return true;
    }
    request->version = version;
    if (a->write_count == 0) return true;
    a->condition_count = batch->condition_count;
    for (size_t i = 0; i < a->read_count; i++) {
        uint64_t seen = store_standing(a->statuses[i], &batch->values[i]);
        a->conditions[a->condition_count++] = (struct store_condition){.key = a->keys[i], .version = seen};
    }
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
    struct attempt a = {.request = request, .index.seed = request->service->hash_seed};
    bool answered = false;
    if (attempt_alloc(&a, batch)) {
        attempt_plan(&a, batch);
        for (int i = 0; i < BATCH_ATTEMPTS && !answered; i++) answered = attempt_once(&a);
        if (!answered) request->status = VELOCITY_BUSY;
    } else {
        request->status = VELOCITY_NO_MEMORY;
    }
    if (request->status == VELOCITY_OK && a.write_count) {
        number_writes(batch, request->version, a.write_count);
        for (size_t i = 0; i < batch->operation_count; i++)
            if (a.sources && a.sources[i]) batch->operations[i].version = batch->operations[a.sources[i] - 1].version;
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
