/*
 * follow_hub.c - one hub for each database that somebody follows, and the thread that reads for all of them: see
 * follow_internal.h.
 *
 * The engine tells, on the thread that commits, that there is something new; all that is done there is to wake this
 * thread. It reads the hub's feed, writes out what concerns somebody, puts it into the ring, and tells those who were
 * idle.
 */
#include "server/follow_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    TICK_MS = 250,          /* at which heartbeats are looked after, and databases that go */
    PUMP_US = 20000,        /* for which a hub reads before the others, and the heartbeats, get their turn */
    FAILING_US = 2000000,   /* for which a feed may fail before those who wait for it are told */
    KEEP_TEXT_BYTES = 65536 /* of the buffer that events are written out in */
};

void hub_wake_thread(struct followers *all) {
    (void)eventfd_write(all->wake, 1);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static velocity_slice place(unsigned char **at, const void *bytes, size_t size) {
    velocity_slice placed = velocity_bytes(bytes ? *at : NULL, size);
    if (size) memcpy(*at, bytes, size);
    *at += size;
    return placed;
}

/* NULL: no memory. */
static struct event *event_new(const struct follow_event *from, const struct json_writer *text) {
    struct event *event = malloc(sizeof *event + from->key.size + from->end.size + text->size);
    if (!event || text->failed) {
        free(event);
        return NULL;
    }
    unsigned char *at = (unsigned char *)(event + 1);
    *event = (struct event){.references = 1, .range = from->kind == FOLLOW_DELETE_RANGE, .version = from->version};
    event->key = place(&at, from->key.data, from->key.size);
    event->end = place(&at, from->end.data, from->end.size);
    event->text = place(&at, text->data, text->size);
    return event;
}

static size_t event_bytes(const struct event *event) {
    return sizeof *event + event->key.size + event->end.size + event->text.size;
}

void event_release(struct followers *all, struct event *event) {
    if (--event->references) return;
    if (event->held) all->held -= event_bytes(event);
    free(event);
}

/* ---- the ring, under the mutex ------------------------------------------------------------------------------------
 */

static struct event **ring_at(struct hub *hub, uint64_t serial) {
    return &hub->ring[serial % FOLLOW_RING_EVENTS];
}

/* Those who have taken part of it hold it now, or, where too much is held, read it again. */
static void hand_over(struct hub *hub, struct event *event) {
    struct followers *all = hub->all;
    all->held += event_bytes(event);
    event->held = true;
    if (all->held <= all->options.held_bytes) return;
    for (struct follower *f = hub->followers; f && event->references > 1; f = f->next)
        if (f->piece == event) follower_let_go_piece(f);
}

static void ring_drop_first(struct hub *hub) {
    struct event *event = *ring_at(hub, hub->first++);
    hub->base = event->version;
    hub->ring_bytes -= event_bytes(event);
    if (event->references > 1) hand_over(hub, event);
    event_release(hub->all, event);
}

static void ring_add(struct hub *hub, struct event *event) {
    size_t bytes = event_bytes(event);
    while (hub->first < hub->behind_last &&
           (hub->behind_last - hub->first == FOLLOW_RING_EVENTS || hub->ring_bytes + bytes > FOLLOW_RING_BYTES))
        ring_drop_first(hub);
    *ring_at(hub, hub->behind_last++) = event;
    hub->ring_bytes += bytes;
}

/* What is > `version` was not looked at, or can't be kept: whoever needs it reads it by itself. */
static void ring_break(struct hub *hub, uint64_t version) {
    while (hub->first < hub->behind_last) ring_drop_first(hub);
    hub->first = ++hub->behind_last; /* those who stood at the end have been left behind, too */
    hub->base = hub->version = version;
}

/* ---- waking, under the mutex --------------------------------------------------------------------------------------
 */

static void leave_idle(struct follower *follower) {
    if (follower->idle_next) follower->idle_next->idle_previous = follower->idle_previous;
    if (follower->idle_previous)
        follower->idle_previous->idle_next = follower->idle_next;
    else
        follower->topic->idle = follower->idle_next;
    follower->stage = FOLLOWER_ACTIVE;
}

/* It has taken everything that concerns it up to `version`. */
static void activate(struct follower *follower, uint64_t version, uint64_t serial) {
    leave_idle(follower);
    follower->serial = serial;
    if (follower->version < version) follower->version = version;
    follower->ready(follower->arg);
}

static void wake_topic(struct topic *topic, void *arg) {
    const struct event *event = arg;
    while (topic->idle) activate(topic->idle, event->version - 1, topic->idle->hub->behind_last - 1);
}

static void wake_everyone(struct hub *hub) {
    for (struct follower *f = hub->followers; f; f = f->next)
        if (f->stage == FOLLOWER_IDLE) activate(f, hub->version, hub->behind_last);
}

/* ---- entering and leaving, under the mutex ------------------------------------------------------------------------
 */

/* The engine's thread that commits, or the hubs' own. */
static void feed_ready(void *arg) {
    struct hub *hub = arg;
    if (!atomic_exchange(&hub->dirty, true)) hub_wake_thread(hub->all);
}

static void hub_free(struct hub *hub) {
    if (hub->feed) database_store(hub->database)->operations->feed_free(hub->feed);
    while (hub->first < hub->behind_last) ring_drop_first(hub);
    topics_free(&hub->topics);
    database_release(hub->database);
    free(hub);
}

static struct hub *hub_new(struct followers *all, struct database *database, uint64_t version) {
    struct store *store = database_store(database);
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) return NULL;
    hub->all = all;
    hub->database = database_hold(database);
    hub->version = hub->base = version;
    hub->feed = topics_init(&hub->topics) ? store->operations->feed(store, version) : NULL;
    if (!hub->feed) {
        hub_free(hub);
        return NULL;
    }
    atomic_store(&hub->dirty, true); /* the thread asks to be told of what comes */
    hub->next = all->hubs;
    all->hubs = hub;
    hub_wake_thread(all);
    return hub;
}

velocity_status hub_enter(struct followers *all, struct follower *follower, uint64_t version) {
    struct hub *hub = all->hubs;
    while (hub && (hub->database != follower->database || hub->failed)) hub = hub->next;
    if (!hub) hub = hub_new(all, follower->database, version);
    follower->topic = hub ? topics_enter(&hub->topics, follow_topic_prefix(follower)) : NULL;
    if (!follower->topic) return status_set(VELOCITY_NO_MEMORY, "no memory to follow the database");
    follower->hub = hub;
    follower->joined = hub->version;
    follower->next = hub->followers;
    if (hub->followers) hub->followers->previous = follower;
    hub->followers = follower;
    hub->count++;
    return VELOCITY_OK;
}

void hub_leave(struct follower *follower) {
    struct hub *hub = follower->hub;
    if (follower->stage == FOLLOWER_IDLE) leave_idle(follower);
    topics_leave(&hub->topics, follower->topic);
    if (follower->next) follower->next->previous = follower->previous;
    if (follower->previous)
        follower->previous->next = follower->next;
    else
        hub->followers = follower->next;
    if (--hub->count == 0) hub_wake_thread(hub->all); /* which frees it */
}

/* ---- the thread: reading ------------------------------------------------------------------------------------------
 */

/* True: nobody is concerned, and the hub has passed it. In one step, so that who joins finds either this event behind
 * `joined` and in the ring, or before it. */
static bool pass_by(struct hub *hub, const struct follow_event *event) {
    env_mutex_lock(&hub->all->mutex);
    bool concerns = topics_find(&hub->topics, event, NULL, NULL);
    if (!concerns) hub->version = event->version;
    env_mutex_unlock(&hub->all->mutex);
    return !concerns;
}

static void publish(struct hub *hub, const struct follow_event *from, struct json_writer *text) {
    struct followers *all = hub->all;
    if (pass_by(hub, from)) return;
    if (from->kind != FOLLOW_DELETE_RANGE) all->options.write(from, text);
    struct event *event = event_new(from, text);
    env_mutex_lock(&all->mutex);
    if (event) {
        ring_add(hub, event);
        (void)topics_find(&hub->topics, from, wake_topic, event);
        hub->version = event->version;
        all->events++;
    } else {
        /* The idle ones must not miss it either. */
        wake_everyone(hub);
        ring_break(hub, from->version);
    }
    env_mutex_unlock(&all->mutex);
    if (text->capacity > KEEP_TEXT_BYTES)
        json_writer_free(text);
    else
        json_writer_clear(text);
}

/* What the feed would show next has left the log: the thread was too slow. Everyone reads by itself from where it is.
 */
static void start_over(struct hub *hub) {
    struct store *store = database_store(hub->database);
    struct store_reads now = {.count = 0};
    velocity_status status = store->operations->get_many(store, &now);
    struct store_feed *feed = status ? NULL : store->operations->feed(store, now.version);
    hub->retry = feed == NULL;
    if (!feed) return;
    store->operations->feed_free(hub->feed);
    hub->feed = feed;
    env_mutex_lock(&hub->all->mutex);
    wake_everyone(hub);
    ring_break(hub, now.version);
    env_mutex_unlock(&hub->all->mutex);
    feed_ready(hub);
}

/* Everyone ends once the ring's rest is taken, and may come back to another hub, from where it was. */
static void give_up(struct hub *hub, velocity_status status) {
    env_mutex_lock(&hub->all->mutex);
    hub->failed = status;
    (void)snprintf(hub->words, sizeof hub->words, "%s", velocity_error_message());
    wake_everyone(hub);
    env_mutex_unlock(&hub->all->mutex);
}

static void feed_fails(struct hub *hub, velocity_status status) {
    uint64_t now_us = follow_now_us();
    if (status == VELOCITY_HISTORY_GONE) {
        start_over(hub);
        return;
    }
    if (!hub->failing_us) hub->failing_us = now_us;
    /* Descriptors or memory may be there again soon; bytes that are wrong stay so. */
    hub->retry = status != VELOCITY_CORRUPT && now_us - hub->failing_us < FAILING_US;
    if (!hub->retry) give_up(hub, status);
}

static void pump(struct hub *hub, struct json_writer *text) {
    const struct store_operations *operations = database_store(hub->database)->operations;
    velocity_status status = VELOCITY_OK;
    uint64_t until_us = follow_now_us() + PUMP_US;
    hub->retry = false;
    if (hub->failed) return;
    while (follow_now_us() < until_us) {
        const velocity_change *change = operations->feed_next(hub->feed, &status);
        if (!change && status) {
            feed_fails(hub, status);
            return;
        }
        hub->failing_us = 0;
        if (!change) {
            operations->feed_notify(hub->feed, feed_ready, hub);
            return;
        }
        struct follow_event event = follow_event_of(change);
        publish(hub, &event, text);
    }
    feed_ready(hub); /* it goes on when the others had their turn */
}

/* ---- the thread: time ---------------------------------------------------------------------------------------------
 */

/* A database that goes is left at once: whoever waits for a change in it must not keep it. */
static void look_after(struct hub *hub, uint64_t now_us) {
    struct followers *all = hub->all;
    env_mutex_lock(&all->mutex);
    if (database_is_closing(hub->database)) wake_everyone(hub);
    for (struct follower *f = hub->followers; f; f = f->next) {
        if (now_us < f->beat_us) continue;
        f->beat_us = now_us + (uint64_t)all->options.heartbeat_ms * 1000;
        f->beat = true;
        if (f->stage == FOLLOWER_IDLE) activate(f, hub->version, hub->behind_last);
    }
    env_mutex_unlock(&all->mutex);
    if (hub->retry) feed_ready(hub);
}

/* Takes those off the list that nobody follows any more, and frees them. */
static void clear_away(struct followers *all) {
    struct hub *left = NULL;
    env_mutex_lock(&all->mutex);
    for (struct hub **link = &all->hubs; *link;) {
        struct hub *hub = *link;
        if (hub->count) {
            link = &hub->next;
            continue;
        }
        *link = hub->next;
        hub->next = left;
        left = hub;
    }
    env_mutex_unlock(&all->mutex);
    while (left) {
        struct hub *next = left->next;
        hub_free(left);
        left = next;
    }
}

static struct hub *first_hub(struct followers *all) {
    env_mutex_lock(&all->mutex);
    struct hub *hub = all->hubs;
    env_mutex_unlock(&all->mutex);
    return hub;
}

static bool must_end(struct followers *all) {
    env_mutex_lock(&all->mutex);
    bool ending = all->ending && !all->hubs;
    env_mutex_unlock(&all->mutex);
    return ending;
}

void *followers_run(void *arg) {
    struct followers *all = arg;
    struct json_writer text = {0};
    uint32_t tick_ms = all->options.heartbeat_ms / 4 < TICK_MS ? all->options.heartbeat_ms / 4 + 1 : TICK_MS;
    uint64_t tick_us = 0;
    while (!must_end(all)) {
        struct pollfd wake = {.fd = all->wake, .events = POLLIN};
        eventfd_t count;
        if (poll(&wake, 1, first_hub(all) ? (int)tick_ms : -1) == 1) (void)eventfd_read(all->wake, &count);
        for (struct hub *hub = first_hub(all); hub; hub = hub->next)
            if (atomic_exchange(&hub->dirty, false)) pump(hub, &text);
        clear_away(all);
        uint64_t now_us = follow_now_us();
        if (now_us < tick_us) continue;
        tick_us = now_us + (uint64_t)tick_ms * 1000;
        for (struct hub *hub = first_hub(all); hub; hub = hub->next) look_after(hub, now_us);
    }
    json_writer_free(&text);
    return NULL;
}
