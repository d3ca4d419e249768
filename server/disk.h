/*
 * disk.h - how much room is left where the data lives, looked at once a second at most.
 */
#ifndef VELOCITY_SERVER_DISK_H
#define VELOCITY_SERVER_DISK_H

#include "engine/velocity.h"

#include <stdatomic.h>

struct disk {
    char *path;
    uint64_t reserve_bytes;
    _Atomic int64_t looked_at_ms; /* monotonic clock; 0: never */
    _Atomic uint64_t free_bytes;  /* as it was then; UINT64_MAX: the system did not say */
};

/* False: no memory. reserve_bytes 0: disk_is_low is always false. */
VELOCITY_CHECK_RESULT bool disk_init(struct disk *disk, const char *path, uint64_t reserve_bytes);
void disk_destroy(struct disk *disk);
/* Less than the reserve is free. Any thread; asks the system (statvfs) only where the last answer is a second old. */
bool disk_is_low(struct disk *disk);
/* As of the last look, taken now if it is a second old; UINT64_MAX: not known. */
uint64_t disk_free_bytes(struct disk *disk);

#endif
