/*
 * sim_disk.h - a disk in memory that knows what a power cut would leave: the storage under env_sim.
 *
 *     path --current names--> node --> page [now | before | unsynced sectors]
 *          --synced names---^
 *
 * Invariants
 * - A page's `now` is what reads see. Where a bit of `unsynced` is set, the platter may still hold `before` in that
 *   sector; elsewhere the two are equal. `before` is NULL when no bit is set.
 * - A directory's `synced` names are those that a power cut surely leaves; the disk's list of changes, applied in its
 *   order, leads from them to the `now` names.
 * - Memory running out ends the program: this is a test's tool.
 *
 * Threads: none of its own; env_sim calls it under its lock.
 */
#ifndef VELOCITY_SIM_DISK_H
#define VELOCITY_SIM_DISK_H

#include "engine/velocity.h"

#define DISK_SECTOR_BYTES 512u
#define DISK_PAGE_BYTES   4096u
#define DISK_PAGE_SECTORS (DISK_PAGE_BYTES / DISK_SECTOR_BYTES)

struct disk_page {
    uint8_t now[DISK_PAGE_BYTES];
    uint8_t *before;  /* what the platter holds; NULL: the same */
    uint8_t unsynced; /* a bit a sector */
    uint8_t doomed;   /* sectors that a failed sync gave up: no later sync writes them, until they are written anew */
    bool allocated;   /* counts against the capacity */
};

struct disk_name {
    char *name;
    struct disk_node *node;
};

struct disk_names {
    struct disk_name *list;
    size_t count;
};

/* A file or a directory. */
struct disk_node {
    struct disk_node *next; /* of all nodes of the disk */
    bool is_directory;
    bool marked;      /* disk.c's */
    bool locked;      /* a lock file that is held */
    uint32_t handles; /* open handles; the caller counts them */
    /* A file: */
    struct disk_page **pages; /* NULL: a hole, of zeros */
    size_t page_count;
    uint64_t size, synced_size;
    uint64_t floor; /* the smallest size since the last sync; UINT64_MAX: it never shrank */
    /* A directory: */
    struct disk_names now, synced;
};

struct disk_change; /* a change of names that no sync has made durable */

struct disk {
    struct disk_node *root;
    struct disk_node *nodes;
    struct disk_change *changes;
    size_t change_count;
    uint64_t capacity; /* in bytes; 0: no end */
    uint64_t random;   /* state of disk_random */
    bool any_subset;   /* a power cut keeps any subset of the changes of names, not a prefix per directory */
};

void disk_init(struct disk *d, uint64_t seed);
void disk_destroy(struct disk *d);
/* The next of a sequence that the seed alone determines; below `limit`. */
uint64_t disk_random(struct disk *d, uint64_t limit);

/* Paths are resolved from the root, with and without a leading slash. NULL: not there. */
struct disk_node *disk_find(struct disk *d, const char *path);
/* These set the error message where they fail. */
VELOCITY_CHECK_RESULT velocity_status disk_make(struct disk *d, const char *path, bool directory,
                                                struct disk_node **out);
VELOCITY_CHECK_RESULT velocity_status disk_unlink(struct disk *d, const char *path);
VELOCITY_CHECK_RESULT velocity_status disk_link(struct disk *d, const char *from, const char *to);
VELOCITY_CHECK_RESULT velocity_status disk_remove_directory(struct disk *d, const char *path); /* an empty one */
VELOCITY_CHECK_RESULT velocity_status disk_rename(struct disk *d, const char *from, const char *to);

size_t disk_read(const struct disk_node *file, void *buffer, size_t size, uint64_t offset);
/* How many bytes were written: less than size where the disk was full. Blocks that exist take no room. */
size_t disk_write(struct disk *d, struct disk_node *file, const void *data, size_t size, uint64_t offset);
void disk_truncate(struct disk_node *file, uint64_t size);
/* On the platter and in memory. False: a hole. */
bool disk_flip_bit(struct disk_node *file, uint64_t offset, unsigned bit);
uint64_t disk_used(struct disk *d); /* by files that have a name or are open */

void disk_sync(struct disk_node *file);
/* Some sectors reach the platter, the others never will. */
void disk_sync_failed(struct disk *d, struct disk_node *file);
void disk_sync_directory(struct disk *d, struct disk_node *directory);
/* Leaves what the platter might hold, as chance (the seed) decides. No handle may be open. */
void disk_power_cut(struct disk *d);
void disk_collect(struct disk *d); /* frees nodes that nothing reaches any more */

#endif
