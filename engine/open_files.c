/* open_files.c - see open_files.h. */
#include "open_files.h"

#include "epoch.h"
#include "status.h"

struct descriptor {
    struct epoch_item item; /* first */
    env_file *file;
};

void open_files_init(struct open_files *files, uint64_t most) {
    memset(files, 0, sizeof *files);
    files->most = most;
    env_mutex_init(&files->mutex);
}

void open_files_destroy(struct open_files *files) {
    open_files_sweep(files);
    env_mutex_destroy(&files->mutex);
}

uint64_t open_files_count(struct open_files *files) {
    env_mutex_lock(&files->mutex);
    uint64_t count = files->count;
    env_mutex_unlock(&files->mutex);
    return count;
}

void open_file_init(struct open_file *file, env *e, const char *path,
                    velocity_status (*check)(struct open_file *, env_file *), void (*destroy)(struct open_file *)) {
    memset(file, 0, sizeof *file);
    file->env = e;
    file->path = path;
    file->check = check;
    file->destroy = destroy;
    env_mutex_init(&file->mutex);
}

static void descriptor_destroy(struct epoch_item *item) {
    struct descriptor *d = (struct descriptor *)item;
    if (env_close(d->file)) { /* it was only read from: a failing close loses nothing */
    }
    env_free(d);
}

/* Under files->mutex. */
static void leave_ring(struct open_files *files, struct open_file *file) {
    if (files->hand == file) files->hand = file->next == file ? NULL : file->next;
    if (file->next == file) {
        files->ring = NULL;
    } else {
        file->next->previous = file->previous;
        file->previous->next = file->next;
        if (files->ring == file) files->ring = file->next;
    }
    file->next = file->previous = NULL;
    files->count--;
}

/* Whoever reads inside an epoch section found the file in something that lives, so the descriptor can go at once. */
void open_file_close(struct open_file *file, bool remove) {
    struct descriptor *d = atomic_exchange(&file->descriptor, NULL);
    if (remove && env_unlink(file->env, file->path)) { /* removed at the next open, which knows it is not wanted */
    }
    if (d) descriptor_destroy(&d->item);
    env_mutex_destroy(&file->mutex);
}

void open_file_leave(struct open_files *files, struct open_file *file, bool doomed) {
    env_mutex_lock(&files->mutex);
    if (file->next) leave_ring(files, file);
    if (doomed) {
        file->next = files->doomed;
        files->doomed = file;
    }
    env_mutex_unlock(&files->mutex);
    if (!doomed) file->destroy(file);
}

void open_files_sweep(struct open_files *files) {
    env_mutex_lock(&files->mutex);
    struct open_file *doomed = files->doomed;
    files->doomed = NULL;
    env_mutex_unlock(&files->mutex);
    for (struct open_file *file = doomed, *next; file; file = next) {
        next = file->next;
        file->destroy(file);
    }
}

/*
 * Takes the file into the ring, and others out of it until the budget is kept. The clock: a file that was used since
 * the hand last passed is spared once. What is taken out is retired after the lock is given up: retiring may run
 * destroyers that take it.
 */
static void enter_ring(struct open_files *files, struct open_file *file) {
    struct epoch_item *closing = NULL;
    env_mutex_lock(&files->mutex);
    if (!files->ring) {
        file->next = file->previous = file;
        files->ring = file;
    } else {
        file->next = files->ring;
        file->previous = files->ring->previous;
        file->previous->next = files->ring->previous = file;
    }
    files->count++;
    for (uint64_t steps = 2 * files->count; files->count > files->most && steps; steps--) {
        struct open_file *victim = files->hand ? files->hand : files->ring;
        files->hand = victim->next;
        if (victim == file || atomic_exchange_explicit(&victim->recently_used, false, memory_order_relaxed)) continue;
        leave_ring(files, victim);
        struct descriptor *d = atomic_exchange(&victim->descriptor, NULL);
        d->item.next = closing;
        closing = &d->item;
    }
    env_mutex_unlock(&files->mutex);
    while (closing) {
        struct epoch_item *next = closing->next;
        epoch_retire(closing, descriptor_destroy);
        closing = next;
    }
}

static velocity_status open_it(struct open_files *files, struct open_file *file, struct descriptor **out) {
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&file->mutex);
    struct descriptor *d = atomic_load(&file->descriptor);
    bool opened = !d;
    if (!d) {
        if (!(d = env_alloc(sizeof *d)))
            status = VELOCITY_NO_MEMORY;
        else if ((status = env_open_read(file->env, file->path, &d->file)))
            env_free(d);
        else if ((status = file->check(file, d->file)))
            descriptor_destroy(&d->item);
        else
            atomic_store(&file->descriptor, d);
    }
    env_mutex_unlock(&file->mutex);
    if (!status && opened) enter_ring(files, file);
    if (status == VELOCITY_NOT_FOUND)
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the file is missing", file->path);
    *out = d;
    return status;
}

velocity_status open_file_get(struct open_files *files, struct open_file *file, env_file **out) {
    struct descriptor *d = atomic_load_explicit(&file->descriptor, memory_order_acquire);
    if (!d) {
        velocity_status status = open_it(files, file, &d);
        if (status) return status;
    }
    if (!atomic_load_explicit(&file->recently_used, memory_order_relaxed))
        atomic_store_explicit(&file->recently_used, true, memory_order_relaxed);
    *out = d->file;
    return VELOCITY_OK;
}
