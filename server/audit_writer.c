/*
 * audit_writer.c - the thread that makes rows of what was recorded, prunes, tells the log the head, and wakes those who
 * wait: see audit_internal.h.
 */
#include "server/audit_internal.h"

#include "engine/status.h"

#include <stdio.h>

#define DAY_MS INT64_C(86400000)

/* ---- rows ---- */

struct batch_reader {
    struct audit *audit;
    size_t at;
    struct audit_hash key_hash; /* of the row that was made last */
    bool failed;
};

static bool next_row(void *arg, struct audit_value *row) {
    struct batch_reader *reader = arg;
    struct audit_queued queued;
    if (!audit_arena_next(&reader->audit->back, &reader->at, &queued)) return false;
    const velocity_slice *texts = queued.texts;
    velocity_slice key = texts[AUDIT_QUEUED_KEY], database = texts[AUDIT_QUEUED_DATABASE], none = {NULL, 0};
    /* What stands in no database is no key: the name of a user, say. */
    bool hash_key = queued.hash_key && key.size && database.size;
    row[AUDIT_TIME_MS] = audit_integer(queued.time_ms);
    row[AUDIT_USER] = audit_text(texts[AUDIT_QUEUED_USER]);
    row[AUDIT_LOGIN] = audit_text(texts[AUDIT_QUEUED_LOGIN]);
    row[AUDIT_LOGIN_ID] = audit_text(texts[AUDIT_QUEUED_LOGIN_ID]);
    row[AUDIT_ADDRESS] = audit_text(texts[AUDIT_QUEUED_ADDRESS]);
    row[AUDIT_ACTION] = audit_text(texts[AUDIT_QUEUED_ACTION]);
    row[AUDIT_DATABASE] = audit_text(database);
    row[AUDIT_KEY] = audit_text(hash_key ? none : key);
    row[AUDIT_KEY_SHA256] = audit_blob(velocity_bytes(reader->key_hash.bytes, hash_key ? AUDIT_HASH_BYTES : 0));
    row[AUDIT_STATUS] = queued.status ? audit_integer(queued.status) : (struct audit_value){.type = AUDIT_NULL};
    row[AUDIT_REQUEST_ID] = audit_text(texts[AUDIT_QUEUED_REQUEST_ID]);
    row[AUDIT_DETAIL] = audit_text(texts[AUDIT_QUEUED_DETAIL]);
    if (hash_key)
        reader->failed = !audit_chain_key(audit_file_chain(reader->audit->file), database, key, &reader->key_hash);
    return !reader->failed;
}

static velocity_status append_events(struct audit *audit) {
    struct batch_reader reader = {.audit = audit};
    velocity_status status = audit_file_append_all(audit->file, next_row, &reader);
    if (!status && reader.failed)
        status = status_set(VELOCITY_NO_MEMORY, "%s: the hash of a key could not be computed", audit->path);
    return status;
}

static velocity_status append_gap(struct audit *audit) {
    struct audit_value row[AUDIT_COLUMNS] = {{0}};
    char detail[AUDIT_GAP_DETAIL_BYTES];
    audit_gap_format(&audit->back_gap, detail);
    row[AUDIT_TIME_MS] = audit_integer(audit_clock_ms(CLOCK_REALTIME));
    row[AUDIT_ACTION] = audit_text(velocity_str(AUDIT_GAP_ACTION));
    row[AUDIT_DETAIL] = audit_text(velocity_str(detail));
    return audit_file_append(audit->file, row);
}

/* The back arena in one transaction. */
static velocity_status write_batch(struct audit *audit) {
    velocity_status status = audit_file_begin(audit->file);
    if (status) return status;
    status = append_events(audit);
    if (!status && audit->back_gap.lost) status = append_gap(audit);
    if (!status) status = audit_file_commit(audit->file);
    if (status) audit_file_rollback(audit->file);
    return status;
}

/* ---- state ---- */

static bool has_batch(const struct audit *audit) {
    return audit->back.count || audit->back_gap.lost;
}

/* What was recorded becomes the batch, but where another could not be written yet. Under the mutex. */
static void take_batch(struct audit *audit) {
    audit->urgent = false;
    if (has_batch(audit)) return;
    struct audit_arena empty = audit->back;
    audit->back = audit->front;
    audit->front = empty;
    audit->back_gap = audit->front_gap;
    audit->front_gap = (struct audit_gap){0};
}

static void log_failing(struct audit *audit, const char *reason, bool refuse) {
    if (!audit->log) return;
    logger_event(audit->log, LOGGER_LEVEL_ERROR, "audit_failing", logger_text("reason", reason),
                 logger_text("operations", refuse ? "refused" : "go on without a record once memory is full"));
}

static void log_recovered(struct audit *audit, uint64_t lost) {
    if (!audit->log) return;
    logger_event(audit->log, LOGGER_LEVEL_WARNING, "audit_recovered", logger_number("events_lost", lost));
}

/* Writes the batch, if there is one, and takes note of how that went. */
static void work_on_batch(struct audit *audit) {
    if (!has_batch(audit)) return;
    velocity_status status = write_batch(audit);
    char reason[512] = "";
    if (status) (void)snprintf(reason, sizeof reason, "%s", velocity_error_message());
    (void)pthread_mutex_lock(&audit->mutex);
    bool was_failing = audit->failing, refuse = audit->settings.on_failure == AUDIT_REFUSE;
    audit->failing = status != VELOCITY_OK;
    if (status) {
        audit->stats.write_failures++;
    } else {
        audit->stats.written += audit->back.count;
        audit->stats.batches++;
        audit->stats.file_bytes = audit_file_bytes(audit->file);
        audit->head = *audit_file_head(audit->file);
    }
    uint64_t lost = audit->stats.lost;
    (void)pthread_mutex_unlock(&audit->mutex);
    if (status) {
        audit->retry_at_ms = audit_clock_ms(CLOCK_MONOTONIC) + audit->timing.retry_ms;
        if (!was_failing) log_failing(audit, reason, refuse);
        return;
    }
    audit_arena_clear(&audit->back);
    audit->back_gap = (struct audit_gap){0};
    if (was_failing) log_recovered(audit, lost);
}

static void prune(struct audit *audit, const struct audit_settings *settings) {
    uint64_t removed = 0;
    int64_t now_ms = audit_clock_ms(CLOCK_REALTIME);
    struct audit_limits limits = {.before_ms = INT64_MIN, .max_bytes = settings->max_bytes};
    if (settings->retention_days) limits.before_ms = now_ms - settings->retention_days * DAY_MS;
    velocity_status status = audit_file_prune(audit->file, &limits, now_ms, &removed, &audit->again);
    audit->prune_at_ms = audit_clock_ms(CLOCK_MONOTONIC) + audit->timing.prune_ms;
    if (status && !audit->pruning_fails && audit->log)
        logger_event(audit->log, LOGGER_LEVEL_WARNING, "audit_prune_failed",
                     logger_text("reason", velocity_error_message()));
    audit->pruning_fails = status != VELOCITY_OK;
    (void)pthread_mutex_lock(&audit->mutex);
    audit->stats.pruned += removed;
    audit->stats.file_bytes = audit_file_bytes(audit->file);
    audit->head = *audit_file_head(audit->file);
    (void)pthread_mutex_unlock(&audit->mutex);
}

/* What is due besides rows. A log that can't be written is left alone. */
static void maintain(struct audit *audit, const struct audit_settings *settings) {
    int64_t now_ms = audit_clock_ms(CLOCK_MONOTONIC);
    uint64_t bytes = audit_file_bytes(audit->file);
    if (has_batch(audit)) {
        audit->again = false;
        return;
    }
    if (now_ms >= audit->head_at_ms) {
        if (audit->logged_head != audit_file_head(audit->file)->number) audit_log_head(audit);
        audit->logged_head = audit_file_head(audit->file)->number;
        audit->head_at_ms = now_ms + audit->timing.head_ms;
    }
    if (audit->again || now_ms >= audit->prune_at_ms ||
        (settings->max_bytes && bytes > settings->max_bytes && !audit->pruning_fails))
        prune(audit, settings);
}

/* Once room came back, promises that were none become some. */
static void back_promises(struct audit *audit) {
    uint32_t count = audit_room(audit) < audit->unbacked ? audit_room(audit) : audit->unbacked;
    audit->unbacked -= count;
    audit->promised += count;
}

/* A list of those whose wait is over. Under the mutex. */
static struct audit_waiter *take_woken(struct audit *audit) {
    struct audit_waiters woken = {NULL, &woken.head};
    back_promises(audit);
    while (audit->settling.head && (audit->failing || audit->settling.head->ticket <= audit->stats.written))
        audit_waiters_add(&woken, audit_waiters_take(&audit->settling));
    for (uint32_t places = audit_room(audit); audit->room.head && (places > 0 || audit->failing);
         places -= places > 0) {
        struct audit_waiter *waiter = audit_waiters_take(&audit->room);
        waiter->ticket = 1;
        audit_waiters_add(&woken, waiter);
    }
    /* Who was woken may not ask again: the others must not wait for that. */
    audit->wake_at_ms = audit_clock_ms(CLOCK_MONOTONIC) + audit->timing.batch_ms;
    return woken.head;
}

static void call_ready(struct audit_waiter *waiter) {
    while (waiter) {
        struct audit_waiter *next = waiter->next; /* it may be gone afterwards */
        waiter->ready(waiter);
        waiter = next;
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* When there is something to do; under the mutex. */
static int64_t next_work_ms(const struct audit *audit) {
    if (audit->ending) return 0;
    if (audit->failing) return audit->retry_at_ms;
    if (audit->urgent || audit->again || audit->prune_now) return 0;
    int64_t at = earlier(audit->head_at_ms, audit->prune_at_ms);
    if (audit->refusals.tell_at_ms) at = earlier(at, audit->refusals.tell_at_ms);
    if (audit->front.count || audit->front_gap.lost) at = earlier(at, audit->batch_at_ms);
    return audit->room.head ? earlier(at, audit->wake_at_ms) : at;
}

static void wait_for_work(struct audit *audit) {
    for (int64_t at; (at = next_work_ms(audit)) > audit_clock_ms(CLOCK_MONOTONIC);) {
        struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
        (void)pthread_cond_timedwait(&audit->work, &audit->mutex, &until);
    }
}

/* Under the mutex. */
static bool batch_is_due(const struct audit *audit) {
    bool young = audit->batch_at_ms > audit_clock_ms(CLOCK_MONOTONIC);
    return audit->ending || audit->urgent || (!young && (audit->front.count || audit->front_gap.lost));
}

/* Under the mutex. */
static bool has_nothing_left(const struct audit *audit) {
    return audit->front.count == 0 && audit->front_gap.lost == 0 && audit->refusals.tell_at_ms == 0;
}

static void wake(struct audit *audit) {
    (void)pthread_mutex_lock(&audit->mutex);
    struct audit_waiter *woken = take_woken(audit);
    (void)pthread_mutex_unlock(&audit->mutex);
    call_ready(woken);
}

void *audit_serve(void *arg) {
    struct audit *audit = arg;
    (void)pthread_setname_np(pthread_self(), "audit");
    (void)pthread_mutex_lock(&audit->mutex);
    for (bool done = false; !done;) {
        wait_for_work(audit);
        audit_tell_refusals(audit);
        if (batch_is_due(audit)) take_batch(audit);
        if (audit->prune_now) audit->prune_at_ms = 0;
        audit->prune_now = false;
        struct audit_settings settings = audit->settings;
        (void)pthread_mutex_unlock(&audit->mutex);
        work_on_batch(audit);
        wake(audit);
        maintain(audit, &settings);
        (void)pthread_mutex_lock(&audit->mutex);
        done = audit->ending && (audit->failing || has_nothing_left(audit));
    }
    (void)pthread_mutex_unlock(&audit->mutex);
    return NULL;
}
