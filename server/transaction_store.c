/*
 * transaction_store.c - what a request inside of a transaction sees: the engine's transaction, within bounds of memory.
 *
 * What is counted is about what the engine holds (velocity.h, "transactions"): each write twice with some bytes around
 * it; of reads, in serializable ones only, keys and ranges up to the engine's own limits. A write that failed is taken
 * off again.
 */
#include "server/bounded.h"
#include "server/transactions_internal.h"

#include "engine/status.h"

#include <stdio.h>

#define WRITE_BYTES     300u  /* around the key and value of a write */
#define RANGE_BYTES     1000u /* around the bounds of a range delete: it stands in a list of each power of two */
#define READ_BYTES      64u   /* around a key that was read */
#define SCAN_BYTES      512u  /* a range that was read, with its bounds */
#define MAX_NOTED_BYTES (VELOCITY_TXN_READ_BYTES + VELOCITY_TXN_READ_ENTRIES * (uint64_t)READ_BYTES)

_Static_assert(VELOCITY_MAX_BATCH_RANGES == 65536, "a message says so");

static struct transaction *transaction_of(struct store *store) {
    return (struct transaction *)((char *)store - offsetof(struct transaction, store));
}

static struct store *inner_of(struct store *store) {
    return transaction_of(store)->inner;
}

bool transaction_take_bytes(struct transaction *t, uint64_t *part, uint64_t bytes, uint64_t most) {
    struct transactions *all = t->all;
    t->excess = TRANSACTION_FITS;
    if (*part + bytes > most)
        t->excess = TRANSACTION_TOO_LARGE;
    else if (!bounded_take(&all->bytes, bytes, all->max_total_bytes))
        t->excess = TRANSACTIONS_TOO_LARGE;
    if (t->excess != TRANSACTION_FITS) return false;
    *part += bytes;
    return true;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* What is remembered of a read; the engine joins ranges where they would become more. */
static velocity_status note(struct transaction *t, uint64_t bytes) {
    uint64_t left = MAX_NOTED_BYTES - t->noted_bytes;
    t->excess = TRANSACTION_FITS;
    if (t->isolation != VELOCITY_ISOLATION_SERIALIZABLE || left == 0) return VELOCITY_OK;
    if (transaction_take_bytes(t, &t->noted_bytes, bytes < left ? bytes : left, MAX_NOTED_BYTES)) return VELOCITY_OK;
    return status_set(VELOCITY_BUSY, "open transactions hold as much memory as they may");
}

static velocity_status get(struct store *store, velocity_slice key, bool cache_only, velocity_value *out) {
    velocity_status status = note(transaction_of(store), key.size + READ_BYTES);
    memset(out, 0, sizeof *out);
    return status ? status : inner_of(store)->operations->get(inner_of(store), key, cache_only, out);
}

static velocity_status get_many(struct store *store, struct store_reads *reads) {
    uint64_t bytes = reads->count * READ_BYTES;
    for (size_t i = 0; i < reads->count; i++) bytes += reads->keys[i].size;
    velocity_status status = note(transaction_of(store), bytes);
    if (!status) return inner_of(store)->operations->get_many(inner_of(store), reads);
    for (size_t i = 0; i < reads->count; i++) {
        memset(&reads->values[i], 0, sizeof reads->values[i]);
        reads->statuses[i] = status;
    }
    return status;
}

static void release(struct store *store, velocity_value *value) {
    inner_of(store)->operations->release(inner_of(store), value);
}

/* A scan, and how many ranges it reads: one more wherever it passes over some. */
struct counted {
    struct store_scan *scan;
    bool (*wants_value)(void *arg, uint32_t flags, size_t value_size);
    bool (*row)(void *arg, const struct store_row *row);
    bool (*passing)(void *arg, velocity_slice key);
    void *arg;
    uint64_t passed_bytes;
};

static bool ask_for_value(void *arg, uint32_t flags, size_t value_size) {
    const struct counted *counted = arg;
    return counted->wants_value(counted->arg, flags, value_size);
}

static bool count_row(void *arg, const struct store_row *row) {
    struct counted *counted = arg;
    bool more = counted->row(counted->arg, row);
    if (counted->scan->pass.size) counted->passed_bytes += SCAN_BYTES + row->key.size;
    return more;
}

static bool ask_to_pass(void *arg, velocity_slice key) {
    const struct counted *counted = arg;
    return counted->passing(counted->arg, key);
}

static velocity_status scan(struct store *store, struct store_scan *scan) {
    struct transaction *t = transaction_of(store);
    struct counted counted = {
        .scan = scan, .wants_value = scan->wants_value, .row = scan->row, .passing = scan->passing, .arg = scan->arg};
    velocity_status status = note(t, SCAN_BYTES + scan->start.size + scan->end.size);
    if (status) return status;
    scan->row = count_row;
    scan->arg = &counted;
    if (scan->wants_value) scan->wants_value = ask_for_value;
    if (scan->passing) scan->passing = ask_to_pass;
    status = t->inner->operations->scan(t->inner, scan);
    scan->row = counted.row;
    scan->arg = counted.arg;
    scan->wants_value = counted.wants_value;
    scan->passing = counted.passing;
    return status ? status : note(t, counted.passed_bytes);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Of a range delete: without an end it holds the greatest key that there can be. */
static uint64_t cost_of_range(const struct store_operation *operation) {
    uint64_t end = operation->end.size ? operation->end.size : VELOCITY_MAX_KEY_BYTES;
    return 2 * (operation->key.size + end) + RANGE_BYTES;
}

static uint64_t cost(const struct store_batch *batch) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct store_operation *operation = &batch->operations[i];
        bytes += operation->action == STORE_DELETE_RANGE
                     ? cost_of_range(operation)
                     : 2 * ((uint64_t)operation->key.size + operation->value.size) + WRITE_BYTES;
    }
    return bytes;
}

static uint32_t ranges_in(const struct store_batch *batch) {
    uint32_t ranges = 0;
    for (size_t i = 0; i < batch->operation_count; i++) ranges += batch->operations[i].action == STORE_DELETE_RANGE;
    return ranges;
}

/* As many range deletes as the engine commits at once. */
static bool take_ranges(struct transaction *t, uint32_t ranges) {
    bool fits = t->ranges + (uint64_t)ranges <= VELOCITY_MAX_BATCH_RANGES;
    if (fits)
        t->ranges += ranges;
    else
        t->excess = TRANSACTION_TOO_LARGE;
    return fits;
}

static bool has_puts(const struct store_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++)
        if (batch->operations[i].action == STORE_PUT) return true;
    return false;
}

static void refuse(struct transaction *t, struct store_commit *commit, const char *what) {
    bool own = t->excess == TRANSACTION_TOO_LARGE;
    commit->status = own ? VELOCITY_INVALID : VELOCITY_BUSY;
    commit->version = VELOCITY_ABSENT;
    (void)snprintf(commit->message, sizeof commit->message, "%s",
                   own ? what : "open transactions hold as much memory as they may");
}

/* Each condition is a read. */
static uint64_t cost_of_conditions(const struct store_batch *batch) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < batch->condition_count; i++) bytes += batch->conditions[i].key.size + READ_BYTES;
    return bytes;
}

static void write_inside(struct store *store, const struct store_batch *batch, struct store_commit *commit) {
    struct transaction *t = transaction_of(store);
    uint64_t bytes = cost(batch);
    uint32_t ranges = ranges_in(batch);
    if (!take_ranges(t, ranges)) {
        refuse(t, commit, "the transaction would hold more than 65536 range deletes");
        return;
    }
    if (note(t, cost_of_conditions(batch)) != VELOCITY_OK ||
        !transaction_take_bytes(t, &t->written_bytes, bytes, t->all->max_bytes)) {
        t->ranges -= ranges;
        refuse(t, commit, "the transaction would hold more than max_transaction_bytes");
        return;
    }
    t->inner->operations->write(t->inner, batch, commit);
    if (commit->status == VELOCITY_OK) {
        t->puts |= has_puts(batch);
        return;
    }
    t->ranges -= ranges;
    t->written_bytes -= bytes;
    (void)atomic_fetch_sub(&t->all->bytes, bytes);
}

/* Of the rest the engine's transaction says itself that it can't be done. */

static void write_async(struct store *store, const struct store_batch *batch, struct store_commit *commit) {
    inner_of(store)->operations->write_async(inner_of(store), batch, commit);
}

static velocity_status stats(struct store *store, velocity_stats *out) {
    return inner_of(store)->operations->stats(inner_of(store), out);
}

static velocity_status flush(struct store *store) {
    return inner_of(store)->operations->flush(inner_of(store));
}

static velocity_status compact(struct store *store, const velocity_range *range, velocity_progress progress,
                               void *arg) {
    return inner_of(store)->operations->compact(inner_of(store), range, progress, arg);
}

static velocity_status begin(struct store *store, velocity_isolation isolation, struct store **txn) {
    return inner_of(store)->operations->begin(inner_of(store), isolation, txn);
}

static velocity_status freeze(struct store *store, struct store **view, uint64_t *version) {
    return inner_of(store)->operations->freeze(inner_of(store), view, version);
}

void transaction_store_init(struct transaction *transaction) {
    static const struct store_operations operations = {
        .get = get,
        .get_many = get_many,
        .release = release,
        .scan = scan,
        .write = write_inside,
        .write_async = write_async,
        .stats = stats,
        .flush = flush,
        .compact = compact,
        .begin = begin,
        .freeze = freeze,
    };
    transaction->store.operations = &operations;
}
