/* audit.c - see audit.h and audit_internal.h: settings, reservations, recording, waiting for the disk. */
#include "server/audit_internal.h"

#include "engine/status.h"

#include <semaphore.h>
#include <stdlib.h>

#define ARENA_BYTES (AUDIT_QUEUE_BYTES + (size_t)AUDIT_PROMISES * AUDIT_EVENT_MAX_BYTES)
#define BATCH_BYTES ((size_t)4 << 20) /* so many are written at once, however young */

static const struct audit_timing usual_timing = {
    .batch_ms = 500, .retry_ms = 1000, .head_ms = 3600000, .prune_ms = 60000, .tell_ms = 60000};

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static unsigned classes_of(const struct audit_settings *settings) {
    unsigned classes = 1u << AUDIT_SECURITY | 1u << AUDIT_ADMIN;
    if (settings->level >= AUDIT_LEVEL_WRITES) classes |= 1u << AUDIT_WRITE;
    if (settings->level >= AUDIT_LEVEL_ALL) classes |= 1u << AUDIT_READ;
    return settings->enabled ? classes : 0;
}

void audit_configure(struct audit *audit, const struct audit_settings *settings) {
    (void)pthread_mutex_lock(&audit->mutex);
    audit->settings = *settings;
    audit->prune_now = true;
    (void)pthread_mutex_unlock(&audit->mutex);
    atomic_store(&audit->wanted, classes_of(settings));
    (void)pthread_cond_signal(&audit->work);
}

bool audit_wants(struct audit *audit, enum audit_class class) {
    return atomic_load_explicit(&audit->wanted, memory_order_relaxed) >> class & 1;
}

/* ---- reservations (under the mutex) ------------------------------------------------------------------------------ */

static void waiters_add_first(struct audit_waiters *waiters, struct audit_waiter *waiter) {
    waiter->next = waiters->head;
    if (!waiters->head) waiters->tail = &waiter->next;
    waiters->head = waiter;
}

/* Someone waits and there is room now: true where the writer is to be told. */
static bool hurry_to_wake(struct audit *audit) {
    if (!audit->room.head || audit_room(audit) == 0 || audit->wake_at_ms == 0) return false;
    audit->wake_at_ms = 0;
    return true;
}

enum audit_answer audit_reserve(struct audit *audit, struct audit_waiter *waiter) {
    enum audit_answer answer = AUDIT_GO;
    (void)pthread_mutex_lock(&audit->mutex);
    bool was_woken = waiter->ticket != 0;
    if (audit->failing && audit->settings.on_failure == AUDIT_REFUSE) {
        answer = AUDIT_FAILING;
        audit->stats.refused++;
    } else if (audit_room(audit) > 0 && (was_woken || !audit->room.head)) {
        audit->promised++;
    } else if (audit->failing) {
        audit->unbacked++;
    } else {
        answer = AUDIT_WAIT;
        audit->stats.waited++;
        if (!audit->room.head) audit->wake_at_ms = INT64_MAX;
        if (was_woken)
            waiters_add_first(&audit->room, waiter);
        else
            audit_waiters_add(&audit->room, waiter);
    }
    waiter->ticket = 0;
    bool tell = hurry_to_wake(audit);
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
    return answer;
}

static void give_back(struct audit *audit) {
    if (audit->unbacked)
        audit->unbacked--;
    else
        audit->promised--;
}

void audit_cancel(struct audit *audit) {
    (void)pthread_mutex_lock(&audit->mutex);
    give_back(audit);
    bool tell = hurry_to_wake(audit);
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
}

/* ---- recording --------------------------------------------------------------------------------------------------- */

/* The first event of a batch starts its clock, and one that makes it large ends it: true where the writer is to be
 * told. Under the mutex. */
static bool enqueue(struct audit *audit, const struct audit_queued *queued) {
    bool idle = audit->front.count == 0 && audit->front_gap.lost == 0;
    if (audit->unbacked) {
        audit->unbacked--;
        audit->stats.lost++;
        audit_gap_add(&audit->front_gap, queued->time_ms);
    } else {
        audit->promised--;
        audit->stats.recorded++;
        audit_arena_put(&audit->front, queued);
    }
    if (idle) audit->batch_at_ms = audit_clock_ms(CLOCK_MONOTONIC) + audit->timing.batch_ms;
    bool large = !audit->urgent && audit->front.used >= BATCH_BYTES;
    if (large) audit->urgent = true;
    return idle || large;
}

static void measure(struct audit_queued *queued, const struct audit_event *event) {
    audit_queued_measure(queued, event, false);
    if (!queued->time_ms) queued->time_ms = audit_clock_ms(CLOCK_REALTIME);
}

void audit_record(struct audit *audit, const struct audit_event *event) {
    struct audit_queued queued;
    measure(&queued, event);
    (void)pthread_mutex_lock(&audit->mutex);
    queued.hash_key = audit->settings.keys == AUDIT_KEYS_HASH;
    bool tell = enqueue(audit, &queued);
    if (hurry_to_wake(audit)) tell = true;
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* True where the writer is to be told. Under the mutex. */
static bool leave_out(struct audit *audit, const char *user, const char *address, int64_t wall_ms) {
    int64_t now_ms = audit_clock_ms(CLOCK_MONOTONIC);
    audit_refusals_leave_out(&audit->refusals, user, address, now_ms, wall_ms);
    if (audit->refusals.tell_at_ms) return false;
    audit->refusals.tell_at_ms = now_ms + audit->timing.tell_ms;
    return true;
}

static void take_refusal(struct audit *audit, const struct audit_event *event, bool reserved) {
    struct audit_queued queued;
    bool tell;
    measure(&queued, event);
    int64_t now_ms = audit_clock_ms(CLOCK_MONOTONIC);
    (void)pthread_mutex_lock(&audit->mutex);
    queued.hash_key = audit->settings.keys == AUDIT_KEYS_HASH;
    if ((reserved || audit_room(audit) > 0) &&
        audit_refusals_admit(&audit->refusals, event->user, event->address, now_ms)) {
        audit->promised += !reserved;
        tell = enqueue(audit, &queued);
    } else {
        if (reserved) give_back(audit);
        tell = leave_out(audit, event->user, event->address, queued.time_ms);
    }
    if (hurry_to_wake(audit)) tell = true;
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
}

void audit_record_refusal(struct audit *audit, const struct audit_event *event) {
    take_refusal(audit, event, true);
}

void audit_note_refusal(struct audit *audit, const struct audit_event *event) {
    take_refusal(audit, event, false);
}

void audit_count_refusal(struct audit *audit, const char *user, const char *address) {
    int64_t wall_ms = audit_clock_ms(CLOCK_REALTIME);
    (void)pthread_mutex_lock(&audit->mutex);
    bool tell = leave_out(audit, user, address, wall_ms);
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
}

static void tell_one(struct audit *audit, const struct audit_left_out *left_out) {
    struct audit_queued queued;
    char detail[AUDIT_GAP_DETAIL_BYTES];
    audit_gap_format(&left_out->gap, detail);
    measure(&queued, &(struct audit_event){.user = left_out->user,
                                           .address = left_out->address,
                                           .action = AUDIT_REFUSALS_ACTION,
                                           .detail = detail});
    audit->promised++;
    (void)enqueue(audit, &queued); /* it is the writer who asks */
}

void audit_tell_refusals(struct audit *audit) {
    struct audit_refusals *refusals = &audit->refusals;
    struct audit_left_out left_out;
    int64_t now_ms = audit_clock_ms(CLOCK_MONOTONIC);
    bool due = refusals->tell_at_ms && (audit->ending || refusals->tell_at_ms <= now_ms);
    if (!due || audit->failing) return;
    refusals->tell_at_ms = 0;
    while (audit_room(audit) > 0 && audit_refusals_take(refusals, &left_out)) tell_one(audit, &left_out);
    if (audit_room(audit) == 0) refusals->tell_at_ms = now_ms + audit->timing.tell_ms;
}

/* ---- waiting for the disk ---------------------------------------------------------------------------------------- */

enum audit_answer audit_settle(struct audit *audit, struct audit_waiter *waiter) {
    enum audit_answer answer = AUDIT_GO;
    (void)pthread_mutex_lock(&audit->mutex);
    uint64_t ticket = waiter->ticket ? waiter->ticket : audit->stats.recorded;
    bool refuse = audit->settings.on_failure == AUDIT_REFUSE, tell = false;
    if (audit->stats.written < ticket && audit->failing) {
        answer = refuse ? AUDIT_FAILING : AUDIT_GO;
        if (refuse) audit->stats.refused++;
    } else if (audit->stats.written < ticket) {
        answer = AUDIT_WAIT;
        audit_waiters_add(&audit->settling, waiter);
        tell = !audit->urgent;
        audit->urgent = true;
    }
    waiter->ticket = answer == AUDIT_WAIT ? ticket : 0;
    (void)pthread_mutex_unlock(&audit->mutex);
    if (tell) (void)pthread_cond_signal(&audit->work);
    return answer;
}

struct thread_waiter {
    struct audit_waiter waiter;
    sem_t ready;
};

static void wake_thread(struct audit_waiter *waiter) {
    (void)sem_post(&((struct thread_waiter *)waiter)->ready);
}

static enum audit_answer wait_for(enum audit_answer (*ask)(struct audit *, struct audit_waiter *),
                                  struct audit *audit) {
    struct thread_waiter thread = {.waiter = {.ready = wake_thread}};
    enum audit_answer answer;
    (void)sem_init(&thread.ready, 0, 0);
    while ((answer = ask(audit, &thread.waiter)) == AUDIT_WAIT)
        while (sem_wait(&thread.ready) != 0) continue; /* a signal */
    (void)sem_destroy(&thread.ready);
    return answer;
}

enum audit_answer audit_reserve_waiting(struct audit *audit) {
    return wait_for(audit_reserve, audit);
}

enum audit_answer audit_settle_waiting(struct audit *audit) {
    return wait_for(audit_settle, audit);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void free_audit(struct audit *audit) {
    audit_file_close(audit->file);
    audit_arena_destroy(&audit->front);
    audit_arena_destroy(&audit->back);
    (void)pthread_cond_destroy(&audit->work);
    (void)pthread_mutex_destroy(&audit->mutex);
    free(audit->path);
    free(audit);
}

/* A lock held for some hundred nanoseconds is worth spinning for. */
static void init_locks(struct audit *audit) {
    pthread_mutexattr_t adaptive;
    pthread_condattr_t monotonic;
    (void)pthread_mutexattr_init(&adaptive);
    (void)pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    (void)pthread_mutex_init(&audit->mutex, &adaptive);
    (void)pthread_mutexattr_destroy(&adaptive);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&audit->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

velocity_status audit_open_timed(const char *path, const struct audit_settings *settings, struct logger *log,
                                 const struct audit_timing *timing, struct audit **out) {
    *out = NULL;
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit) return status_set(VELOCITY_NO_MEMORY, "%s: no memory to open the audit log", path);
    init_locks(audit);
    atomic_init(&audit->wanted, classes_of(settings));
    audit->log = log;
    audit->timing = *timing;
    audit->settings = *settings;
    audit->room.tail = &audit->room.head;
    audit->settling.tail = &audit->settling.head;
    audit->path = strdup(path);
    velocity_status status = VELOCITY_OK;
    if (!audit->path || !audit_arena_init(&audit->front, ARENA_BYTES) || !audit_arena_init(&audit->back, ARENA_BYTES))
        status = status_set(VELOCITY_NO_MEMORY, "%s: no memory for the queue of the audit log", path);
    if (!status) status = audit_file_open(path, log, &audit->file);
    if (!status) {
        audit->head = *audit_file_head(audit->file);
        audit->stats.file_bytes = audit_file_bytes(audit->file);
        audit->head_at_ms = audit_clock_ms(CLOCK_MONOTONIC) + timing->head_ms;
        if (pthread_create(&audit->writer, NULL, audit_serve, audit) != 0)
            status = status_set(VELOCITY_NO_MEMORY, "%s: no thread to write the audit log", path);
    }
    if (status)
        free_audit(audit);
    else
        *out = audit;
    return status;
}

velocity_status audit_open(const char *path, const struct audit_settings *settings, struct logger *log,
                           struct audit **out) {
    return audit_open_timed(path, settings, log, &usual_timing, out);
}

void audit_close(struct audit *audit) {
    if (!audit) return;
    (void)pthread_mutex_lock(&audit->mutex);
    audit->ending = true;
    (void)pthread_mutex_unlock(&audit->mutex);
    (void)pthread_cond_signal(&audit->work);
    (void)pthread_join(audit->writer, NULL);
    uint64_t unwritten = audit->back.count + audit->front.count + audit->front_gap.lost + audit->back_gap.lost;
    if (unwritten && audit->log)
        logger_event(audit->log, LOGGER_LEVEL_ERROR, "audit_lost", logger_number("events", unwritten),
                     logger_text("path", audit->path));
    audit_log_head(audit);
    free_audit(audit);
}

/* ---- for readers ------------------------------------------------------------------------------------------------- */

struct audit_head audit_written_head(struct audit *audit) {
    (void)pthread_mutex_lock(&audit->mutex);
    struct audit_head head = audit->head;
    (void)pthread_mutex_unlock(&audit->mutex);
    return head;
}

void audit_log_head(struct audit *audit) {
    struct audit_head head = audit_written_head(audit);
    char hex[AUDIT_HEX_BYTES];
    if (!audit->log) return;
    audit_hash_hex(&head.hash, hex);
    logger_event(audit->log, LOGGER_LEVEL_INFO, "audit_head", logger_number("number", head.number),
                 logger_text("hash", hex));
}

void audit_stats(struct audit *audit, struct audit_stats *out) {
    (void)pthread_mutex_lock(&audit->mutex);
    *out = audit->stats;
    out->queued = (uint32_t)(audit->stats.recorded - audit->stats.written);
    out->failing = audit->failing;
    (void)pthread_mutex_unlock(&audit->mutex);
}
