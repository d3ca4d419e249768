/*
 * changes.c - change feeds: the operations behind a sequence, read from the log while it is written. See velocity.h.
 *
 * A feed knows the last sequence that it has shown, and, as a shortcut, where in which log the next group begins. It
 * asks history.h for the log that goes on from there, copies a piece of it, and shows what is in the piece, one group
 * after the other. It holds a log only while it copies.
 *
 * What may be shown: groups up to visible_sequence, which is looked at before the log: all of them are whole by then.
 *
 * Who waits registers itself in `watchers` and looks at visible_sequence again; the leader moves visible_sequence and
 * then looks at `watchers`: one of them sees the other, as both have a full fence in between. Databases that nobody
 * follows are spared the fence (db->followed).
 */
#include "database_internal.h"
#include "log_reader.h"

enum {
    PIECE_MIN_BYTES = 4096,
    PIECE_MAX_BYTES = 256 * 1024,
    BYTES_EACH = 128, /* what an operation may take, where it has to be guessed */
};

struct velocity_changes {
    velocity *db;
    uint64_t position;        /* the last sequence that was shown */
    uint64_t looked_through;  /* up to this sequence nothing more is to be shown */
    uint64_t log;             /* the log that was read last; 0: none */
    uint64_t offset, log_end; /* where in it the next group begins, and where its last one ends */
    uint64_t passed;          /* the last sequence of the group before, if one was read from that log */
    struct log_reader reader;
    struct history_log *held; /* the log from which the reader's buffer was filled; NULL: it is empty */
    const uint8_t *at, *end;  /* what is left of the group that is shown: operations in the reader's buffer */
    uint64_t group_wall_ms;
    velocity_change shown;
    velocity_status status;
    bool watched; /* it stands in db->watching; guarded by watch_mutex, as what follows */
    velocity_changes *watch_next, *watch_previous;
    void (*ready)(void *arg);
    void *ready_arg;
};

static uint64_t visible_sequence(velocity *db) {
    return atomic_load_explicit(&db->visible_sequence, memory_order_acquire);
}

/* Returned where not even a feed could be allocated. */
static velocity_changes no_memory = {.status = VELOCITY_NO_MEMORY};

velocity_changes *velocity_changes_new(velocity *db, uint64_t since) {
    velocity_changes *c = env_alloc_zeroed(sizeof *c);
    if (!c) return &no_memory;
    c->db = db;
    c->position = since;
    atomic_fetch_add(&db->live_handles, 1);
    c->status = history_reaches(db, since);
    return c;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

enum step { STEP_GROUP, STEP_END, STEP_FAILED };

/* An idle feed is small. */
static void forget(velocity_changes *c) {
    log_reader_forget(&c->reader);
    history_let_go(c->db, c->held);
    c->held = NULL;
    c->at = c->end = NULL;
}

static enum step fail(velocity_changes *c, velocity_status status) {
    c->status = status;
    c->log = 0; /* the next attempt finds its place anew */
    forget(c);
    return STEP_FAILED;
}

static velocity_status senseless(const velocity_changes *c, uint64_t offset) {
    return status_set(VELOCITY_CORRUPT, "%s/%08llu.log: offset %llu: a commit group's operations make no sense",
                      c->db->path, (unsigned long long)c->log, (unsigned long long)offset);
}

/* Copies the next piece from the pinned log. Groups begin at c->offset. */
static velocity_status read_piece(velocity_changes *c, struct history_pin *pin, uint64_t operations,
                                  struct log_group *group) {
    velocity_status status = history_open(c->db, pin);
    if (status) return status;
    uint64_t bytes = operations > PIECE_MAX_BYTES / BYTES_EACH ? PIECE_MAX_BYTES : operations * BYTES_EACH;
    if (bytes < PIECE_MIN_BYTES) bytes = PIECE_MIN_BYTES;
    if (bytes > pin->end - c->offset) bytes = pin->end - c->offset;
    if (c->held != pin->log) {
        history_let_go(c->db, c->held);
        history_hold(c->db, pin->log);
        c->held = pin->log;
    }
    c->reader.file = pin->log->file;
    c->reader.path = pin->log->path;
    c->reader.identity = pin->log->identity;
    return log_reader_fetch(&c->reader, c->offset, pin->end, bytes, group);
}

/* Finds the log that goes on behind c->position, and there the group at c->offset. */
static enum step fetch(velocity_changes *c, uint64_t visible, struct log_group *group) {
    struct history_pin pin;
    velocity_status status = history_pin(c->db, c->position, &pin);
    if (status) return fail(c, status);
    uint64_t from = (c->position > pin.after ? c->position : pin.after) + 1;
    if (from > visible) { /* the sequences between, if any, are no operation's */
        c->looked_through = visible;
        history_unpin(c->db, &pin);
        forget(c);
        return STEP_END;
    }
    if (c->log != pin.number) {
        c->log = pin.number;
        c->offset = pin.begin;
        c->passed = 0;
    } else if (c->passed) {
        history_mark(c->db, pin.log, c->passed, c->offset);
    }
    c->log_end = pin.end;
    status = read_piece(c, &pin, visible - from + 1, group);
    history_unpin(c->db, &pin);
    return status ? fail(c, status) : STEP_GROUP;
}

/* To the next group with something behind c->position. */
static enum step next_group(velocity_changes *c) {
    uint64_t visible = visible_sequence(c->db);
    struct log_group group;
    uint64_t at;
    for (;;) {
        if (c->position >= visible || c->looked_through >= visible) {
            forget(c);
            return STEP_END;
        }
        if (!c->log || c->offset >= c->log_end || !log_reader_peek(&c->reader, c->offset, &group)) {
            enum step step = fetch(c, visible, &group);
            if (step != STEP_GROUP) return step;
        }
        at = c->offset;
        c->offset += log_group_bytes(group.payload_bytes);
        c->passed = group.first_sequence + group.count - 1;
        if (c->passed > c->position) break;
    }
    velocity_slice payload;
    if (log_reader_open(&c->reader, at, &group, &payload)) return fail(c, senseless(c, at));
    c->at = payload.data;
    c->end = c->at + payload.size;
    c->group_wall_ms = group.wall_ms;
    c->shown.sequence = group.first_sequence - 1;
    return STEP_GROUP;
}

/* Takes the group's next operation to c->shown. */
static velocity_status take_operation(velocity_changes *c) {
    struct entry e;
    bool ends_batch = (*c->at & LOG_OPERATION_ENDS_BATCH) != 0;
    c->at = log_operation_decode(c->at, c->end, &e);
    if (!c->at) return senseless(c, c->offset);
    c->shown = (velocity_change){.kind = (velocity_change_kind)e.kind,
                                 .key = e.key,
                                 .value = e.value,
                                 .flags = e.flags,
                                 .expires_at_ms = e.expires_at_ms,
                                 .sequence = c->shown.sequence + 1,
                                 .committed_at_ms = c->group_wall_ms,
                                 .ends_batch = ends_batch};
    return VELOCITY_OK;
}

const velocity_change *velocity_changes_next(velocity_changes *c) {
    if (c == &no_memory || c->status == VELOCITY_HISTORY_GONE) return NULL;
    c->status = VELOCITY_OK;
    do {
        if (c->at == c->end && next_group(c) != STEP_GROUP) return NULL;
        velocity_status status = take_operation(c);
        if (status) {
            (void)fail(c, status);
            return NULL;
        }
    } while (c->shown.sequence <= c->position); /* a feed may begin inside of a group */
    c->position = c->shown.sequence;
    return &c->shown;
}

velocity_status velocity_changes_status(const velocity_changes *c) {
    return c->status;
}

uint64_t velocity_changes_sequence(const velocity_changes *c) {
    return c->position;
}

size_t velocity_changes_bytes(const velocity_changes *c) {
    return c->reader.capacity;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

void changes_notify(velocity *db) {
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&db->watchers, memory_order_relaxed) == 0) return;
    env_mutex_lock(&db->watch_mutex);
    env_condition_broadcast(&db->watch_condition);
    while (db->watching) {
        velocity_changes *c = db->watching;
        db->watching = c->watch_next;
        if (db->watching) db->watching->watch_previous = NULL;
        c->watched = false;
        atomic_fetch_sub(&db->watchers, 1);
        c->ready(c->ready_arg);
    }
    env_mutex_unlock(&db->watch_mutex);
}

/* From here on leaders look at `watchers`. */
static void follow(velocity *db) {
    if (atomic_load(&db->followed)) return;
    atomic_store(&db->followed, true);
    commit_pass(db);
}

/* Something is left to show, or was committed. */
static bool has_more(const velocity_changes *c) {
    uint64_t visible = visible_sequence(c->db);
    return c->at != c->end || (visible > c->position && visible > c->looked_through);
}

bool velocity_changes_wait(velocity_changes *c, uint32_t timeout_ms) {
    if (c == &no_memory || c->status == VELOCITY_HISTORY_GONE) return false;
    if (has_more(c)) return true;
    velocity *db = c->db;
    if (env_inline_jobs(db->env)) return false; /* no other thread will write */
    follow(db);
    uint64_t until_us = env_monotonic_us(db->env) + (uint64_t)timeout_ms * 1000;
    env_mutex_lock(&db->watch_mutex);
    atomic_fetch_add(&db->watchers, 1);
    atomic_thread_fence(memory_order_seq_cst);
    bool more;
    while (!(more = has_more(c))) {
        uint64_t now_us = env_monotonic_us(db->env);
        if (now_us >= until_us) break;
        (void)env_condition_wait_ms(&db->watch_condition, &db->watch_mutex, (until_us - now_us + 999) / 1000);
    }
    atomic_fetch_sub(&db->watchers, 1);
    env_mutex_unlock(&db->watch_mutex);
    return more;
}

/* Under the watch mutex. */
static void unwatch(velocity_changes *c) {
    if (!c->watched) return;
    if (c->watch_previous)
        c->watch_previous->watch_next = c->watch_next;
    else
        c->db->watching = c->watch_next;
    if (c->watch_next) c->watch_next->watch_previous = c->watch_previous;
    c->watched = false;
    atomic_fetch_sub(&c->db->watchers, 1);
}

void velocity_changes_notify(velocity_changes *c, void (*ready)(void *arg), void *arg) {
    if (c == &no_memory) return;
    velocity *db = c->db;
    if (ready) follow(db);
    env_mutex_lock(&db->watch_mutex);
    unwatch(c);
    if (ready) {
        c->ready = ready;
        c->ready_arg = arg;
        c->watched = true;
        c->watch_previous = NULL;
        c->watch_next = db->watching;
        if (db->watching) db->watching->watch_previous = c;
        db->watching = c;
        atomic_fetch_add(&db->watchers, 1);
        atomic_thread_fence(memory_order_seq_cst);
    }
    bool now = ready && has_more(c);
    if (now) unwatch(c);
    env_mutex_unlock(&db->watch_mutex);
    if (now) ready(arg);
}

void velocity_changes_free(velocity_changes *c) {
    if (!c || c == &no_memory) return;
    velocity *db = c->db;
    env_mutex_lock(&db->watch_mutex);
    unwatch(c);
    env_mutex_unlock(&db->watch_mutex);
    forget(c);
    env_free(c);
    atomic_fetch_sub(&db->live_handles, 1);
}
