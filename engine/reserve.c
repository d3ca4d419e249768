/* reserve.c - see reserve.h. */
#include "reserve.h"

#include "file.h"

enum { LEAST_BYTES = 1 << 20, TABLES_FRACTION = 32 };

static uint64_t wanted_bytes(const struct reserve *r, uint64_t table_bytes) {
    uint64_t bytes = table_bytes / TABLES_FRACTION;
    if (bytes < LEAST_BYTES) bytes = LEAST_BYTES;
    if (bytes > r->most_bytes) bytes = r->most_bytes;
    return bytes / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
}

/* Under the mutex. What was had is kept where the disk has no more. */
static velocity_status grow(struct reserve *r, uint64_t wanted) {
    if (r->bytes >= wanted) return VELOCITY_OK;
    velocity_status status = env_allocate(r->file, r->bytes, wanted - r->bytes);
    if (!status) {
        r->bytes = wanted;
    } else if (env_truncate(r->file, r->bytes)) { /* what was allocated in part stays: it is room kept, too */
    }
    return status;
}

velocity_status reserve_open(struct reserve *r, env *e, const char *folder, uint64_t most_bytes, uint64_t table_bytes) {
    r->env = e;
    r->most_bytes = most_bytes;
    if (!(r->path = file_path_named(folder, "RESERVE"))) return VELOCITY_NO_MEMORY;
    bool exists;
    velocity_status status = env_exists(e, r->path, &exists);
    if (status) return status;
    if (most_bytes == 0) return exists ? env_unlink(e, r->path) : VELOCITY_OK;
    status = exists ? env_open_write(e, r->path, &r->file) : env_create(e, r->path, &r->file);
    if (!status) status = env_size(r->file, &r->bytes);
    uint64_t wanted = wanted_bytes(r, table_bytes);
    if (!status && r->bytes > wanted && !(status = env_truncate(r->file, wanted))) r->bytes = wanted;
    if (!status) status = grow(r, wanted);
    if (status == VELOCITY_NO_SPACE) {
        atomic_store(&r->spent, r->bytes < LEAST_BYTES);
        status = VELOCITY_OK;
    }
    return status;
}

void reserve_close(struct reserve *r) {
    if (env_close(r->file)) { /* it holds nothing that could be lost */
    }
    env_free(r->path);
}

bool reserve_spend(struct reserve *r) {
    env_mutex_lock(&r->mutex);
    bool given = r->file && r->bytes && env_truncate(r->file, 0) == VELOCITY_OK;
    if (given) {
        r->bytes = 0;
        atomic_store(&r->spent, true);
    }
    env_mutex_unlock(&r->mutex);
    return given;
}

void reserve_refill(struct reserve *r, uint64_t table_bytes) {
    env_mutex_lock(&r->mutex);
    if (r->file && grow(r, wanted_bytes(r, table_bytes)) == VELOCITY_OK) atomic_store(&r->spent, false);
    env_mutex_unlock(&r->mutex);
}
