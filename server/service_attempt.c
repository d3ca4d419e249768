/*
 * service_attempt.c - see service_attempt.h.
 *
 * What reads a key behind a write of it in the same batch sees what that made of it.
 *
 * A small request can name large values. So each is looked at as soon as it was read: of a condition's key nothing is
 * kept but its version, of an increment's nothing that can't be a number, and where the others come to more than
 * max_found_bytes, the batch is refused and what is behind is not read. Never more than that, one value and small
 * numbers are held.
 */
#include "server/service_attempt.h"

#include "server/decimal.h"
#include "server/seeded_hash.h"
#include "server/service_internal.h"
#include "server/timestamp.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

/* Smaller values share a block of the cache with others, which a pin would keep: they are copied. */
#define SHARED_BYTES      4096u
#define NUMBER_MOST_BYTES 512u /* of a stored number: the name of its type, a sign and 19 digits */
bool attempt_reads(const struct service_batch_operation *operation) {
    return operation->action != SERVICE_BATCH_PUT && operation->action != SERVICE_BATCH_DELETE;
}

/* Of keys and values, what the puts, deletes and increments of a batch come to. */
uint64_t attempt_most_bytes(const struct service_batch *batch) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct service_batch_operation *operation = &batch->operations[i];
        bool increment = operation->action == SERVICE_BATCH_INCREMENT;
        bytes += operation->key.size + (increment ? NUMBER_MOST_BYTES + DECIMAL_I64_BYTES : operation->value.size);
    }
    return bytes;
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

void attempt_free(struct attempt *a) {
    free(a);
}

/* An array's place, behind what is placed already. */
static void *place(char *memory, size_t *used, size_t count, size_t item) {
    size_t at = *used;
    *used += (count * item + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    return memory ? memory + at : NULL;
}

/* The arrays of an attempt, in memory of zeros. How much they need; without memory that is all. */
static size_t lay_out(struct attempt *a, const struct service_batch *batch, char *memory) {
    size_t n = batch->operation_count, keys = n + batch->condition_count, slots = 16, used = 0;
    while (slots < 2 * n) slots *= 2;
    a->writes = place(memory, &used, n, sizeof *a->writes);
    a->conditions = place(memory, &used, keys, sizeof *a->conditions);
    a->keys = place(memory, &used, keys, sizeof *a->keys);
    a->statuses = place(memory, &used, keys, sizeof *a->statuses);
    a->standing = place(memory, &used, keys, sizeof *a->standing);
    a->readers = place(memory, &used, n, sizeof *a->readers);
    a->found = place(memory, &used, n, sizeof *a->found);
    a->reads = place(memory, &used, n, sizeof *a->reads);
    a->sources = place(memory, &used, n, sizeof *a->sources);
    a->states = place(memory, &used, n, sizeof *a->states);
    a->index.slots = place(memory, &used, slots, sizeof *a->index.slots);
    a->index.mask = slots - 1;
    return used;
}

struct store_operation attempt_operation(const struct service_batch_operation *operation) {
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
    for (size_t i = 0; i < batch->condition_count; i++) {
        a->conditions[i] = batch->conditions[i];
        a->keys[i] = batch->conditions[i].key;
    }
    for (size_t i = 0; i < batch->operation_count; i++) {
        struct service_batch_operation *operation = &batch->operations[i];
        if (principal && !scope_has_key(&principal->scope, operation->key)) continue; /* a get: writes were checked */
        struct write_slot *slot = write_index_slot(&a->index, batch, operation->key);
        if (attempt_reads(operation) && slot->operation) {
            a->sources[i] = slot->operation;
        } else if (attempt_reads(operation)) {
            a->keys[batch->condition_count + a->read_count] = operation->key;
            a->readers[a->read_count++] = (uint32_t)i;
            a->reads[i] = (uint32_t)a->read_count;
        }
        if (operation->action != SERVICE_BATCH_GET) slot->operation = (uint32_t)i + 1;
    }
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* A condition that does not hold is answered as the engine would. */
static bool take_condition(struct attempt *a, size_t at) {
    struct service_request *request = a->request;
    const struct service_batch *batch = request->batch;
    request->store->operations->release(request->store, &batch->values[at]);
    if (store_condition_holds(batch->conditions[at].version, a->standing[at])) return true;
    request->status = VELOCITY_CONFLICT;
    request->failed_condition = at;
    request->current_version = a->standing[at];
    a->refused = true;
    return false;
}

/* The value's bytes, pinned or copied: until service_batch_release. */
static velocity_slice keep(struct attempt *a, velocity_value *value) {
    struct store *store = a->request->store;
    velocity_slice kept = velocity_bytes(value->data, value->size);
    bool shared = value->size > VELOCITY_VALUE_INLINE_BYTES && value->size < SHARED_BYTES;
    char *copy = shared ? scratch_alloc(&a->request->batch->made, value->size) : NULL;
    if (!copy) return kept;
    kept.data = memcpy(copy, value->data, value->size);
    store->operations->release(store, value);
    return kept;
}

static bool take_found(struct attempt *a, size_t read, velocity_value *value) {
    const struct service_batch *batch = a->request->batch;
    bool number = batch->operations[a->readers[read]].action == SERVICE_BATCH_INCREMENT;
    if (!number) a->found_bytes += value->size;
    if (a->found_bytes > batch->max_found_bytes) {
        service_refuse(a->request, VELOCITY_INVALID, SERVICE_FOUND_TOO_LARGE);
        a->refused = true;
        return false;
    }
    struct state *found = &a->found[read];
    *found = (struct state){.present = true,
                            .flags = value->flags,
                            .version = value->sequence,
                            .expires_at_ms = value->expires_at_ms,
                            .value = velocity_bytes(NULL, value->size)};
    if (number && value->size > NUMBER_MOST_BYTES)
        a->request->store->operations->release(a->request->store, value);
    else
        found->value = keep(a, value);
    return true;
}

/* One of `keys` was read. False: what stands behind it does not matter any more. */
static bool take(void *arg, size_t at) {
    struct attempt *a = arg;
    const struct service_batch *batch = a->request->batch;
    velocity_status status = a->statuses[at];
    if (status != VELOCITY_OK && status != VELOCITY_NOT_FOUND) return false;
    a->standing[at] = store_standing(status, &batch->values[at]);
    if (at < batch->condition_count) return take_condition(a, at);
    size_t read = at - batch->condition_count;
    a->found[read] = (struct state){.present = false};
    return status == VELOCITY_NOT_FOUND || take_found(a, read, &batch->values[at]);
}

/* False: the request is answered. */
bool attempt_read(struct attempt *a) {
    struct service_request *request = a->request;
    struct service_batch *batch = request->batch;
    struct store_reads many = {.count = batch->condition_count + a->read_count,
                               .keys = a->keys,
                               .statuses = a->statuses,
                               .each = take,
                               .arg = a};
    service_batch_release(request);
    a->found_bytes = 0;
    a->refused = false;
    request->status = VELOCITY_NO_MEMORY;
    many.values = batch->values = calloc(many.count + 1, sizeof *batch->values);
    if (!batch->values) return false;
    batch->value_count = many.count;
    velocity_status status = a->store->operations->get_many(a->store, &many);
    if (a->refused) return false;
    request->status = status;
    request->version = many.version;
    return status == VELOCITY_OK;
}

/* ---- going through the operations ------------------------------------------------------------------------------- */

/* What the key of an operation that reads holds before it. What was written with a moment that has passed is gone. */
static struct state state_before(const struct attempt *a, size_t i) {
    if (a->sources[i]) {
        struct state state = a->states[a->sources[i] - 1];
        bool expired = state.expires_at_ms && state.expires_at_ms <= a->now_ms;
        return expired ? (struct state){.present = false} : state;
    }
    return a->reads[i] ? a->found[a->reads[i] - 1] : (struct state){.present = false};
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
        service_say(a->request, "no memory for the batch");
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
    static const char no_number[] = "the stored value is not a decimal number of 64 bits";
    struct service_content content = {0};
    int64_t number = 0;
    if (state->value.size > NUMBER_MOST_BYTES) return unfit(a, no_number);
    if (!state->present) {
        *state = (struct state){.present = true, .flags = operation->flags};
    } else {
        velocity_slice stored = state->value;
        if (!a->request->look_into(state->flags, stored, &content)) return unfit(a, "the value's type is damaged");
        velocity_slice text = velocity_bytes((const char *)stored.data + content.at, stored.size - content.at);
        if (!decimal_i64(text, &number)) return unfit(a, no_number);
    }
    if (__builtin_add_overflow(number, operation->by, &number)) return unfit(a, "the sum does not fit in 64 bits");
    return write_number(a, operation, state, content.at, number);
}

/* One operation, from what the batch has come to. *bytes counts what is found. False: refused. */
static bool go_through(struct attempt *a, struct service_batch *batch, size_t i, uint64_t *bytes) {
    struct service_batch_operation *operation = &batch->operations[i];
    struct state state = attempt_reads(operation) ? state_before(a, i) : (struct state){.present = false};
    switch (operation->action) {
    case SERVICE_BATCH_PUT:
        state = (struct state){.present = true,
                               .flags = operation->flags,
                               .expires_at_ms = operation->expires_at_ms,
                               .value = operation->value};
        add_put(a, operation->key, &state);
        break;
    case SERVICE_BATCH_DELETE: a->writes[a->write_count++] = attempt_operation(operation); break;
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
bool attempt_go_through(struct attempt *a) {
    struct service_batch *batch = a->request->batch;
    uint64_t bytes = 0;
    a->write_count = 0;
    for (size_t i = 0; i < batch->operation_count; i++) {
        if (go_through(a, batch, i, &bytes)) continue;
        a->request->failed_condition = i;
        return false;
    }
    if (bytes > batch->max_found_bytes) {
        service_refuse(a->request, VELOCITY_INVALID, SERVICE_FOUND_TOO_LARGE);
        return false;
    }
    if (!batch->has_room || batch->has_room(a->request)) return true;
    service_refuse(a->request, VELOCITY_BUSY, SERVICE_NO_REFUSAL);
    service_say(a->request, "too many bytes of replies wait for clients that do not read them");
    return false;
}

uint64_t attempt_bytes(const struct attempt *a) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->write_count; i++) bytes += a->writes[i].key.size + a->writes[i].value.size;
    return bytes;
}

struct attempt *attempt_new(struct service_request *request) {
    struct attempt *a, measure;
    size_t own = 0, bytes = lay_out(&measure, request->batch, NULL);
    (void)place(NULL, &own, 1, sizeof *a);
    char *memory = calloc(1, own + bytes);
    if (!memory) return NULL;
    a = (struct attempt *)memory;
    *a = (struct attempt){.request = request,
                          .store = request->store,
                          .now_ms = timestamp_now(),
                          .index.seed = request->service->hash_seed};
    (void)lay_out(a, request->batch, memory + own);
    scratch_init(&request->batch->made, NULL, 0);
    attempt_plan(a, request->batch);
    return a;
}
