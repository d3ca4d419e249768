/* model_history.c - change feeds and checkpoints beside the model. See model_run.h. */
#include "engine/slice.h"
#include "model_run.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH "disk/copy"

/* ---- change feeds ------------------------------------------------------------------------------------------------ */

static uint64_t oldest_change(struct run *r) {
    velocity_stats stats = {.struct_size = sizeof stats};
    RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
    RUN_EXPECT(r, stats.log_retained_bytes <= r->options.log_retention_bytes);
    return stats.oldest_change_sequence;
}

static bool is_change(const struct run *r, uint64_t sequence) {
    size_t i = model_changes_up_to(r->m, sequence);
    return i > 0 && r->m->changes[i - 1].version.sequence == sequence && !r->m->changes[i - 1].doubtful;
}

static void expect_change(struct run *r, const velocity_change *found, const struct model_change *expected) {
    const struct model_version *version = &expected->version;
    velocity_change_kind kind = expected->end      ? VELOCITY_CHANGE_DELETE_RANGE
                                : version->deleted ? VELOCITY_CHANGE_DELETE
                                                   : VELOCITY_CHANGE_PUT;
    if (found->sequence != version->sequence)
        run_fail(r, "the feed shows %llu, the model %llu", (unsigned long long)found->sequence,
                 (unsigned long long)version->sequence);
    RUN_EXPECT(r,
               found->kind == kind && found->flags == version->flags && found->expires_at_ms == version->expires_at_ms);
    RUN_EXPECT(r, slice_equal(found->key, r->m->keys[expected->key].bytes));
    if (expected->end)
        RUN_EXPECT(r, slice_equal(found->value, r->m->keys[expected->end].bytes));
    else
        RUN_EXPECT(r, found->value.size == version->size && model_hash(found->value) == version->hash);
    RUN_EXPECT(r, found->ends_batch == expected->ends_batch);
    RUN_EXPECT(r, found->committed_at_ms >= UINT64_C(1700000000000));
}

/* The next change that the feed must show behind r->fed, or may, if it has `sequence`; the count, if there is none. */
static size_t next_change(const struct run *r, uint64_t sequence) {
    const struct model *m = r->m;
    size_t at = model_changes_up_to(m, r->fed);
    while (at < m->change_count && m->changes[at].doubtful && m->changes[at].version.sequence != sequence) at++;
    return at;
}

/* The feed has nothing to show. */
static void expect_silence(struct run *r) {
    velocity_status status = velocity_changes_status(r->feed);
    if (run_crashed(r) || run_may_have_failed(r, status)) return;
    uint64_t oldest = oldest_change(r);
    if (status == VELOCITY_HISTORY_GONE && r->fed + 1 < oldest) {
        r->fed = oldest - 1; /* overtaken: what a follower reads elsewhere */
        velocity_changes_free(r->feed);
        r->feed = NULL;
        return;
    }
    if (status != VELOCITY_OK)
        run_fail(r, "feed behind %llu: %s", (unsigned long long)r->fed, velocity_status_name(status));
    size_t at = next_change(r, 0);
    if (at < r->m->change_count)
        run_fail(r, "the feed ends behind %llu, the model goes on with %llu", (unsigned long long)r->fed,
                 (unsigned long long)r->m->changes[at].version.sequence);
}

static void read_feed(struct run *r, uint64_t most) {
    const velocity_change *found = NULL;
    run_doing(r, "read up to %llu changes behind %llu", (unsigned long long)most, (unsigned long long)r->fed);
    while (most > 0 && (found = velocity_changes_next(r->feed))) {
        if (run_crashed(r)) return;
        size_t at = next_change(r, found->sequence);
        if (at == r->m->change_count)
            run_fail(r, "the feed shows %llu, the model nothing", (unsigned long long)found->sequence);
        expect_change(r, found, &r->m->changes[at]);
        r->fed = found->sequence;
        RUN_EXPECT(r, velocity_changes_sequence(r->feed) == r->fed);
        most--;
    }
    if (most > 0) expect_silence(r);
}

/* Sequences that lie before what is kept are refused, all others that belong to an operation are taken. */
static void open_feed(struct run *r, uint64_t since) {
    run_doing(r, "feed behind %llu", (unsigned long long)since);
    uint64_t oldest = oldest_change(r);
    r->feed = velocity_changes_new(r->db, since);
    velocity_status status = velocity_changes_status(r->feed);
    velocity_status expected = since + 1 < oldest ? VELOCITY_HISTORY_GONE : VELOCITY_OK;
    bool known = since + 1 <= oldest || is_change(r, since) || since == r->m->last;
    if (status != expected && known)
        run_fail(r, "%s, oldest %llu", velocity_status_name(status), (unsigned long long)oldest);
    r->fed = since;
    if (status == VELOCITY_OK && known) return;
    /* What a crash took back is refused, or, if its number was given again, taken. */
    RUN_EXPECT(r, velocity_changes_next(r->feed) == NULL || status == VELOCITY_OK);
    velocity_changes_free(r->feed);
    r->feed = NULL;
    r->fed = r->m->last;
}

/* Where a feed may begin: where the last one ended, or anywhere. */
static uint64_t choose_since(struct run *r) {
    const struct model *m = r->m;
    switch (model_random(r->m, 4)) {
    case 0: return m->change_count ? m->changes[model_random(r->m, m->change_count)].version.sequence : 0;
    case 1: return oldest_change(r) - 1;
    case 2: return m->last;
    default: return r->fed;
    }
}

void run_follow(struct run *r) {
    if (!r->feed) {
        open_feed(r, choose_since(r));
    } else if (model_random(r->m, 10) == 0) {
        velocity_changes_free(r->feed);
        r->feed = NULL;
    } else {
        read_feed(r, model_random(r->m, 8) ? model_random(r->m, 100) : UINT64_MAX);
    }
}

void run_follow_all(struct run *r) {
    velocity_changes_free(r->feed);
    open_feed(r, oldest_change(r) - 1);
    if (r->feed) read_feed(r, UINT64_MAX);
}

/* ---- checkpoints --------------------------------------------------------------------------------------------------
 */

struct folder {
    env *env;
    const char *path;
};

static velocity_status remove_one(void *arg, const char *name) {
    const struct folder *f = arg;
    char path[100];
    (void)snprintf(path, sizeof path, "%s/%s", f->path, name);
    return env_unlink(f->env, path);
}

static velocity_status try_to_remove(struct run *r, const char *path) {
    struct folder f = {env_sim_env(r->sim), path};
    velocity_status status = env_list(f.env, path, remove_one, &f);
    if (!status) status = env_remove_directory(f.env, path);
    return status ? status : env_sync_directory(f.env, "disk"); /* a power cut must not bring back a part of it */
}

static void remove_folder(struct run *r, const char *path) {
    velocity_status status = try_to_remove(r, path);
    if (!run_crashed(r) && run_may_have_failed(r, status)) { /* a fault strikes once */
        bool there;
        status = env_exists(env_sim_env(r->sim), path, &there);
        if (!status && there) status = try_to_remove(r, path);
    }
    if (!run_crashed(r) && status != VELOCITY_OK) run_fail(r, "remove %s", path);
}

/* The copy is a database in the state of that sequence, from which it goes on (once it was opened, an opening may have
 * skipped some). */
static void compare_copy(struct run *r, uint64_t sequence, bool fresh) {
    velocity *source = r->db;
    velocity_stats stats = {.struct_size = sizeof stats};
    run_doing(r, "open the checkpoint at %llu", (unsigned long long)sequence);
    velocity_status status = database_open(env_sim_env(r->sim), PATH, &r->options, &r->db);
    if (status != VELOCITY_OK) r->db = NULL;
    if (!run_crashed(r)) {
        if (status != VELOCITY_OK) run_fail(r, "open the checkpoint: %s", velocity_status_name(status));
        RUN_EXPECT(r, run_state_is(r, sequence, true));
        RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
        if (fresh ? stats.last_sequence != sequence : stats.last_sequence < sequence)
            run_fail(r, "the checkpoint is at %llu, not at %llu", (unsigned long long)stats.last_sequence,
                     (unsigned long long)sequence);
        r->copying = r->copy_made = false; /* from here on it is no copy */
        RUN_EXPECT(r, velocity_put(r->db, velocity_str("k"), velocity_str("v")) == VELOCITY_OK || run_crashed(r));
    }
    if (r->db && velocity_close(r->db) != VELOCITY_OK) RUN_EXPECT(r, run_crashed(r));
    r->db = source;
}

static bool exists(struct run *r, const char *path) {
    bool there = false;
    RUN_EXPECT(r, env_exists(env_sim_env(r->sim), path, &there) == VELOCITY_OK || run_crashed(r));
    return there;
}

void run_checkpoint(struct run *r) {
    r->copied = r->m->last;
    r->copying = true;
    run_doing(r, "checkpoint at %llu", (unsigned long long)r->copied);
    velocity_status status = velocity_checkpoint(r->db, PATH);
    if (run_crashed(r)) return;
    if (run_may_have_failed(r, status) || (status == VELOCITY_NO_SPACE && r->space_may_end)) {
        if (exists(r, PATH)) remove_folder(r, PATH); /* only that its name is durable is not sure */
        r->copying = false;
        return;
    }
    if (status != VELOCITY_OK) run_fail(r, "checkpoint: %s", velocity_status_name(status));
    RUN_EXPECT(r, !exists(r, PATH ".tmp-checkpoint"));
    r->copy_made = true;
    if (!r->io_may_fail && !r->space_may_end) compare_copy(r, r->copied, true);
    if (run_crashed(r)) return;
    r->copying = r->copy_made = false;
    remove_folder(r, PATH);
}

void run_look_at_copy(struct run *r) {
    RUN_EXPECT(r, exists(r, PATH) || !r->copy_made);
    if (exists(r, PATH)) {
        if (r->copying) compare_copy(r, r->copied, !r->copy_made);
        remove_folder(r, PATH);
    }
    r->copying = r->copy_made = false;
}
