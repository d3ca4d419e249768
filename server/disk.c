/* disk.c - see disk.h. Without a lock: of the threads that find the figure old, one gets to renew it. */
#include "server/disk.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#define LOOK_EVERY_MS 1000

bool disk_init(struct disk *disk, const char *path, uint64_t reserve_bytes) {
    disk->path = strdup(path);
    disk->reserve_bytes = reserve_bytes;
    atomic_init(&disk->looked_at_ms, 0);
    atomic_init(&disk->free_bytes, UINT64_MAX);
    return disk->path != NULL;
}

void disk_destroy(struct disk *disk) {
    free(disk->path);
    disk->path = NULL;
}

uint64_t disk_free_bytes(struct disk *disk) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    int64_t now_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1, last = atomic_load(&disk->looked_at_ms);
    bool old = last == 0 || now_ms - last >= LOOK_EVERY_MS;
    if (old && atomic_compare_exchange_strong(&disk->looked_at_ms, &last, now_ms)) {
        struct statvfs file_system;
        bool known = statvfs(disk->path, &file_system) == 0;
        /* What a process without privileges may take. */
        atomic_store(&disk->free_bytes,
                     known ? (uint64_t)file_system.f_bavail * (uint64_t)file_system.f_frsize : UINT64_MAX);
    }
    return atomic_load(&disk->free_bytes);
}

bool disk_is_low(struct disk *disk) {
    return disk->reserve_bytes && disk_free_bytes(disk) < disk->reserve_bytes;
}
