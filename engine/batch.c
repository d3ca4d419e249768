/* batch.c - building batches. See batch.h and velocity.h. */
#include "batch.h"

#include "slice.h"
#include "status.h"

static const char bad_key[] = "a key has 1 to 65535 bytes";
static const char bad_value[] = "a value has at most 1073741824 bytes";
static const char bad_range[] = "a range's start and end are keys, and start stands before end";
static const char many_ranges[] = "the batch has more range deletes than VELOCITY_MAX_BATCH_RANGES";

velocity_status batch_check_key(velocity_slice key) {
    if (key.size == 0 || key.size > VELOCITY_MAX_KEY_BYTES || !key.data)
        return status_set(VELOCITY_INVALID, "%s; this one has %zu", bad_key, key.size);
    return VELOCITY_OK;
}

velocity_status batch_check_value(velocity_slice value) {
    if (value.size > VELOCITY_MAX_VALUE_BYTES || (value.size && !value.data))
        return status_set(VELOCITY_INVALID, "%s; this one has %zu", bad_value, value.size);
    return VELOCITY_OK;
}

velocity_status batch_check_range(velocity_slice start, velocity_slice end) {
    velocity_status status = batch_check_key(start);
    if (!status) status = batch_check_key(end);
    if (!status && slice_compare(start, end) >= 0) status = status_set(VELOCITY_INVALID, "%s", bad_range);
    return status;
}

velocity_put_options velocity_put_options_default(void) {
    velocity_put_options options = {.struct_size = sizeof options};
    return options;
}

velocity_write_options velocity_write_options_default(void) {
    velocity_write_options options = {.struct_size = sizeof options};
    return options;
}

velocity_batch *velocity_batch_new(void) {
    velocity_batch *batch = env_alloc_zeroed(sizeof *batch);
    if (batch) batch->conflict = SIZE_MAX;
    return batch;
}

void velocity_batch_free(velocity_batch *batch) {
    if (!batch) return;
    env_free(batch->operations);
    env_free(batch->requirements);
    env_free(batch->keys);
    env_free(batch);
}

void velocity_batch_clear(velocity_batch *batch) {
    batch->extent = (struct batch_extent){0};
    batch->requirement_count = batch->key_bytes = 0;
    batch->compose = NULL;
    batch->composed = false;
    batch->error = VELOCITY_OK;
    batch->reason = NULL;
    batch->conflict = SIZE_MAX;
}

size_t velocity_batch_count(const velocity_batch *batch) {
    return batch->extent.count;
}

size_t velocity_batch_conflict(const velocity_batch *batch, uint64_t *current_sequence) {
    if (current_sequence) *current_sequence = batch->conflict == SIZE_MAX ? VELOCITY_ABSENT : batch->conflict_sequence;
    return batch->conflict;
}

static void stick(velocity_batch *batch, velocity_status status, const char *reason) {
    if (batch->error) return;
    batch->error = status;
    batch->reason = reason;
}

static bool grow(velocity_batch *batch, void *block, size_t *capacity, size_t needed, size_t item) {
    if (needed <= *capacity) return true;
    size_t wanted = needed * 2 + 64;
    void **pointer = block, *bigger = env_realloc(*pointer, wanted * item);
    if (!bigger) {
        stick(batch, VELOCITY_NO_MEMORY, "no memory for the batch");
        return false;
    }
    *pointer = bigger;
    *capacity = wanted;
    return true;
}

/* What the batch was composed of goes; it is composed anew with its next write. */
static void drop_composed(velocity_batch *batch) {
    if (batch->composed) batch->extent = batch->own;
    batch->composed = false;
}

static void add(velocity_batch *batch, const struct entry *e) {
    struct batch_extent *extent = &batch->extent;
    if (batch->error) return;
    drop_composed(batch);
    if (batch_check_key(e->key)) {
        stick(batch, VELOCITY_INVALID, bad_key);
        return;
    }
    if (batch_check_value(e->value)) {
        stick(batch, VELOCITY_INVALID, bad_value);
        return;
    }
    uint64_t charged = extent->charged + e->key.size + e->value.size + BATCH_CHARGE;
    if (charged > VELOCITY_MAX_BATCH_BYTES || extent->count == VELOCITY_MAX_BATCH_OPERATIONS) {
        stick(batch, VELOCITY_INVALID, "the batch is larger than VELOCITY_MAX_BATCH_BYTES or _OPERATIONS allow");
        return;
    }
    size_t bytes = log_operation_bytes(e);
    if (!grow(batch, &batch->operations, &batch->capacity, extent->bytes + bytes, 1)) return;
    (void)log_operation_encode(batch->operations + extent->bytes, e);
    extent->bytes += bytes;
    extent->charged = charged;
    extent->count++;
    extent->range_deletes += e->kind == ENTRY_RANGE_DELETE;
    extent->puts += e->kind == ENTRY_PUT;
}

void velocity_batch_put(velocity_batch *batch, velocity_slice key, velocity_slice value,
                        const velocity_put_options *options) {
    struct entry e = {.key = key, .value = value, .kind = ENTRY_PUT};
    if (options && options->struct_size >= sizeof *options) {
        e.flags = options->flags;
        e.expires_at_ms = options->expires_at_ms;
        if (e.expires_at_ms < 0) stick(batch, VELOCITY_INVALID, "expires_at_ms is negative");
    }
    add(batch, &e);
}

void velocity_batch_delete(velocity_batch *batch, velocity_slice key) {
    struct entry e = {.key = key, .kind = ENTRY_DELETE};
    add(batch, &e);
}

void velocity_batch_delete_range(velocity_batch *batch, velocity_slice start, velocity_slice end) {
    struct entry e = {.key = start, .value = end, .kind = ENTRY_RANGE_DELETE};
    if (batch_check_range(start, end)) {
        stick(batch, VELOCITY_INVALID, bad_range);
        return;
    }
    if (batch->extent.range_deletes == VELOCITY_MAX_BATCH_RANGES) {
        stick(batch, VELOCITY_INVALID, many_ranges);
        return;
    }
    add(batch, &e);
}

void velocity_batch_require(velocity_batch *batch, velocity_slice key, uint64_t sequence) {
    if (batch->error) return;
    if (batch_check_key(key)) {
        stick(batch, VELOCITY_INVALID, bad_key);
        return;
    }
    if (!grow(batch, &batch->keys, &batch->key_capacity, batch->key_bytes + key.size, 1) ||
        !grow(batch, &batch->requirements, &batch->requirement_capacity, batch->requirement_count + 1,
              sizeof *batch->requirements))
        return;
    struct batch_requirement *r = &batch->requirements[batch->requirement_count++];
    *r = (struct batch_requirement){batch->key_bytes, (uint32_t)key.size, sequence};
    memcpy(batch->keys + batch->key_bytes, key.data, key.size);
    batch->key_bytes += key.size;
}

velocity_slice batch_required_key(const velocity_batch *batch, size_t i) {
    return velocity_bytes(batch->keys + batch->requirements[i].key_at, batch->requirements[i].key_bytes);
}

/* ---- composing -------------------------------------------------------------------------------------------------- */

void velocity_batch_compose(velocity_batch *batch, uint32_t operations, uint64_t bytes, velocity_compose compose,
                            void *arg) {
    if (operations > VELOCITY_MAX_BATCH_OPERATIONS || bytes > VELOCITY_MAX_BATCH_BYTES) {
        stick(batch, VELOCITY_INVALID, "more is to be composed than VELOCITY_MAX_BATCH_BYTES or _OPERATIONS allow");
        return;
    }
    drop_composed(batch);
    batch->compose = compose;
    batch->compose_arg = arg;
    batch->most_operations = operations;
    batch->most_bytes = bytes;
}

void batch_prepare(velocity_batch *batch) {
    if (!batch->compose) return;
    drop_composed(batch);
    batch->own = batch->extent;
}

static velocity_status check_composed(const velocity_batch *batch) {
    const struct batch_extent *all = &batch->extent, *own = &batch->own;
    if (batch->error) return status_set(batch->error, "%s", batch->reason);
    if (all->range_deletes != own->range_deletes)
        return status_set(VELOCITY_INVALID, "a batch was composed of a range delete");
    if (all->count - own->count > batch->most_operations ||
        all->charged - own->charged > batch->most_bytes + batch->most_operations * (uint64_t)BATCH_CHARGE)
        return status_set(VELOCITY_INVALID, "a batch was composed of more than it was said to be");
    return VELOCITY_OK;
}

velocity_status batch_compose(velocity_batch *batch, velocity_instant *instant) {
    (void)status_set(VELOCITY_INVALID, "what composes the batch gave it up");
    velocity_status status = batch->compose(batch->compose_arg, instant, batch);
    if (!status) status = check_composed(batch);
    batch->composed = !status;
    if (!status) return VELOCITY_OK;
    batch->extent = batch->own;
    batch->error = VELOCITY_OK;
    batch->reason = NULL;
    return status;
}
