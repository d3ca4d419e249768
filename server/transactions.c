/*
 * transactions.c - see transactions.h: who may enter which transaction, and when each ends.
 *
 * Invariants:
 *  1. A transaction is in a bucket until it ends, and is freed by whoever took it out, after the mutex was left: to
 *     give back what it holds takes its time.
 *  2. How it ended is remembered in the same moment as it is taken out, and before anybody is answered: whoever asks
 *     again finds one or the other.
 *  3. Nobody but whoever is inside touches the engine's transaction; what comes meanwhile to end it dooms it.
 *  4. Of a database that is being dropped (nobody new gets into it) all have ended or are doomed: the listener is told
 *     after the door was closed, and who begins looks at the door after it was put in its bucket.
 */
#include "server/transactions_internal.h"

#include "engine/status.h"
#include "server/seeded_hash.h"
#include "server/timestamp.h"

#include <stdio.h>
#include <stdlib.h>

#define SWEEP_MS          1000u
#define LEAST_BYTES       32768u     /* of memory, that one takes with its first write */
#define COMMITS_KEPT      (1u << 20) /* some 60 MiB, once a thousand and a half a second commit for ten minutes */
#define LOST_KEPT         (1u << 18) /* as much memory: each names a key */
#define OTHERS_KEPT       (1u << 16)
#define DEFAULT_IDLE      30u
#define DEFAULT_SECONDS   300u
#define DEFAULT_PER_USER  16u
#define DEFAULT_MAX_BYTES (UINT64_C(64) << 20)

/* ---- ids and owners --------------------------------------------------------------------------------------------- */

static int hexadecimal(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_id(velocity_slice text, uint8_t id[OUTCOME_ID_BYTES]) {
    const char *p = text.data;
    if (text.size != 2 * OUTCOME_ID_BYTES) return false;
    for (size_t i = 0; i < OUTCOME_ID_BYTES; i++) {
        int high = hexadecimal(p[2 * i]), low = hexadecimal(p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool transaction_id_is_good(velocity_slice text) {
    uint8_t id[OUTCOME_ID_BYTES];
    return read_id(text, id);
}

static velocity_status make_id(struct transaction *t) {
    velocity_status status = env_random(env_posix(), t->id, sizeof t->id);
    for (size_t i = 0; i < sizeof t->id; i++) (void)snprintf(t->id_text + 2 * i, 3, "%02x", t->id[i]);
    return status;
}

/* Whose it is, and where: what an outcome keeps of that. Between two parts stands a NUL, which none of them holds. */
static uint64_t owner_of(const struct transaction_caller *caller) {
    char text[AUTH_NAME_MAX + LOGIN_ID_BYTES + DATABASE_NAME_MAX + 8];
    const struct principal *who = caller->principal;
    int size = snprintf(text, sizeof text, "%s%c%d%c%s%c%.*s", who->user, 0, (int)who->login, 0, who->id, 0,
                        (int)caller->database.size, (const char *)caller->database.data);
    return seeded_hash(0, velocity_bytes(text, size > 0 && (size_t)size < sizeof text ? (size_t)size : 0));
}

static bool is_owner(const struct transaction *t, const struct transaction_caller *caller) {
    const struct principal *a = t->principal, *b = caller->principal;
    const char *name = database_name(t->database);
    return strcmp(a->user, b->user) == 0 && a->login == b->login && strcmp(a->id, b->id) == 0 &&
           strlen(name) == caller->database.size && memcmp(name, caller->database.data, caller->database.size) == 0;
}

/* ---- in and out of the buckets (under the mutex) ------------------------------------------------------------------
 */

static uint64_t now_ms(struct transactions *all) {
    return all->now_ms ? all->now_ms(all->now_arg) : env_monotonic_us(env_posix()) / 1000;
}

static struct transaction **find(struct transactions *all, const uint8_t id[OUTCOME_ID_BYTES]) {
    struct transaction **link = &all->buckets[id[0]];
    while (*link && memcmp((*link)->id, id, OUTCOME_ID_BYTES) != 0) link = &(*link)->next;
    return link;
}

/* Where how it ends is remembered: what costs nothing pushes out no answer that somebody may ask for again. */
static struct outcomes *memory_of(struct transactions *all, const struct transaction *t,
                                  const struct store_commit *commit) {
    if (!commit || t->written_bytes <= LEAST_BYTES) return all->ended;
    return commit->status == VELOCITY_OK ? all->committed : all->lost;
}

/* Takes it out for good. `commit`: the answer of its commit, else NULL. */
static void take_out(struct transactions *all, struct transaction *t, enum transaction_end end,
                     const struct store_commit *commit) {
    struct outcome outcome = {.owner = t->owner, .end = (uint8_t)end};
    *find(all, t->id) = t->next;
    t->next = NULL;
    all->open--;
    memcpy(outcome.id, t->id, sizeof outcome.id);
    if (commit) {
        outcome.status = commit->status;
        outcome.version = commit->version;
        (void)snprintf(outcome.message, sizeof outcome.message, "%s", commit->message);
        outcome.key = commit->lost_key;
    }
    outcomes_add(memory_of(all, t, commit), &outcome, now_ms(all));
    struct transactions_stats *stats = &all->stats;
    if (end == TRANSACTION_COMMITTED) {
        stats->committed += outcome.status == VELOCITY_OK;
        stats->conflicts += outcome.status == VELOCITY_CONFLICT;
    } else if (end == TRANSACTION_IDLE || end == TRANSACTION_OLD) {
        stats->timed_out++;
    } else {
        stats->rolled_back++;
    }
}

/* Without the mutex; NULL is allowed. */
static void transaction_free(struct transaction *t) {
    if (!t) return;
    if (t->inner) t->inner->operations->free(t->inner);
    (void)atomic_fetch_sub(&t->all->bytes, t->written_bytes + t->noted_bytes);
    database_release(t->database);
    principal_release(t->principal);
    free(t);
}

static void free_list(struct transaction *list) {
    while (list) {
        struct transaction *next = list->next;
        transaction_free(list);
        list = next;
    }
}

/* Whether it has to end, and why. */
static bool is_due(struct transactions *all, struct transaction *t, uint64_t now, enum transaction_end *why) {
    uint64_t generation = auth_generation(all->auth);
    *why = TRANSACTION_OLD;
    if (t->doomed) {
        *why = t->doom;
        return true;
    }
    if (now - t->begun_ms >= all->max_ms) return true;
    *why = TRANSACTION_IDLE;
    if (!t->inside && now - t->used_ms >= all->idle_ms) return true;
    *why = TRANSACTION_REVOKED;
    if (generation != t->generation && !auth_holds(all->auth, t->principal)) return true;
    t->generation = generation;
    return false;
}

/* ---- begin ------------------------------------------------------------------------------------------------------ */

static uint32_t count_of(struct transactions *all, const char *user) {
    uint32_t count = 0;
    for (size_t i = 0; i < TRANSACTION_BUCKETS; i++)
        for (const struct transaction *t = all->buckets[i]; t; t = t->next)
            count += strcmp(t->principal->user, user) == 0;
    return count;
}

/* Under the mutex: into its bucket, if there is room. */
static velocity_status put_in(struct transactions *all, struct transaction *t) {
    velocity_status status = VELOCITY_OK;
    if (count_of(all, t->principal->user) >= all->max_per_user)
        status = status_set(VELOCITY_CONFLICT, "there are %u open transactions of this user, as many as there may be",
                            (unsigned)all->max_per_user);
    else if (all->open >= TRANSACTIONS_MAX)
        status =
            status_set(VELOCITY_BUSY, "there are %u open transactions, as many as there may be", (unsigned)all->open);
    if (status) {
        all->stats.refused++;
        return status;
    }
    t->begun_ms = t->used_ms = now_ms(all);
    t->next = all->buckets[t->id[0]];
    all->buckets[t->id[0]] = t;
    all->stats.begun++;
    if (all->open++ == 0) env_condition_signal(&all->wake);
    return VELOCITY_OK;
}

static velocity_status prepare(struct transactions *all, const struct transaction_caller *caller,
                               struct transaction *t) {
    t->all = all;
    t->generation = UINT64_MAX; /* none: whoever asks is looked at once more when they come again */
    t->principal = principal_acquire(caller->principal);
    t->owner = owner_of(caller);
    t->begun_at_ms = timestamp_now();
    transaction_store_init(t);
    velocity_status status = databases_acquire(all->databases, caller->database, &t->database);
    if (!status && !transaction_take_bytes(t, &t->written_bytes, LEAST_BYTES, UINT64_MAX))
        status = status_set(VELOCITY_BUSY, "open transactions hold as much memory as they may");
    if (!status) status = make_id(t);
    struct store *store = status ? NULL : database_store(t->database);
    return status ? status : store->operations->begin(store, t->isolation, &t->inner);
}

static struct transaction_info info_of(const struct transaction *t) {
    struct transaction_info info = {.isolation = t->isolation,
                                    .begun_at_ms = t->begun_at_ms,
                                    .expires_at_ms = t->begun_at_ms + (int64_t)t->all->max_ms,
                                    .idle_seconds = (uint32_t)(t->all->idle_ms / 1000)};
    memcpy(info.id, t->id_text, sizeof info.id);
    return info;
}

velocity_status transactions_begin(struct transactions *all, const struct transaction_caller *caller,
                                   velocity_isolation isolation, struct transaction_info *out) {
    transactions_sweep(all); /* what is due leaves its place */
    struct transaction *t = calloc(1, sizeof *t);
    if (!t) return status_set(VELOCITY_NO_MEMORY, "no memory for a transaction");
    t->isolation = isolation;
    velocity_status status = prepare(all, caller, t);
    env_mutex_lock(&all->mutex);
    if (!status) status = put_in(all, t);
    if (!status) {
        *out = info_of(t);
        if (database_is_closing(t->database)) { /* its listener may have been told before it was put in */
            take_out(all, t, TRANSACTION_DROPPED, NULL);
            status = status_set(VELOCITY_BUSY, "the database is being dropped");
        }
    }
    env_mutex_unlock(&all->mutex);
    if (status) transaction_free(t);
    return status;
}

/* ---- enter and leave -------------------------------------------------------------------------------------------- */

/* Under the mutex. */
static enum transaction_entry recall(struct transactions *all, const uint8_t id[OUTCOME_ID_BYTES],
                                     const struct transaction_caller *caller, struct outcome *outcome) {
    uint64_t now = now_ms(all);
    bool found = outcomes_find(all->committed, id, now, outcome) || outcomes_find(all->lost, id, now, outcome) ||
                 outcomes_find(all->ended, id, now, outcome);
    if (found && outcome->owner == owner_of(caller)) return TRANSACTION_ENDED;
    if (found) outcome_clear(outcome);
    return TRANSACTION_UNKNOWN;
}

/* Under the mutex. What was due is taken out: *due, to be freed. */
static enum transaction_entry meet(struct transactions *all, velocity_slice text,
                                   const struct transaction_caller *caller, struct transaction **out,
                                   struct outcome *outcome, struct transaction **due) {
    uint8_t id[OUTCOME_ID_BYTES];
    enum transaction_end why;
    *out = *due = NULL;
    if (!read_id(text, id)) return TRANSACTION_UNKNOWN;
    struct transaction *t = *find(all, id);
    if (!t) return recall(all, id, caller, outcome);
    if (!is_owner(t, caller)) return TRANSACTION_UNKNOWN;
    if (t->inside) return TRANSACTION_BUSY;
    if (!is_due(all, t, now_ms(all), &why)) {
        *out = t;
        return TRANSACTION_ENTERED;
    }
    take_out(all, t, why, NULL);
    *due = t;
    return recall(all, id, caller, outcome);
}

enum transaction_entry transactions_enter(struct transactions *all, velocity_slice id,
                                          const struct transaction_caller *caller, struct transaction **out,
                                          struct outcome *outcome) {
    struct transaction *due;
    env_mutex_lock(&all->mutex);
    enum transaction_entry entry = meet(all, id, caller, out, outcome, &due);
    if (entry == TRANSACTION_ENTERED) {
        (*out)->inside = true;
        (*out)->excess = TRANSACTION_FITS;
    }
    env_mutex_unlock(&all->mutex);
    transaction_free(due);
    return entry;
}

enum transaction_entry transactions_look(struct transactions *all, velocity_slice id,
                                         const struct transaction_caller *caller, struct outcome *outcome) {
    struct transaction *due, *coming;
    env_mutex_lock(&all->mutex);
    enum transaction_entry entry = meet(all, id, caller, &coming, outcome, &due);
    if (entry == TRANSACTION_ENTERED) coming->used_ms = now_ms(all);
    env_mutex_unlock(&all->mutex);
    transaction_free(due);
    return entry;
}

void transaction_leave(struct transaction *t) {
    struct transactions *all = t->all;
    enum transaction_end why;
    env_mutex_lock(&all->mutex);
    t->inside = false;
    t->used_ms = now_ms(all);
    bool due = is_due(all, t, t->used_ms, &why);
    if (due) take_out(all, t, why, NULL);
    env_mutex_unlock(&all->mutex);
    if (due) transaction_free(t);
}

enum transaction_entry transactions_rollback(struct transactions *all, velocity_slice id,
                                             const struct transaction_caller *caller, struct outcome *outcome) {
    struct transaction *due, *t;
    env_mutex_lock(&all->mutex);
    enum transaction_entry entry = meet(all, id, caller, &t, outcome, &due);
    if (entry == TRANSACTION_ENTERED) take_out(all, t, TRANSACTION_ROLLED_BACK, NULL);
    env_mutex_unlock(&all->mutex);
    transaction_free(due);
    if (entry == TRANSACTION_ENTERED) transaction_free(t);
    return entry;
}

/* ---- inside ----------------------------------------------------------------------------------------------------- */

struct store *transaction_store(struct transaction *transaction) {
    return &transaction->store;
}

bool transaction_takes_space(const struct transaction *transaction) {
    return transaction->puts;
}

enum transaction_excess transaction_excess(const struct transaction *transaction) {
    return transaction->excess;
}

/* Nothing was done, and it makes sense to try again. */
static bool may_go_on(velocity_status status) {
    return status == VELOCITY_BUSY || status == VELOCITY_NO_SPACE || status == VELOCITY_NO_MEMORY;
}

/* On any thread, the engine's commit thread mostly. */
static void commit_answered(struct store_commit *commit) {
    struct transaction *t = (struct transaction *)((char *)commit - offsetof(struct transaction, commit));
    struct transactions *all = t->all;
    struct store_commit *asked = t->asked;
    asked->status = commit->status;
    asked->version = commit->version;
    memcpy(asked->message, commit->message, sizeof asked->message);
    asked->lost_key = commit->lost_key;
    if (may_go_on(commit->status)) {
        transaction_leave(t);
    } else {
        env_mutex_lock(&all->mutex);
        take_out(all, t, TRANSACTION_COMMITTED, commit);
        env_mutex_unlock(&all->mutex);
        transaction_free(t);
    }
    asked->done(asked);
}

void transaction_commit(struct transaction *t, struct store_commit *commit) {
    t->asked = commit;
    t->commit.done = commit_answered;
    t->inner->operations->commit(t->inner, &t->commit);
}

/* ---- those that are due ------------------------------------------------------------------------------------------ */

/* Under the mutex. Takes out what is due, or for a reason of its own, but what somebody is inside of. */
static struct transaction *gather(struct transactions *all, const struct database *dropped, bool everything) {
    struct transaction *list = NULL;
    uint64_t now = now_ms(all);
    enum transaction_end why;
    for (size_t i = 0; i < TRANSACTION_BUCKETS; i++)
        for (struct transaction *t = all->buckets[i], *next; t; t = next) {
            next = t->next;
            if (!t->doomed && dropped && t->database == dropped) {
                t->doomed = true;
                t->doom = TRANSACTION_DROPPED;
            }
            if (t->inside || (!is_due(all, t, now, &why) && !everything)) continue;
            take_out(all, t, why, NULL);
            t->next = list;
            list = t;
        }
    return list;
}

void transactions_sweep(struct transactions *all) {
    env_mutex_lock(&all->mutex);
    struct transaction *list = all->open ? gather(all, NULL, false) : NULL;
    env_mutex_unlock(&all->mutex);
    free_list(list);
}

static void leave_database(struct databases_listener *listener, struct database *database) {
    struct transactions *all = (struct transactions *)((char *)listener - offsetof(struct transactions, listener));
    env_mutex_lock(&all->mutex);
    struct transaction *list = gather(all, database, false);
    env_mutex_unlock(&all->mutex);
    free_list(list);
}

static void *sweep(void *arg) {
    struct transactions *all = arg;
    env_mutex_lock(&all->mutex);
    while (!all->ending) {
        if (all->open)
            (void)env_condition_wait_ms(&all->wake, &all->mutex, SWEEP_MS);
        else
            env_condition_wait(&all->wake, &all->mutex);
        struct transaction *list = gather(all, NULL, false);
        env_mutex_unlock(&all->mutex);
        free_list(list);
        env_mutex_lock(&all->mutex);
    }
    env_mutex_unlock(&all->mutex);
    return NULL;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

void transactions_list(struct transactions *all, velocity_slice database, const char *user,
                       bool (*row)(void *arg, const struct transaction_info *info), void *arg) {
    bool more = true;
    env_mutex_lock(&all->mutex);
    for (size_t i = 0; i < TRANSACTION_BUCKETS && more; i++)
        for (const struct transaction *t = all->buckets[i]; t && more; t = t->next) {
            const char *name = database_name(t->database);
            if (user && strcmp(t->principal->user, user) != 0) continue;
            if (strlen(name) != database.size || memcmp(name, database.data, database.size) != 0) continue;
            struct transaction_info info = info_of(t);
            info.user = t->principal->user;
            more = row(arg, &info);
        }
    env_mutex_unlock(&all->mutex);
}

void transactions_stats(struct transactions *all, struct transactions_stats *out) {
    env_mutex_lock(&all->mutex);
    *out = all->stats;
    out->open = all->open;
    out->remembered = outcomes_count(all->committed) + outcomes_count(all->lost) + outcomes_count(all->ended);
    env_mutex_unlock(&all->mutex);
    out->bytes = atomic_load(&all->bytes);
    out->max_bytes = all->max_total_bytes;
}

/* ---- the registry ----------------------------------------------------------------------------------------------- */

struct transactions *transactions_new(const struct transactions_options *options) {
    struct transactions *all = calloc(1, sizeof *all);
    if (!all) return NULL;
    env_mutex_init(&all->mutex);
    env_condition_init(&all->wake);
    all->databases = options->databases;
    all->auth = options->auth;
    all->idle_ms = UINT64_C(1000) * (options->idle_seconds ? options->idle_seconds : DEFAULT_IDLE);
    all->max_ms = UINT64_C(1000) * (options->max_seconds ? options->max_seconds : DEFAULT_SECONDS);
    all->max_per_user = options->max_per_user ? options->max_per_user : DEFAULT_PER_USER;
    all->max_bytes = options->max_bytes ? options->max_bytes : DEFAULT_MAX_BYTES;
    all->max_total_bytes = options->max_total_bytes;
    all->now_ms = options->now_ms;
    all->now_arg = options->now_arg;
    all->listener.leave = leave_database;
    databases_listen(all->databases, &all->listener);
    all->committed = outcomes_new(COMMITS_KEPT, TRANSACTIONS_KEPT_MS);
    all->lost = outcomes_new(LOST_KEPT, TRANSACTIONS_KEPT_MS);
    all->ended = outcomes_new(OTHERS_KEPT, TRANSACTIONS_KEPT_MS);
    bool good = all->committed && all->lost && all->ended;
    if (good && !all->now_ms)
        good = all->sweeping = env_thread_start(&all->sweeper, "transactions", sweep, all) == VELOCITY_OK;
    if (good) return all;
    transactions_free(all);
    return NULL;
}

void transactions_free(struct transactions *all) {
    if (!all) return;
    env_mutex_lock(&all->mutex);
    all->ending = true;
    env_condition_signal(&all->wake);
    env_mutex_unlock(&all->mutex);
    if (all->sweeping) env_thread_join(all->sweeper);
    databases_unlisten(all->databases, &all->listener);
    if (all->open) free_list(gather(all, NULL, true));
    outcomes_free(all->committed);
    outcomes_free(all->lost);
    outcomes_free(all->ended);
    env_condition_destroy(&all->wake);
    env_mutex_destroy(&all->mutex);
    free(all);
}
