/* history.c - see history.h. */
#include "array.h"
#include "database_internal.h"
#include "log_reader.h"

/* What a retained log takes on disk: it is trimmed. */
static uint64_t bytes_on_disk(const struct history_log *log) {
    return (log->end + ENV_PAGE_BYTES - 1) & ~(uint64_t)(ENV_PAGE_BYTES - 1);
}

void history_init(struct log_history *h) {
    env_mutex_init(&h->mutex);
}

static void close_file(env_file *file, char *path) {
    if (env_close(file)) { /* it was only read from */
    }
    env_free(path);
}

static void log_free(struct history_log *log) {
    if (log->identified) cipher_free(log->identity.cipher);
    env_free(log->marks);
    env_free(log);
}

void history_clear(struct log_history *h) {
    for (size_t i = 0; i < h->count; i++) {
        close_file(h->logs[i]->file, h->logs[i]->path);
        log_free(h->logs[i]);
    }
    env_free(h->logs);
    env_free(h->spare);
    env_mutex_destroy(&h->mutex);
}

/* ---- as logs come and go ----------------------------------------------------------------------------------------- */

velocity_status history_reserve(struct log_history *h) {
    env_mutex_lock(&h->mutex);
    velocity_status status = array_reserve(h->logs, h->capacity, h->count);
    if (!status && !h->spare && !(h->spare = env_alloc(sizeof *h->spare))) status = VELOCITY_NO_MEMORY;
    env_mutex_unlock(&h->mutex);
    return status;
}

void history_add(struct log_history *h, const struct history_log *log, uint64_t end) {
    env_file *file = NULL;
    char *path = NULL;
    env_mutex_lock(&h->mutex);
    struct history_log *newest = h->count ? h->logs[h->count - 1] : NULL;
    if (newest && newest->last == HISTORY_GROWS) {
        newest->last = log->after;
        newest->end = end;
        if (end <= FILE_HEADER_BYTES) /* never used: nobody behind the one before may look for something in it */
            newest->last = newest->after = h->count > 1 ? h->logs[h->count - 2]->last : h->after;
        if (newest->readers == 0) { /* only of the newest log the file stays open */
            file = newest->file;
            path = newest->path;
            newest->file = NULL;
            newest->path = NULL;
        }
    }
    *h->spare = *log;
    h->logs[h->count++] = h->spare;
    h->spare = NULL;
    if (log->retained) h->retained_bytes += bytes_on_disk(log);
    env_mutex_unlock(&h->mutex);
    close_file(file, path);
}

/* Index of the log with the number, or of the first with a higher one. Under the mutex. */
static size_t find_number(const struct log_history *h, uint64_t number) {
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->logs[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Under the mutex: the oldest log leaves. True: nobody reads it. */
static bool drop_oldest(struct log_history *h) {
    struct history_log *log = h->logs[0];
    memmove(h->logs, h->logs + 1, --h->count * sizeof *h->logs);
    h->after = log->last;
    if (log->retained) h->retained_bytes -= bytes_on_disk(log);
    log->dropped = true;
    bool read = log->readers > 0;
    if (!read && log->holders == 0) log_free(log); /* its file was closed with the last reader */
    return !read;
}

bool history_release(struct log_history *h, uint64_t number, uint64_t limit_bytes) {
    bool free = true;
    env_mutex_lock(&h->mutex);
    size_t at = find_number(h, number);
    if (at < h->count && h->logs[at]->number == number) {
        if (limit_bytes && !h->logs[at]->old_key) {
            h->logs[at]->retained = true;
            h->retained_bytes += bytes_on_disk(h->logs[at]);
            free = false;
        } else { /* logs are released oldest first, and none is retained */
            free = drop_oldest(h);
        }
    }
    env_mutex_unlock(&h->mutex);
    return free;
}

bool history_shrink(struct log_history *h, uint64_t limit_bytes, uint64_t *number, bool *removable) {
    env_mutex_lock(&h->mutex);
    bool shrink = h->retained_bytes > limit_bytes;
    if (shrink) {
        *number = h->logs[0]->number;
        *removable = drop_oldest(h);
    }
    env_mutex_unlock(&h->mutex);
    return shrink;
}

velocity_status history_list_retained(struct log_history *h, uint64_t min_log, bool all, struct log_retained **out,
                                      size_t *count) {
    env_mutex_lock(&h->mutex);
    struct log_retained *list = env_alloc((h->count + 1) * sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < h->count; i++) {
        const struct history_log *log = h->logs[i];
        if (log->retained ? all : log->number < min_log && !log->old_key)
            list[(*count)++] = (struct log_retained){log->number, log->end, log->after, log->last};
    }
    env_mutex_unlock(&h->mutex);
    *out = list;
    return list ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

bool history_holds(struct log_history *h, uint64_t number) {
    env_mutex_lock(&h->mutex);
    size_t at = find_number(h, number);
    bool holds = at < h->count && h->logs[at]->number == number;
    env_mutex_unlock(&h->mutex);
    return holds;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Under the mutex: the first log that may hold something behind `position`; the newest one may. */
static size_t find_position(const struct log_history *h, uint64_t position) {
    size_t low = 0, high = h->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->logs[middle]->last <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static velocity_status gone(velocity *db, uint64_t position) {
    return status_set(VELOCITY_HISTORY_GONE, "%s: the log does not reach back to what follows sequence %llu", db->path,
                      (unsigned long long)position);
}

/* Under the mutex. */
static void pin(struct history_log *log, struct history_pin *out) {
    log->readers++;
    *out = (struct history_pin){log, log->number, log->after, log->last, log->end, FILE_HEADER_BYTES};
}

/* Under the mutex: where to begin to read what follows the position. */
static uint64_t begin_at(const struct history_log *log, uint64_t position) {
    size_t low = 0, high = log->mark_count; /* how many marks lie before it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->marks[middle].sequence <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? log->marks[low - 1].offset : FILE_HEADER_BYTES;
}

void history_mark(velocity *db, struct history_log *log, uint64_t sequence, uint64_t offset) {
    env_mutex_lock(&db->history.mutex);
    uint64_t before = log->mark_count ? log->marks[log->mark_count - 1].offset : 0;
    bool worth = offset >= before + HISTORY_MARK_BYTES && log->mark_count < HISTORY_MARKS;
    if (worth && !log->marks) log->marks = env_alloc(HISTORY_MARKS * sizeof *log->marks); /* without it, no marks */
    if (worth && log->marks) log->marks[log->mark_count++] = (struct history_mark){sequence, offset};
    env_mutex_unlock(&db->history.mutex);
}

velocity_status history_pin(velocity *db, uint64_t position, struct history_pin *out) {
    struct log_history *h = &db->history;
    env_mutex_lock(&h->mutex);
    bool there = position >= h->after;
    if (there) {
        struct history_log *log = h->logs[find_position(h, position)];
        pin(log, out);
        out->begin = begin_at(log, position);
    }
    env_mutex_unlock(&h->mutex);
    return there ? VELOCITY_OK : gone(db, position);
}

velocity_status history_pin_from(velocity *db, uint64_t number, struct history_pin **out, size_t *count) {
    struct log_history *h = &db->history;
    env_mutex_lock(&h->mutex);
    size_t first = find_number(h, number);
    *count = h->count - first;
    *out = env_alloc((*count + 1) * sizeof **out);
    for (size_t i = 0; *out && i < *count; i++) pin(h->logs[first + i], &(*out)[i]);
    env_mutex_unlock(&h->mutex);
    return *out ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

velocity_status history_open(velocity *db, struct history_pin *pin) {
    struct log_history *h = &db->history;
    struct history_log *log = pin->log;
    env_mutex_lock(&h->mutex);
    bool is_open = log->file != NULL;
    env_mutex_unlock(&h->mutex);
    if (is_open) return VELOCITY_OK; /* and stays so while it is pinned */
    env_file *file = NULL;
    struct log_identity identity = {.cipher = NULL};
    char *path = file_path(db->path, FILE_LOG, pin->number);
    velocity_status status = path ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) status = log_open_read(db->env, path, db->database_id, db->keys, pin->number, &file, &identity);
    env_mutex_lock(&h->mutex);
    if (!status && !log->file) { /* else another reader was faster */
        log->file = file;
        log->path = path;
        file = NULL;
        path = NULL;
    }
    if (!status && !log->identified) {
        log->identity = identity;
        log->identified = true;
        identity.cipher = NULL;
    }
    env_mutex_unlock(&h->mutex);
    close_file(file, path);
    cipher_free(identity.cipher);
    return status;
}

void history_unpin(velocity *db, struct history_pin *pin) {
    struct log_history *h = &db->history;
    struct history_log *log = pin->log;
    env_file *file = NULL;
    char *path = NULL;
    env_mutex_lock(&h->mutex);
    bool last = --log->readers == 0, remove = last && log->dropped;
    if (last && log->end != HISTORY_GROWS) {
        file = log->file;
        path = log->path;
        log->file = NULL;
        log->path = NULL;
    }
    if (remove && log->holders == 0) log_free(log);
    env_mutex_unlock(&h->mutex);
    close_file(file, path);
    if (!remove) return;
    path = file_path(db->path, FILE_LOG, pin->number);
    if (path && env_unlink(db->env, path)) { /* removed at the next open */
    }
    env_free(path);
}

void history_hold(velocity *db, struct history_log *log) {
    env_mutex_lock(&db->history.mutex);
    log->holders++;
    env_mutex_unlock(&db->history.mutex);
}

void history_let_go(velocity *db, struct history_log *log) {
    if (!log) return;
    env_mutex_lock(&db->history.mutex);
    if (--log->holders == 0 && log->dropped && log->readers == 0) log_free(log);
    env_mutex_unlock(&db->history.mutex);
}

velocity_status history_reaches(velocity *db, uint64_t since) {
    struct log_history *h = &db->history;
    uint64_t visible = atomic_load_explicit(&db->visible_sequence, memory_order_acquire);
    env_mutex_lock(&h->mutex);
    size_t at = find_position(h, since);
    /* Between two logs lie sequences that an opening skipped: whoever has seen one of those saw what was lost then. */
    uint64_t before = at ? h->logs[at - 1]->last : h->after;
    bool there = since <= visible && since >= h->after && (since >= h->logs[at]->after || since == before);
    env_mutex_unlock(&h->mutex);
    return there ? VELOCITY_OK : gone(db, since);
}

uint64_t history_after(struct log_history *h) {
    env_mutex_lock(&h->mutex);
    uint64_t after = h->after;
    env_mutex_unlock(&h->mutex);
    return after;
}

uint64_t history_retained_bytes(struct log_history *h) {
    env_mutex_lock(&h->mutex);
    uint64_t bytes = h->retained_bytes;
    env_mutex_unlock(&h->mutex);
    return bytes;
}
