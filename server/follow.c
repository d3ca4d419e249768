/*
 * follow.c - followers: how one begins, takes what there is, reads by itself where it is behind, and ends. See
 * follow_internal.h.
 */
#include "server/follow_internal.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    AHEAD_BYTES = 65536,       /* that are read by oneself before they are taken */
    AHEAD_FIRST_BYTES = 16384, /* the same at the beginning, where too much is held already */
    HOLDS_BYTES = 384 * 1024,  /* what one who is behind holds, mostly: those, and a piece of the log */
    AHEAD_US = 20000           /* for which one reads before others on the executor get their turn */
};

/* ---- all of them ------------------------------------------------------------------------------------------------- */

struct followers *followers_new(const struct follow_options *options) {
    struct followers *all = calloc(1, sizeof *all);
    if (!all) return NULL;
    all->options = *options;
    env_mutex_init(&all->mutex);
    env_condition_init(&all->left);
    all->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (all->wake >= 0 && env_thread_start(&all->thread, "follow", followers_run, all) == VELOCITY_OK) return all;
    if (all->wake >= 0) (void)close(all->wake);
    env_condition_destroy(&all->left);
    env_mutex_destroy(&all->mutex);
    free(all);
    return NULL;
}

void followers_free(struct followers *all) {
    if (!all) return;
    env_mutex_lock(&all->mutex);
    all->ending = true;
    while (all->count) env_condition_wait(&all->left, &all->mutex); /* one may be just reading */
    env_mutex_unlock(&all->mutex);
    hub_wake_thread(all);
    env_thread_join(all->thread);
    (void)close(all->wake);
    env_condition_destroy(&all->left);
    env_mutex_destroy(&all->mutex);
    free(all);
}

void followers_stats(struct followers *all, struct follow_stats *out) {
    memset(out, 0, sizeof *out);
    env_mutex_lock(&all->mutex);
    out->events = all->events;
    out->held_bytes = all->held;
    for (struct hub *hub = all->hubs; hub; hub = hub->next) {
        out->hubs++;
        out->followers += hub->count;
        out->ring_bytes += hub->ring_bytes;
        for (struct follower *f = hub->followers; f; f = f->next) out->behind += f->stage == FOLLOWER_BEHIND;
    }
    env_mutex_unlock(&all->mutex);
}

/* ---- reading by oneself -------------------------------------------------------------------------------------------
 */

/* What it may see of a range delete. */
static void write_range(const struct follower *follower, uint64_t version, velocity_slice start, velocity_slice end,
                        struct json_writer *out) {
    struct follow_clip clip;
    clip.next = 0;
    while (follow_clip_next(follower, start, end, &clip)) {
        struct follow_event part = {
            .kind = FOLLOW_DELETE_RANGE, .version = version, .key = clip.start, .end = clip.end, .more = clip.more};
        follower->all->options.write(&part, out);
    }
}

static void write_change(struct follower *follower, const velocity_change *change) {
    struct follow_event event = follow_event_of(change);
    size_t at = follower->ahead.size;
    if (event.kind == FOLLOW_DELETE_RANGE)
        write_range(follower, event.version, event.key, event.end, &follower->ahead);
    else if (follow_sees_key(follower, event.key))
        follower->all->options.write(&event, &follower->ahead);
    if (follower->ahead.size == at) return;
    follower->last_from = follower->version;
    follower->last_at = at;
}

static void fail(struct follower *follower, velocity_status status, const char *words) {
    follower->status = status;
    free(follower->words);
    follower->words = strdup(words);
}

/* False: there is nothing more to look at now. */
static bool read_one(struct follower *follower) {
    const struct store_operations *operations = database_store(follower->database)->operations;
    velocity_status status = VELOCITY_OK;
    const velocity_change *change = operations->feed_next(follower->feed, &status);
    if (!change && status) fail(follower, status, velocity_error_message());
    if (change) {
        write_change(follower, change);
        follower->version = change->sequence;
    }
    follower->caught_up = change ? follower->version >= follower->joined : !status;
    return change && !follower->caught_up;
}

/* Whether it has read enough for now; what is to be skipped is read in one go, so that it comes further than before. */
static bool has_enough(const struct follower *follower, uint64_t until_us) {
    size_t size = follower->ahead.size;
    if (follower->skip && size <= follower->skip) return false;
    return size - follower->skip >= follower->enough || follow_now_us() >= until_us;
}

/* What was taken already is passed over. Where that is not there any more, what follows it can't be told either. */
static void skip_taken(struct follower *follower) {
    if (follower->ahead.size < follower->skip) {
        json_writer_free(&follower->ahead);
        return;
    }
    follower->ahead_at = follower->skip;
    follower->skip = 0;
}

/* Reads on until there is enough to take, or nothing more up to `joined`, or others are waiting. The reader's. */
static void read_ahead(struct follower *follower) {
    struct store *store = database_store(follower->database);
    uint64_t until_us = follow_now_us() + AHEAD_US;
    follower->from = follower->version;
    if (!follower->feed) follower->feed = store->operations->feed(store, follower->version);
    if (!follower->feed) {
        fail(follower, VELOCITY_NO_MEMORY, "no memory to read what was changed");
        return;
    }
    while (read_one(follower) && !has_enough(follower, until_us)) continue;
    /* Where nothing was left to show, the database had shown `joined` before. */
    if (follower->caught_up && follower->version < follower->joined) follower->version = follower->joined;
    if (follower->ahead.failed) {
        fail(follower, VELOCITY_NO_MEMORY, "no memory for what was changed");
        json_writer_free(&follower->ahead); /* its last event is torn */
    }
    if (follower->skip) skip_taken(follower);
}

static void release(struct follower *follower) {
    struct followers *all = follower->all;
    env_mutex_lock(&all->mutex);
    bool last = --follower->references == 0;
    env_mutex_unlock(&all->mutex);
    if (!last) return;
    if (follower->feed) database_store(follower->database)->operations->feed_free(follower->feed);
    json_writer_free(&follower->ahead);
    free(follower->words);
    database_release(follower->database);
    principal_release(follower->principal);
    free(follower);
    env_mutex_lock(&all->mutex);
    all->count--;
    env_condition_broadcast(&all->left);
    env_mutex_unlock(&all->mutex);
}

static void run_reader(struct executor_task *task);

static void launch(struct follower *follower) {
    follower->task.run = run_reader;
    executor_go_on(follower->all->options.executor, &follower->task);
}

/* Under the mutex: one who has read makes room for the next. */
static void give_turn(struct followers *all) {
    struct follower *next = all->turns;
    if (next) {
        all->turns = next->next_turn;
        launch(next);
    } else {
        all->readers--;
    }
}

static void run_reader(struct executor_task *task) {
    struct follower *follower = (struct follower *)((char *)task - offsetof(struct follower, task));
    struct followers *all = follower->all;
    env_mutex_lock(&all->mutex);
    bool ended = follower->ended;
    env_mutex_unlock(&all->mutex);
    if (!ended) read_ahead(follower);
    env_mutex_lock(&all->mutex);
    follower->reading = false;
    if (!follower->ended) follower->ready(follower->arg);
    give_turn(all);
    env_mutex_unlock(&all->mutex);
    release(follower);
}

/* Under the mutex: how much to read for somebody who takes `room` at a time. Where what is not taken at once will be
 * let go it is no more than that; so what is read again is a part of one event alone. */
static size_t enough(const struct followers *all, size_t room) {
    return all->held + HOLDS_BYTES > all->options.held_bytes ? room : AHEAD_BYTES;
}

/* Under the mutex. */
static void start_reader(struct follower *follower, size_t room) {
    struct followers *all = follower->all;
    follower->reading = true;
    follower->enough = enough(all, room);
    follower->references++;
    follower->next_turn = NULL;
    if (all->readers < FOLLOW_READERS) {
        all->readers++;
        launch(follower);
        return;
    }
    *(all->turns ? &all->last_turn->next_turn : &all->turns) = follower;
    all->last_turn = follower;
}

/* ---- what is held, under the mutex --------------------------------------------------------------------------------
 */

static void set_held(struct follower *follower, size_t bytes) {
    follower->all->held += bytes - follower->held;
    follower->held = bytes;
}

static void free_feed(struct follower *follower) {
    if (follower->feed) database_store(follower->database)->operations->feed_free(follower->feed);
    follower->feed = NULL;
}

static void leave_rest(struct follower *follower) {
    struct followers *all = follower->all;
    if (!follower->resting) return;
    *(follower->older ? &follower->older->newer : &all->oldest) = follower->newer;
    *(follower->newer ? &follower->newer->older : &all->newest) = follower->older;
    follower->resting = false;
}

static void enter_rest(struct follower *follower) {
    struct followers *all = follower->all;
    follower->resting = true;
    follower->newer = NULL;
    follower->older = all->newest;
    *(all->newest ? &all->newest->newer : &all->oldest) = follower;
    all->newest = follower;
}

/* What it has not taken of `ahead` it reads again, from the event on that it is at, where that is the last one. */
static void let_go(struct follower *follower) {
    leave_rest(follower);
    if (follower->ahead_at < follower->ahead.size) {
        bool in_last = follower->ahead_at >= follower->last_at;
        follower->version = in_last ? follower->last_from : follower->from;
        follower->skip = follower->ahead_at - (in_last ? follower->last_at : 0);
        follower->caught_up = false;
        follower->status = VELOCITY_OK; /* it is found again */
    }
    json_writer_free(&follower->ahead);
    follower->ahead_at = 0;
    free_feed(follower);
    set_held(follower, 0);
}

/* It may be long until it takes more. Where too much is held it lets go what is soon read again. For more than that
 * those do who have not taken for longest: so who takes what there is need not read a large event twice, however many
 * do not. */
static void rest(struct follower *follower) {
    struct followers *all = follower->all;
    if (follower->stage != FOLLOWER_BEHIND || follower->reading) return;
    size_t bytes = follower->ahead.capacity;
    if (follower->feed) bytes += database_store(follower->database)->operations->feed_bytes(follower->feed);
    set_held(follower, bytes);
    enter_rest(follower);
    if (all->held > all->options.held_bytes && bytes <= HOLDS_BYTES) let_go(follower);
    while (all->oldest && all->held > all->options.held_bytes) let_go(all->oldest);
}

/* ---- taking, under the mutex --------------------------------------------------------------------------------------
 */

static void take_part(const char *bytes, size_t size, size_t *at, struct json_writer *out, size_t room) {
    size_t part = size - *at < room ? size - *at : room;
    json_append(out, bytes + *at, part);
    *at += part;
}

/* The ring has gone on without it, or it has just begun. */
static void fall_behind(struct follower *follower) {
    follower->stage = FOLLOWER_BEHIND;
    follower->joined = follower->hub->version;
    follower->caught_up = follower->version >= follower->joined;
}

void follower_let_go_piece(struct follower *follower) {
    struct event *event = follower->piece;
    follower->version = event->version - 1;
    follower->skip = follower->piece_at;
    follower->piece = NULL;
    event_release(follower->all, event);
    fall_behind(follower);
}

/* Where nothing that it has not read has left the ring; else it reads on. */
static void join(struct follower *follower) {
    if (follower->hub->base > follower->version) {
        fall_behind(follower);
        return;
    }
    free_feed(follower);
    json_writer_free(&follower->ahead);
    set_held(follower, 0);
    follower->stage = FOLLOWER_ACTIVE;
    follower->serial = follower->hub->first;
    follower->beat = true;
}

static void write_note(struct follower *follower, enum follow_kind kind, uint64_t version, struct json_writer *out) {
    struct follow_event event = {.kind = kind, .version = version};
    follower->all->options.write(&event, out);
}

static void take_beat(struct follower *follower, struct json_writer *out) {
    follower->beat = false;
    write_note(follower, FOLLOW_HEARTBEAT, follower->version, out);
}

/* True: there may be more at once. */
static bool take_behind(struct follower *follower, struct json_writer *out, size_t room, enum follow_result *result) {
    *result = FOLLOW_NOTHING;
    if (follower->reading) return false;
    if (follower->ahead_at < follower->ahead.size) {
        take_part(follower->ahead.data, follower->ahead.size, &follower->ahead_at, out, room);
        return true;
    }
    json_writer_clear(&follower->ahead);
    follower->ahead_at = 0;
    if (follower->status == VELOCITY_HISTORY_GONE && !follower->skip) {
        write_note(follower, FOLLOW_GONE, follower->version, out);
        *result = FOLLOW_ENDED;
        return false;
    }
    if (follower->status != VELOCITY_OK) {
        *result = FOLLOW_FAILED;
        return false;
    }
    if (follower->caught_up) {
        join(follower);
        if (follower->stage == FOLLOWER_ACTIVE) return true;
    }
    /* Whoever comes back need not look through it all again. */
    if (follower->beat && !follower->skip) take_beat(follower, out);
    if (out->size)
        *result = FOLLOW_MORE; /* nothing is read for who does not take even this */
    else
        start_reader(follower, room);
    return false;
}

static void take_event(struct follower *follower, struct event *event, struct json_writer *out) {
    if (event->range) {
        write_range(follower, event->version, event->key, event->end, out);
    } else if (follow_sees_key(follower, event->key)) {
        follower->piece = event;
        follower->piece_at = 0;
        event->references++;
    }
}

static void take_piece(struct follower *follower, struct json_writer *out, size_t room) {
    struct event *event = follower->piece;
    take_part(event->text.data, event->text.size, &follower->piece_at, out, room);
    if (follower->piece_at < event->text.size) return;
    follower->piece = NULL;
    event_release(follower->all, event);
}

static void become_idle(struct follower *follower) {
    struct topic *topic = follower->topic;
    follower->stage = FOLLOWER_IDLE;
    follower->idle_previous = NULL;
    follower->idle_next = topic->idle;
    if (topic->idle) topic->idle->idle_previous = follower;
    topic->idle = follower;
}

/* As take_behind. */
static bool take_active(struct follower *follower, struct json_writer *out, size_t room, enum follow_result *result) {
    struct hub *hub = follower->hub;
    if (follower->piece) {
        take_piece(follower, out, room);
        return true;
    }
    if (follower->serial < hub->first) {
        fall_behind(follower);
        return true;
    }
    if (follower->serial < hub->behind_last) {
        struct event *event = hub->ring[follower->serial++ % FOLLOW_RING_EVENTS];
        if (event->version <= follower->version) return true;
        take_event(follower, event, out);
        follower->version = event->version;
        return true;
    }
    if (hub->failed) {
        fail(follower, hub->failed, hub->words);
        *result = FOLLOW_FAILED;
        return false;
    }
    if (follower->beat) {
        if (follower->version < hub->version) follower->version = hub->version;
        take_beat(follower, out);
    }
    become_idle(follower);
    return false;
}

static enum follow_result take(struct follower *follower, struct json_writer *out, size_t bytes) {
    enum follow_result result = FOLLOW_NOTHING;
    bool more = true;
    if (database_is_closing(follower->database)) return FOLLOW_ENDED;
    while (more && !out->failed) {
        if (out->size >= bytes) return FOLLOW_MORE;
        size_t room = bytes - out->size;
        switch (follower->stage) {
        case FOLLOWER_BEHIND: more = take_behind(follower, out, room, &result); break;
        case FOLLOWER_ACTIVE: more = take_active(follower, out, room, &result); break;
        case FOLLOWER_IDLE: more = false; break;
        }
    }
    return result;
}

enum follow_result follow_take(struct follower *follower, struct json_writer *out, size_t bytes) {
    struct followers *all = follower->all;
    env_mutex_lock(&all->mutex);
    leave_rest(follower);
    enum follow_result result = take(follower, out, bytes);
    rest(follower);
    env_mutex_unlock(&all->mutex);
    return result;
}

velocity_status follow_failure(const struct follower *follower, const char **words) {
    *words = follower->words ? follower->words : "";
    return follower->status;
}

/* ---- begin and end ------------------------------------------------------------------------------------------------
 */

static struct follower *follower_new(struct followers *all, const struct follower_options *options) {
    struct follower *follower = calloc(1, sizeof *follower + options->prefix.size);
    if (!follower) return NULL;
    follower->all = all;
    follower->database = options->database;
    follower->principal = options->principal ? principal_acquire(options->principal) : NULL;
    follower->scope = options->principal ? &options->principal->scope : NULL;
    follower->ready = options->ready;
    follower->arg = options->arg;
    follower->references = 1;
    if (options->prefix.size) memcpy(follower + 1, options->prefix.data, options->prefix.size);
    follower->prefix = velocity_bytes(follower + 1, options->prefix.size);
    return follower;
}

/* Joins the hub, at a version that the database has shown. */
static velocity_status enter(struct follower *follower, const struct follower_options *options) {
    struct followers *all = follower->all;
    struct store *store = database_store(options->database);
    struct store_reads reads = {.count = 0};
    velocity_status status = store->operations->get_many(store, &reads);
    if (status) return status;
    uint64_t now = reads.version;
    env_mutex_lock(&all->mutex);
    status = hub_enter(all, follower, now);
    if (!status) {
        (void)database_hold(options->database);
        all->count++;
        follower->beat_us = follow_now_us() + (uint64_t)all->options.heartbeat_ms * 1000;
        follower->version = options->since;
        if (options->from_now) follower->version = now > follower->joined ? now : follower->joined;
        follower->caught_up = options->from_now;
        follower->enough = enough(all, AHEAD_FIRST_BYTES);
    }
    env_mutex_unlock(&all->mutex);
    return status;
}

velocity_status follow_begin(struct followers *all, const struct follower_options *options, struct follower **out) {
    struct follower *follower = follower_new(all, options);
    *out = NULL;
    if (!follower) return status_set(VELOCITY_NO_MEMORY, "no memory to follow the database");
    velocity_status status = enter(follower, options);
    if (status) {
        principal_release(follower->principal);
        free(follower);
        return status;
    }
    /* At once, so that history that has gone is known now. */
    if (!options->from_now) read_ahead(follower);
    status = follower->status;
    if (status == VELOCITY_OK || (status == VELOCITY_HISTORY_GONE && follower->ahead.size > 0)) {
        *out = follower;
        return VELOCITY_OK;
    }
    if (follower->words) status = status_set(status, "%s", follower->words);
    follow_end(follower);
    return status;
}

void follow_end(struct follower *follower) {
    struct followers *all = follower->all;
    env_mutex_lock(&all->mutex);
    follower->ended = true;
    if (follower->piece) event_release(all, follower->piece);
    follower->piece = NULL;
    leave_rest(follower);
    set_held(follower, 0);
    hub_leave(follower);
    env_mutex_unlock(&all->mutex);
    release(follower);
}
