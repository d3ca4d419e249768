/* model_run.c - opens, writes, dies and recovers beside the model. See model_run.h; reading is in model_read.c. */
#include "model_run.h"

#include "engine/database_internal.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PATH "disk/db"

void run_fail(struct run *r, const char *format, ...) {
    va_list arguments;
    char words[400];
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nSEED=%llu step %u, call %llu: %s\n  while: %s\n  last error: %s\n", (unsigned long long)r->seed,
            r->step, (unsigned long long)env_sim_calls(r->sim), words, r->doing, velocity_error_message());
    fail();
    abort();
}

void run_doing(struct run *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(r->doing, sizeof r->doing, format, arguments);
    va_end(arguments);
    if (r->trace) fprintf(stderr, "%u: %s\n", r->step, r->doing);
}

bool run_crashed(struct run *r) {
    return env_sim_crashed(r->sim);
}

struct run *run_new(uint64_t seed, size_t keys) {
    struct run *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->seed = seed;
    r->sim = env_sim_new(seed);
    r->m = model_new(seed, keys);
    r->floor = UINT64_MAX;
    r->day_floor = LONG_MAX;
    r->trace = getenv("TRACE") != NULL;
    r->options = model_random_options(r->m);
    env *e = env_sim_env(r->sim);
    RUN_EXPECT(r, env_make_directory(e, "disk") == VELOCITY_OK);
    RUN_EXPECT(r, env_sync_directory(e, "/") == VELOCITY_OK);
    env_sim_advance_ms(r->sim, MODEL_DAY_MS - env_now_ms(e) % MODEL_DAY_MS + MODEL_DAY_MS / 2); /* it is noon */
    r->wall_day = r->m->day = (long)(env_now_ms(e) / MODEL_DAY_MS);
    return r;
}

void run_free(struct run *r) {
    if (r->db) run_close(r);
    env_sim_free(r->sim);
    model_free(r->m);
    free(r);
}

/* An answer that a fault of the disk explains. */
bool run_may_have_failed(struct run *r, velocity_status status) {
    if (!r->io_may_fail || (status != VELOCITY_IO && status != VELOCITY_READ_ONLY)) return false;
    r->failed = true;
    return true;
}

/* ---- opening and finding out what is there ----------------------------------------------------------------------- */

/* ---- the time -----------------------------------------------------------------------------------------------------
 */

/* What the database takes for today. It has told now: a close keeps it. */
static long told_day(struct run *r) {
    velocity_stats stats = {.struct_size = sizeof stats};
    RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
    RUN_EXPECT(r, stats.clock_ms % MODEL_DAY_MS > MODEL_DAY_MS / 4 &&
                      stats.clock_ms % MODEL_DAY_MS < MODEL_DAY_MS / 4 * 3);
    return (long)(stats.clock_ms / MODEL_DAY_MS);
}

/* Time has not stood still while nobody looked, nor gone back behind what a death leaves. */
static void find_day(struct run *r) {
    struct model *m = r->m;
    long day = told_day(r), latest = m->day > r->wall_day ? m->day : r->wall_day;
    long floor = r->day_floor == LONG_MAX ? 0 : r->day_floor, earliest = floor > r->wall_day ? floor : r->wall_day;
    if (day < earliest || day > latest)
        run_fail(r, "it is day %ld for the database, not one of %ld to %ld", day, earliest, latest);
    m->day = r->acked_day = r->synced_day = day;
    r->day_floor = LONG_MAX;
}

void run_turn_clock(struct run *r) {
    long days = 1 + (long)model_random(r->m, 3);
    bool back = model_random(r->m, 3) == 0;
    run_doing(r, "%ld days %s", days, back ? "back" : "on");
    if (back)
        env_sim_set_back_ms(r->sim, (uint64_t)days * MODEL_DAY_MS);
    else
        env_sim_advance_ms(r->sim, (uint64_t)days * MODEL_DAY_MS);
    r->wall_day += back ? -days : days;
    if (r->wall_day > r->m->day) r->m->day = r->wall_day;
    RUN_EXPECT(r, told_day(r) == r->m->day);
}

static uint64_t last_sequence(struct run *r) {
    velocity_stats stats = {.struct_size = sizeof stats};
    RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
    return stats.last_sequence;
}

/* The state in the model that the database is in, which must hold everything up to r->floor. Of equal ones (a delete of
 * what is absent changes nothing) the oldest: the others may be lost without a trace. */
static void find_state(struct run *r) {
    struct model *m = r->m;
    uint64_t last = last_sequence(r), floor = r->floor == UINT64_MAX ? 0 : r->floor;
    for (size_t i = 0; i <= m->boundary_count; i++) {
        uint64_t candidate = i ? m->boundaries[i - 1] : 0;
        if (candidate > last) break;
        if (candidate < floor || !run_state_is(r, candidate, false)) continue;
        model_cut(m, candidate);
        m->last = last;
        m->acked = m->synced = candidate;
        r->floor = UINT64_MAX;
        run_doing(r, "found the state of %llu, goes on from %llu", (unsigned long long)candidate,
                  (unsigned long long)last);
        return;
    }
    (void)run_state_is(r, floor, true);
    run_fail(r, "what was recovered is no state between %llu, which must survive, and %llu, the newest; it says %llu",
             (unsigned long long)floor,
             (unsigned long long)(m->boundary_count ? m->boundaries[m->boundary_count - 1] : 0),
             (unsigned long long)last);
}

void run_open(struct run *r) {
    if (r->random_options) r->options = model_random_options(r->m);
    run_doing(r, "open (memtable %llu, table %llu, durability %d, threshold %u)",
              (unsigned long long)r->options.memtable_bytes, (unsigned long long)r->options.table_bytes,
              (int)r->options.durability, r->options.compaction_threshold);
    velocity_status status = database_open(env_sim_env(r->sim), PATH, &r->options, &r->db);
    if (status != VELOCITY_OK) r->db = NULL;
    if (run_crashed(r) || run_may_have_failed(r, status)) return;
    if (status != VELOCITY_OK) run_fail(r, "open: %s", velocity_status_name(status));
    if (r->random_options) r->table_bytes = model_random(r->m, 2) ? UINT64_C(512) << model_random(r->m, 7) : 0;
    if (r->table_bytes) r->db->options.table_bytes = r->table_bytes;
    find_day(r);
    find_state(r);
}

/* ---- asynchronous writes ------------------------------------------------------------------------------------------
 */

/* The last batch is acknowledged (m->last may be beyond it: openings skip sequences). */
static void acknowledged(struct run *r, bool durable) {
    struct model *m = r->m;
    m->acked = m->boundary_count ? m->boundaries[m->boundary_count - 1] : 0;
    r->acked_day = m->day;
    if (durable) m->synced = m->acked, r->synced_day = m->day;
}

/* Takes into the model what has completed; once the process is gone, everything, for it may have happened. */
static void settle_async(struct run *r) {
    bool crashed = run_crashed(r);
    for (size_t i = 0; i < r->async_count; i++) {
        struct run_async *a = r->async[i];
        if (a->settled || !(a->done || crashed)) continue;
        a->settled = true;
        if (!crashed && a->status == VELOCITY_NO_SPACE && r->space_may_end) continue;
        if (!crashed) RUN_EXPECT(r, a->status == VELOCITY_OK);
        if (!crashed) RUN_EXPECT(r, a->sequence == r->m->last + a->count);
        model_apply(r->m, a->operations, a->count, r->m->last + a->count);
        if (!crashed) acknowledged(r, a->durable);
    }
    while (r->async_count && r->async[0]->done && r->async[0]->settled) {
        velocity_batch_free(r->async[0]->batch);
        free(r->async[0]);
        memmove(r->async, r->async + 1, --r->async_count * sizeof *r->async);
    }
}

static void async_done(void *arg, velocity_status status, uint64_t sequence) {
    struct run_async *a = arg;
    a->done = true;
    a->status = status;
    a->sequence = sequence;
}

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

static bool is_durable(const struct run *r, velocity_durability durability) {
    if (durability == VELOCITY_DURABILITY_DEFAULT) durability = r->options.durability;
    return durability == VELOCITY_DURABILITY_ALWAYS;
}

/* A synchronous write of `count` operations has answered. After IO it may have happened or not. */
static velocity_status wrote(struct run *r, const struct model_operation *operations, size_t count,
                             velocity_status status, bool durable) {
    if (run_crashed(r)) {
        if (count) model_apply(r->m, operations, count, r->m->last + count);
        return VELOCITY_IO;
    }
    if (status == VELOCITY_NO_SPACE && r->space_may_end) return status;
    if (run_may_have_failed(r, status)) {
        if (count && status == VELOCITY_IO) model_apply(r->m, operations, count, r->m->last + count);
        return status;
    }
    if (status != VELOCITY_OK) run_fail(r, "write: %s", velocity_status_name(status));
    if (count) model_apply(r->m, operations, count, r->m->last + count);
    if (count) acknowledged(r, durable);
    return VELOCITY_OK;
}

velocity_status run_put(struct run *r) {
    struct model_operation op = model_random_operation(r->m);
    velocity_slice key = r->m->keys[op.key].bytes;
    op.flags = 0;
    op.expires_at_ms = 0;
    run_doing(r, "%s key %zu, up to %zu, %zu bytes", op.is_delete ? "delete" : "put", op.key, op.end, op.value.size);
    velocity_status status = op.end         ? velocity_delete_range(r->db, key, r->m->keys[op.end].bytes)
                             : op.is_delete ? velocity_delete(r->db, key)
                                            : velocity_put(r->db, key, op.value);
    settle_async(r);
    return wrote(r, &op, 1, status, is_durable(r, VELOCITY_DURABILITY_DEFAULT));
}

static void add_operation(const struct run *r, velocity_batch *batch, const struct model_operation *op) {
    velocity_put_options options = velocity_put_options_default();
    options.flags = op->flags;
    options.expires_at_ms = op->expires_at_ms;
    if (op->end)
        velocity_batch_delete_range(batch, r->m->keys[op->key].bytes, r->m->keys[op->end].bytes);
    else if (op->is_delete)
        velocity_batch_delete(batch, r->m->keys[op->key].bytes);
    else
        velocity_batch_put(batch, r->m->keys[op->key].bytes, op->value, &options);
}

static void fill_batch(struct run *r, velocity_batch *batch, struct model_operation *operations, size_t count) {
    for (size_t i = 0; i < count; i++) {
        operations[i] = model_random_operation(r->m);
        add_operation(r, batch, &operations[i]);
    }
    RUN_EXPECT(r, velocity_batch_count(batch) == count);
}

/* ---- composed batches: the operations behind the first ones */

struct composed {
    struct run *r;
    const struct model_operation *operations;
    size_t from, count;
    unsigned calls;
};

/* The last operation on the key that is queued, and not in the model yet. */
static const struct model_operation *find_under_way(const struct run *r, size_t key) {
    const struct model_operation *last = NULL;
    for (size_t i = 0; i < r->async_count; i++) {
        const struct run_async *a = r->async[i];
        for (size_t j = 0; j < a->count && !a->settled; j++) {
            const struct model_operation *op = &a->operations[j];
            if (op->end ? op->key <= key && key < op->end : op->key == key) last = op;
        }
    }
    return last;
}

static void expect_at_instant(struct run *r, size_t key, velocity_status status, const velocity_value *value) {
    const struct model_operation *op = find_under_way(r, key);
    if (run_crashed(r) || run_may_have_failed(r, status)) return;
    if (!op) {
        run_expect_value(r, key, status, value);
    } else if (!op->expires_at_ms && !r->space_may_end) {
        RUN_EXPECT(r, status == (op->end || op->is_delete ? VELOCITY_NOT_FOUND : VELOCITY_OK));
        if (!status) RUN_EXPECT(r, value->size == op->value.size);
        if (!status && value->size) RUN_EXPECT(r, memcmp(value->data, op->value.data, value->size) == 0);
    }
}

/* Before each operation looks at its key as it is before the batch, whatever of the batch is there already. */
static velocity_status compose(void *arg, velocity_instant *instant, velocity_batch *batch) {
    struct composed *c = arg;
    c->calls++;
    for (size_t i = c->from; i < c->count; i++) {
        size_t key = c->operations[i].key;
        velocity_value value;
        velocity_status status = velocity_instant_get(instant, c->r->m->keys[key].bytes, &value);
        expect_at_instant(c->r, key, status, &value);
        velocity_value_release(&value);
        add_operation(c->r, batch, &c->operations[i]);
    }
    return VELOCITY_OK;
}

static void fill_and_compose(struct composed *c, velocity_batch *batch, struct model_operation *operations) {
    uint64_t bytes = 0;
    bool has_ranges = false;
    for (size_t i = 0; i < c->count; i++) {
        operations[i] = model_random_operation(c->r->m);
        has_ranges |= i >= c->from && operations[i].end;
    }
    if (has_ranges) c->from = c->count; /* they can't be composed */
    for (size_t i = 0; i < c->from; i++) add_operation(c->r, batch, &operations[i]);
    for (size_t i = c->from; i < c->count; i++)
        bytes += c->r->m->keys[operations[i].key].bytes.size + operations[i].value.size;
    c->operations = operations;
    if (c->from < c->count) velocity_batch_compose(batch, (uint32_t)(c->count - c->from), bytes, compose, c);
}

struct requirement {
    size_t key;
    uint64_t sequence;
};

static uint64_t version_of(const struct run *r, size_t key) {
    const struct model_version *now = model_find(r->m, key, UINT64_MAX);
    return now ? now->sequence : VELOCITY_ABSENT;
}

/* Mostly true ones. */
static struct requirement random_requirement(struct run *r) {
    struct requirement q = {.key = model_random(r->m, r->m->key_count)};
    q.sequence = version_of(r, q.key);
    switch (model_random(r->m, 12)) {
    case 0: q.sequence++; break;
    case 1: q.sequence = VELOCITY_ABSENT; break;
    case 2: q.sequence = VELOCITY_EXISTS; break;
    case 3:
        if (q.sequence != VELOCITY_ABSENT) q.sequence = VELOCITY_EXISTS;
        break;
    default: break;
    }
    return q;
}

static size_t first_conflict(const struct run *r, const struct requirement *requirements, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t now = version_of(r, requirements[i].key), wanted = requirements[i].sequence;
        if (wanted == VELOCITY_EXISTS ? now == VELOCITY_ABSENT : now != wanted) return i;
    }
    return SIZE_MAX;
}

static void expect_conflict(struct run *r, velocity_batch *batch, velocity_status status, size_t index,
                            const struct requirement *requirements) {
    uint64_t current = 0;
    if (status != VELOCITY_CONFLICT) run_fail(r, "%s instead of CONFLICT", velocity_status_name(status));
    RUN_EXPECT(r, velocity_batch_conflict(batch, &current) == index);
    if (current != version_of(r, requirements[index].key))
        run_fail(r, "the conflict tells of version %llu, but the model's is %llu", (unsigned long long)current,
                 (unsigned long long)version_of(r, requirements[index].key));
}

velocity_status run_batch(struct run *r) {
    struct model_operation operations[RUN_BATCH];
    struct requirement requirements[3];
    size_t count = model_random(r->m, RUN_BATCH), required = model_random(r->m, 3) ? 0 : model_random(r->m, 4);
    velocity_batch *batch = velocity_batch_new();
    velocity_write_options options = model_random_write_options(r->m);
    uint64_t sequence = 0;
    RUN_EXPECT(r, batch != NULL);
    struct composed c = {.r = r, .count = count, .from = model_random(r->m, 3) ? count : model_random(r->m, count + 1)};
    fill_and_compose(&c, batch, operations);
    for (size_t i = 0; i < required; i++) {
        requirements[i] = random_requirement(r);
        velocity_batch_require(batch, r->m->keys[requirements[i].key].bytes, requirements[i].sequence);
    }
    run_doing(r, "batch of %zu, composed from %zu on, with %zu requirements, durability %d, %zu asynchronous before",
              count, c.from, required, (int)options.durability, r->async_count);
    velocity_status status = velocity_write(r->db, batch, &options, &sequence);
    if (!run_crashed(r) && status == VELOCITY_OK) RUN_EXPECT(r, c.calls == (c.from < count));
    if (!run_crashed(r) && status == VELOCITY_CONFLICT) RUN_EXPECT(r, c.calls == 0);
    settle_async(r);
    size_t conflict = first_conflict(r, requirements, required);
    if (conflict == SIZE_MAX) {
        status = wrote(r, operations, count, status, is_durable(r, options.durability));
        if (status == VELOCITY_OK) RUN_EXPECT(r, sequence == r->m->last);
    } else if (!run_crashed(r) && !(status == VELOCITY_NO_SPACE && r->space_may_end) &&
               !run_may_have_failed(r, status)) {
        expect_conflict(r, batch, status, conflict, requirements);
    }
    velocity_batch_free(batch);
    return status;
}

velocity_status run_txn_commit(struct run *r, struct run_txn *t) {
    velocity_write_options options = model_random_write_options(r->m);
    uint64_t sequence = 0;
    run_doing(r, "commit of %zu operations, isolation %d, durability %d, %zu asynchronous before", t->count,
              (int)t->isolation, (int)options.durability, r->async_count);
    velocity_status status = velocity_txn_commit(t->txn, &options, &sequence);
    settle_async(r);
    if (t->count == 0) {
        RUN_EXPECT(r, run_crashed(r) || status == VELOCITY_OK);
    } else if (!run_txn_conflicts(r, t)) {
        status = wrote(r, t->operations, t->count, status, is_durable(r, options.durability));
        if (status == VELOCITY_OK) RUN_EXPECT(r, sequence == r->m->last);
    } else if (!run_crashed(r) && !(status == VELOCITY_NO_SPACE && r->space_may_end) &&
               !run_may_have_failed(r, status)) {
        if (status != VELOCITY_CONFLICT) run_fail(r, "%s instead of CONFLICT", velocity_status_name(status));
    }
    return status;
}

static void write_async(struct run *r) {
    if (r->async_count == RUN_ASYNC) {
        (void)run_put(r); /* leads them all */
        return;
    }
    struct run_async *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->batch = velocity_batch_new();
    RUN_EXPECT(r, a->batch != NULL);
    a->count = 1 + model_random(r->m, RUN_BATCH);
    fill_batch(r, a->batch, a->operations, a->count);
    velocity_write_options options = model_random_write_options(r->m);
    a->durable = is_durable(r, options.durability);
    run_doing(r, "asynchronous batch of %zu", a->count);
    velocity_status status = velocity_write_async(r->db, a->batch, &options, async_done, a);
    if (status == VELOCITY_OK) {
        r->async[r->async_count++] = a;
        settle_async(r);
        return;
    }
    velocity_batch_free(a->batch);
    free(a);
    if (run_crashed(r)) return;
    if (status != VELOCITY_BUSY || r->async_count == 0)
        run_fail(r, "asynchronous write: %s", velocity_status_name(status));
}

/* ---- maintenance --------------------------------------------------------------------------------------------------
 */

/* What a flush or compaction answered: what was acknowledged before it is in tables now. */
static void maintained(struct run *r, uint64_t acked_before, long acked_day, velocity_status status) {
    settle_async(r);
    if (run_crashed(r) || (status == VELOCITY_NO_SPACE && r->space_may_end) || run_may_have_failed(r, status)) return;
    if (status != VELOCITY_OK) run_fail(r, "%s", velocity_status_name(status));
    if (acked_before > r->m->synced) r->m->synced = acked_before;
    if (acked_day > r->synced_day) r->synced_day = acked_day;
}

void run_flush(struct run *r) {
    uint64_t acked = r->m->acked;
    long day = r->acked_day;
    run_doing(r, "flush");
    maintained(r, acked, day, velocity_flush(r->db));
}

#define ENDED UINT_MAX

/* 0: for ever. */
static bool go_on(void *arg, uint64_t done, uint64_t total) {
    unsigned *patience = arg;
    if (done > total) abort();
    if (*patience == 0 || --*patience) return true;
    *patience = ENDED;
    return false;
}

void run_compact(struct run *r) {
    velocity_range range = velocity_range_default();
    uint64_t acked = r->m->acked;
    long day = r->acked_day;
    bool all = model_random(r->m, 2) == 0;
    range.start = r->m->keys[model_random(r->m, r->m->key_count)].bytes;
    if (model_random(r->m, 2)) range.end = r->m->keys[model_random(r->m, r->m->key_count)].bytes;
    unsigned patience = model_random(r->m, 3) ? 0 : 1 + (unsigned)model_random(r->m, 30);
    run_doing(r, "compact %s, ended after %u calls", all ? "all" : "some keys", patience);
    velocity_status status = velocity_compact_with(r->db, all ? NULL : &range, go_on, &patience);
    if (status == VELOCITY_INCOMPLETE) {
        RUN_EXPECT(r, patience == ENDED);
        status = VELOCITY_OK; /* the flush before it is complete */
    }
    maintained(r, acked, day, status);
}

void run_resize_cache(struct run *r) {
    uint64_t bytes = model_random(r->m, 3) ? UINT64_C(4096) << model_random(r->m, 9) : 0;
    run_doing(r, "cache of %llu bytes", (unsigned long long)bytes);
    RUN_EXPECT(r, velocity_set_cache_bytes(r->db, bytes) == VELOCITY_OK);
}

/* What happens by itself when nobody writes for a while. */
void run_idle(struct run *r) {
    run_doing(r, "idle");
    env_sim_advance_ms(r->sim, 2000);
    background_tick(&r->db->ticker);
    for (int jobs = 0; jobs < 20 && pool_run_one(r->db->shared->pool);) jobs++;
    settle_async(r);
}

void run_close(struct run *r) {
    run_release_handles(r);
    run_doing(r, "close");
    velocity_status status = velocity_close(r->db);
    r->db = NULL;
    settle_async(r);
    RUN_EXPECT(r, r->async_count == 0);
    if (run_crashed(r)) return;
    RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
    r->floor = r->m->acked;
    r->day_floor = r->acked_day;
    if (run_may_have_failed(r, status)) return;
    if (status != VELOCITY_OK) run_fail(r, "close: %s", velocity_status_name(status));
    r->m->synced = r->m->acked;
    r->day_floor = r->acked_day = r->synced_day = r->m->day;
}

void run_reopen(struct run *r) {
    run_close(r);
    if (!run_crashed(r)) run_open(r);
}

/* ---- dying --------------------------------------------------------------------------------------------------------
 */

/* Frees what the dead process held. Every call that the engine makes for it fails. */
static void bury(struct run *r) {
    settle_async(r);
    run_release_handles(r);
    if (r->db) RUN_EXPECT(r, velocity_close(r->db) != VELOCITY_BUSY);
    r->db = NULL;
    settle_async(r);
    RUN_EXPECT(r, r->async_count == 0);
}

void run_recover(struct run *r, bool power_cut) {
    struct model *m = r->m;
    do {
        bury(r);
        uint64_t survives = power_cut ? m->synced : m->acked;
        if (survives < r->floor) r->floor = survives;
        long day = power_cut ? r->synced_day : r->acked_day;
        if (day < r->day_floor) r->day_floor = day;
        run_doing(r, "%s, must keep everything up to %llu", power_cut ? "power cut" : "kill",
                  (unsigned long long)r->floor);
        if (power_cut)
            env_sim_power_cut(r->sim);
        else
            env_sim_kill(r->sim);
        run_look_at_copy(r);
        if (r->random_options && model_random(m, 3) == 0) env_sim_crash_after(r->sim, 1 + model_random(m, 400));
        run_open(r);
        if (!run_crashed(r)) env_sim_no_crash(r->sim);
        power_cut = model_random(m, 2) == 0; /* should it die again */
    } while (run_crashed(r));
}

void run_step(struct run *r) {
    uint64_t sort = model_random(r->m, 1000);
    r->step++;
    if (sort < 330)
        (void)run_put(r);
    else if (sort < 450)
        (void)run_batch(r);
    else if (sort < 510)
        write_async(r);
    else if (sort < 516)
        run_flush(r);
    else if (sort < 518)
        run_compact(r);
    else if (sort < 521)
        run_reopen(r);
    else if (sort < 524)
        run_compare_all(r);
    else if (sort < 526)
        run_checkpoint(r);
    else if (sort < 528)
        run_idle(r);
    else if (sort < 530)
        env_sim_advance_ms(r->sim, model_random(r->m, 2000));
    else if (sort < 533)
        run_resize_cache(r);
    else if (sort < 550)
        run_turn_clock(r);
    else if (sort < 590)
        run_follow(r);
    else if (sort < 680)
        run_txn_step(r);
    else
        run_read_step(r);
}
