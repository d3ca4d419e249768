/* sim_disk.c - a disk in memory that knows what a power cut would leave. See sim_disk.h. */
#include "sim_disk.h"
#include "engine/status.h"

#include <stdio.h>
#include <stdlib.h>

/* One atomic change: the first name goes, or the second comes, or both (a rename). */
struct disk_change {
    struct disk_node *from_directory; /* NULL: no name goes */
    char *from;
    struct disk_node *to_directory; /* NULL: no name comes */
    char *to;
    struct disk_node *node;
};

static void *must(void *block) {
    if (block) return block;
    fprintf(stderr, "simulated disk: out of memory\n");
    abort();
}

uint64_t disk_random(struct disk *d, uint64_t limit) {
    uint64_t z = d->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % limit;
}

static bool coin(struct disk *d) {
    return disk_random(d, 2) == 0;
}

static struct disk_node *node_new(struct disk *d, bool directory) {
    struct disk_node *node = must(calloc(1, sizeof *node));
    node->is_directory = directory;
    node->floor = UINT64_MAX;
    node->next = d->nodes;
    d->nodes = node;
    return node;
}

void disk_init(struct disk *d, uint64_t seed) {
    *d = (struct disk){.random = seed};
    d->root = node_new(d, true);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static struct disk_name *names_find(const struct disk_names *names, const char *name, size_t length) {
    for (size_t i = 0; i < names->count; i++)
        if (strlen(names->list[i].name) == length && memcmp(names->list[i].name, name, length) == 0)
            return &names->list[i];
    return NULL;
}

static void names_set(struct disk_names *names, const char *name, struct disk_node *node) {
    struct disk_name *found = names_find(names, name, strlen(name));
    if (!found) {
        names->list = must(realloc(names->list, (names->count + 1) * sizeof *names->list));
        found = &names->list[names->count++];
        found->name = must(strdup(name));
    }
    found->node = node;
}

static void names_remove(struct disk_names *names, const char *name) {
    struct disk_name *found = names_find(names, name, strlen(name));
    if (!found) return;
    free(found->name);
    *found = names->list[--names->count];
}

static void names_clear(struct disk_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->list[i].name);
    free(names->list);
    *names = (struct disk_names){0};
}

static struct disk_node *walk(struct disk *d, const char *path, size_t length) {
    struct disk_node *node = d->root;
    for (size_t i = 0; i < length && node;) {
        size_t part = strcspn(path + i, "/");
        if (part > length - i) part = length - i;
        if (part > 0 && !(part == 1 && path[i] == '.')) {
            struct disk_name *found = node->is_directory ? names_find(&node->now, path + i, part) : NULL;
            node = found ? found->node : NULL;
        }
        i += part + 1;
    }
    return node;
}

struct disk_node *disk_find(struct disk *d, const char *path) {
    return walk(d, path, strlen(path));
}

/* The directory that holds, or would hold, the path's last name. */
static velocity_status parent_of(struct disk *d, const char *path, struct disk_node **out, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    *out = slash ? walk(d, path, (size_t)(slash - path)) : d->root;
    if (!*out) return status_set(VELOCITY_NOT_FOUND, "%s: its folder does not exist", path);
    if (!(*out)->is_directory) return status_set(VELOCITY_IO, "%s: its folder is a file", path);
    if (!**name) return status_set(VELOCITY_IO, "%s: no name", path);
    return VELOCITY_OK;
}

static void apply(const struct disk_change *change, bool to_synced) {
    if (change->from_directory)
        names_remove(to_synced ? &change->from_directory->synced : &change->from_directory->now, change->from);
    if (change->to_directory)
        names_set(to_synced ? &change->to_directory->synced : &change->to_directory->now, change->to, change->node);
}

static void change_destroy(struct disk_change *change) {
    free(change->from);
    free(change->to);
}

/* Takes effect for the living at once, on the platter when its directory is synced. */
static void change_names(struct disk *d, struct disk_node *from_directory, const char *from,
                         struct disk_node *to_directory, const char *to, struct disk_node *node) {
    d->changes = must(realloc(d->changes, (d->change_count + 1) * sizeof *d->changes));
    struct disk_change *change = &d->changes[d->change_count++];
    *change = (struct disk_change){from_directory, from ? must(strdup(from)) : NULL, to_directory,
                                   to ? must(strdup(to)) : NULL, node};
    apply(change, false);
}

velocity_status disk_make(struct disk *d, const char *path, bool directory, struct disk_node **out) {
    const char *name;
    struct disk_node *parent;
    velocity_status status = parent_of(d, path, &parent, &name);
    if (status != VELOCITY_OK) return status;
    *out = node_new(d, directory);
    change_names(d, NULL, NULL, parent, name, *out);
    return VELOCITY_OK;
}

velocity_status disk_unlink(struct disk *d, const char *path) {
    const char *name;
    struct disk_node *parent;
    velocity_status status = parent_of(d, path, &parent, &name);
    if (status != VELOCITY_OK) return status;
    struct disk_name *found = names_find(&parent->now, name, strlen(name));
    if (!found) return status_set(VELOCITY_NOT_FOUND, "%s: cannot remove: it does not exist", path);
    if (found->node->is_directory) return status_set(VELOCITY_IO, "%s: cannot remove: it is a folder", path);
    change_names(d, parent, name, NULL, NULL, found->node);
    return VELOCITY_OK;
}

velocity_status disk_remove_directory(struct disk *d, const char *path) {
    const char *name;
    struct disk_node *parent;
    velocity_status status = parent_of(d, path, &parent, &name);
    if (status != VELOCITY_OK) return status;
    struct disk_name *found = names_find(&parent->now, name, strlen(name));
    if (!found) return status_set(VELOCITY_NOT_FOUND, "%s: cannot remove: it does not exist", path);
    if (!found->node->is_directory || found->node->now.count)
        return status_set(VELOCITY_IO, "%s: cannot remove: it is not an empty folder", path);
    change_names(d, parent, name, NULL, NULL, found->node);
    return VELOCITY_OK;
}

velocity_status disk_link(struct disk *d, const char *from, const char *to) {
    const char *name;
    struct disk_node *parent, *node = disk_find(d, from);
    velocity_status status = parent_of(d, to, &parent, &name);
    if (status != VELOCITY_OK) return status;
    if (!node || node->is_directory) return status_set(VELOCITY_IO, "%s: cannot link: it is no file", from);
    if (names_find(&parent->now, name, strlen(name)))
        return status_set(VELOCITY_IO, "%s: cannot link: it exists already", to);
    change_names(d, NULL, NULL, parent, name, node);
    return VELOCITY_OK;
}

velocity_status disk_rename(struct disk *d, const char *from, const char *to) {
    const char *from_name, *to_name;
    struct disk_node *from_parent, *to_parent;
    velocity_status status = parent_of(d, from, &from_parent, &from_name);
    if (status == VELOCITY_OK) status = parent_of(d, to, &to_parent, &to_name);
    if (status != VELOCITY_OK) return status;
    struct disk_name *found = names_find(&from_parent->now, from_name, strlen(from_name));
    if (!found) return status_set(VELOCITY_IO, "%s: cannot rename: it does not exist", from);
    const struct disk_name *before = names_find(&to_parent->now, to_name, strlen(to_name));
    if (before && (before->node->is_directory || found->node->is_directory))
        return status_set(VELOCITY_IO, "%s: cannot rename: %s exists already", from, to);
    change_names(d, from_parent, from_name, to_parent, to_name, found->node);
    return VELOCITY_OK;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t disk_read(const struct disk_node *file, void *buffer, size_t size, uint64_t offset) {
    if (offset >= file->size) return 0;
    if (size > file->size - offset) size = (size_t)(file->size - offset);
    for (size_t done = 0; done < size;) {
        size_t index = (size_t)((offset + done) / DISK_PAGE_BYTES), at = (size_t)((offset + done) % DISK_PAGE_BYTES);
        size_t part = smaller(size - done, DISK_PAGE_BYTES - at);
        const struct disk_page *page = index < file->page_count ? file->pages[index] : NULL;
        if (page)
            memcpy((char *)buffer + done, page->now + at, part);
        else
            memset((char *)buffer + done, 0, part);
        done += part;
    }
    return size;
}

/* Sectors [at, at + size) of the page are about to change. */
static void page_touch(struct disk_page *page, size_t at, size_t size) {
    if (!page->before) {
        page->before = must(malloc(DISK_PAGE_BYTES));
        memcpy(page->before, page->now, DISK_PAGE_BYTES);
    }
    for (size_t s = at / DISK_SECTOR_BYTES; s <= (at + size - 1) / DISK_SECTOR_BYTES; s++) {
        page->unsynced |= (uint8_t)(1u << s);
        page->doomed &= (uint8_t) ~(1u << s);
    }
}

static void page_sector_reached_disk(struct disk_page *page, size_t sector) {
    size_t at = sector * DISK_SECTOR_BYTES;
    memcpy(page->before + at, page->now + at, DISK_SECTOR_BYTES);
    page->unsynced &= (uint8_t) ~(1u << sector);
}

static void page_drop_before(struct disk_page *page) {
    if (page->unsynced) return;
    free(page->before);
    page->before = NULL;
}

static struct disk_page *file_page(struct disk *d, struct disk_node *file, size_t index) {
    if (index >= file->page_count) {
        size_t count = index + index / 2 + 8;
        file->pages = must(realloc(file->pages, count * sizeof *file->pages));
        memset(file->pages + file->page_count, 0, (count - file->page_count) * sizeof *file->pages);
        file->page_count = count;
    }
    struct disk_page *page = file->pages[index];
    if (page && page->allocated) return page;
    if (d->capacity && disk_used(d) + DISK_PAGE_BYTES > d->capacity) return NULL;
    if (!page) page = file->pages[index] = must(calloc(1, sizeof *page));
    page->allocated = true;
    return page;
}

/* The system writes dirty pages when it likes, so that a sector may reach the platter between two writes to it. */
static void write_back_some(struct disk *d, struct disk_node *file, struct disk_page *page) {
    enum { ONE_IN = 32 };
    if (file->floor != UINT64_MAX || disk_random(d, ONE_IN) != 0) return;
    for (size_t s = 0; s < DISK_PAGE_SECTORS; s++)
        if ((page->unsynced & ~page->doomed) >> s & 1 && coin(d)) page_sector_reached_disk(page, s);
    page_drop_before(page);
}

size_t disk_write(struct disk *d, struct disk_node *file, const void *data, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        size_t index = (size_t)((offset + done) / DISK_PAGE_BYTES), at = (size_t)((offset + done) % DISK_PAGE_BYTES);
        size_t part = smaller(size - done, DISK_PAGE_BYTES - at);
        struct disk_page *page = file_page(d, file, index);
        if (!page) return done;
        page_touch(page, at, part);
        memcpy(page->now + at, (const char *)data + done, part);
        done += part;
        if (offset + done > file->size) file->size = offset + done;
        write_back_some(d, file, page);
    }
    return size;
}

void disk_truncate(struct disk_node *file, uint64_t size) {
    for (size_t i = 0; i < file->page_count; i++) {
        uint64_t start = (uint64_t)i * DISK_PAGE_BYTES;
        struct disk_page *page = file->pages[i];
        if (!page || start + DISK_PAGE_BYTES <= size) continue;
        size_t at = size > start ? (size_t)(size - start) : 0;
        page_touch(page, at, DISK_PAGE_BYTES - at);
        memset(page->now + at, 0, DISK_PAGE_BYTES - at);
        if (at == 0) page->allocated = false;
    }
    if (size < file->size && size < file->floor) file->floor = size;
    file->size = size;
}

bool disk_flip_bit(struct disk_node *file, uint64_t offset, unsigned bit) {
    size_t index = (size_t)(offset / DISK_PAGE_BYTES), at = (size_t)(offset % DISK_PAGE_BYTES);
    struct disk_page *page = index < file->page_count ? file->pages[index] : NULL;
    if (!page) return false;
    page->now[at] ^= (uint8_t)(1u << bit);
    if (page->before) page->before[at] ^= (uint8_t)(1u << bit);
    return true;
}

/* ---- syncing ---------------------------------------------------------------------------------------------------- */

void disk_sync(struct disk_node *file) {
    for (size_t i = 0; i < file->page_count; i++) {
        struct disk_page *page = file->pages[i];
        if (!page || !page->unsynced) continue;
        for (size_t s = 0; s < DISK_PAGE_SECTORS; s++)
            if ((page->unsynced & ~page->doomed) >> s & 1) page_sector_reached_disk(page, s);
        page_drop_before(page);
    }
    file->synced_size = file->size;
    file->floor = UINT64_MAX;
}

void disk_sync_failed(struct disk *d, struct disk_node *file) {
    for (size_t i = 0; i < file->page_count; i++) {
        struct disk_page *page = file->pages[i];
        if (!page || !page->unsynced) continue;
        for (size_t s = 0; s < DISK_PAGE_SECTORS; s++)
            if (page->unsynced >> s & 1 && coin(d)) page->doomed |= (uint8_t)(1u << s);
    }
}

void disk_sync_directory(struct disk *d, struct disk_node *directory) {
    size_t kept = 0;
    for (size_t i = 0; i < d->change_count; i++) {
        struct disk_change *change = &d->changes[i];
        if (change->from_directory == directory || change->to_directory == directory) {
            apply(change, true);
            change_destroy(change);
        } else {
            d->changes[kept++] = *change;
        }
    }
    d->change_count = kept;
    disk_collect(d);
}

/* ---- power cut -------------------------------------------------------------------------------------------------- */

/* How much of what was not synced survives in one file or directory: a share in 256ths; the ends are frequent. */
static unsigned surviving_share(struct disk *d) {
    switch (disk_random(d, 4)) {
    case 0: return 0;
    case 1: return 256;
    default: return (unsigned)disk_random(d, 257);
    }
}

/* One unsynced sector: the new bytes, the old ones, or new ones up to a point and old ones from there on. */
static void settle_sector(struct disk *d, struct disk_page *page, size_t sector, unsigned share) {
    enum { TORN_ONE_IN = 8 };
    uint8_t *now = page->now + sector * DISK_SECTOR_BYTES;
    const uint8_t *before = page->before + sector * DISK_SECTOR_BYTES;
    bool survives = disk_random(d, 256) < share && !(page->doomed >> sector & 1);
    size_t new_bytes = survives ? DISK_SECTOR_BYTES : 0;
    if (share > 0 && share < 256 && disk_random(d, TORN_ONE_IN) == 0) new_bytes = disk_random(d, DISK_SECTOR_BYTES);
    memcpy(now + new_bytes, before + new_bytes, DISK_SECTOR_BYTES - new_bytes);
}

/* Bytes of the page that lie at or after `end` in the file become zeros on the platter. */
static void cut_before(struct disk_page *page, uint64_t start, uint64_t end) {
    if (start + DISK_PAGE_BYTES <= end || !page->before) return;
    size_t at = end > start ? (size_t)(end - start) : 0;
    memset(page->before + at, 0, DISK_PAGE_BYTES - at);
}

static void settle_page(struct disk *d, struct disk_node *file, size_t index, unsigned share, bool shrink_lost) {
    struct disk_page *page = file->pages[index];
    uint64_t start = (uint64_t)index * DISK_PAGE_BYTES;
    if (!shrink_lost) cut_before(page, start, file->floor);
    for (size_t s = 0; s < DISK_PAGE_SECTORS; s++) {
        if (!(page->unsynced >> s & 1)) continue;
        /* A file system that lost a shrinking has lost what was written past it, too. */
        bool gone = shrink_lost && start + (s + 1) * DISK_SECTOR_BYTES > file->floor;
        settle_sector(d, page, s, gone ? 0 : share);
    }
    page->unsynced = page->doomed = 0;
    page_drop_before(page);
}

static void settle_file(struct disk *d, struct disk_node *file, bool lose_all) {
    unsigned share = lose_all ? 0 : surviving_share(d);
    bool shrank = file->floor < file->synced_size;
    bool shrink_lost = shrank && (share == 0 || (share < 256 && coin(d)));
    uint64_t base = shrank && !shrink_lost ? file->floor : file->synced_size;
    uint64_t size = base;
    if (!shrink_lost && file->size > base) {
        uint64_t grown = file->size - base;
        size = share == 0 ? base : share == 256 || coin(d) ? file->size : base + disk_random(d, grown + 1);
    }
    for (size_t i = 0; i < file->page_count; i++)
        if (file->pages[i]) settle_page(d, file, i, share, shrink_lost);
    disk_truncate(file, size);
    for (size_t i = 0; i < file->page_count; i++) {
        struct disk_page *page = file->pages[i];
        if (!page) continue;
        page->unsynced = 0;
        page_drop_before(page);
        page->allocated = (uint64_t)i * DISK_PAGE_BYTES < size;
    }
    file->synced_size = size;
    file->floor = UINT64_MAX;
}

/* Decides which changes of names reached the platter: of each directory a prefix, as a journal would, or any subset. */
static void settle_changes(struct disk *d, bool lose_all) {
    for (struct disk_node *directory = d->nodes; directory; directory = directory->next) {
        if (!directory->is_directory) continue;
        unsigned share = lose_all ? 0 : surviving_share(d);
        bool ended = false;
        for (size_t i = 0; i < d->change_count; i++) {
            struct disk_change *change = &d->changes[i];
            struct disk_node *owner = change->to_directory ? change->to_directory : change->from_directory;
            if (owner != directory) continue;
            bool survives = disk_random(d, 256) < share;
            if (!survives) ended = true;
            if (survives && (d->any_subset || !ended)) apply(change, true);
        }
    }
    for (size_t i = 0; i < d->change_count; i++) change_destroy(&d->changes[i]);
    d->change_count = 0;
}

void disk_power_cut(struct disk *d) {
    enum { LOSE_ALL_ONE_IN = 8 };
    bool lose_all = disk_random(d, LOSE_ALL_ONE_IN) == 0;
    settle_changes(d, lose_all);
    for (struct disk_node *node = d->nodes; node; node = node->next) {
        if (!node->is_directory) {
            settle_file(d, node, lose_all);
            continue;
        }
        names_clear(&node->now);
        for (size_t i = 0; i < node->synced.count; i++)
            names_set(&node->now, node->synced.list[i].name, node->synced.list[i].node);
    }
    disk_collect(d);
}

/* ---- what is alive ---------------------------------------------------------------------------------------------- */

static void mark(struct disk_node *node, bool synced_too) {
    if (node->marked) return;
    node->marked = true;
    for (size_t i = 0; i < node->now.count; i++) mark(node->now.list[i].node, synced_too);
    for (size_t i = 0; synced_too && i < node->synced.count; i++) mark(node->synced.list[i].node, true);
}

static void mark_living(struct disk *d, bool synced_too) {
    for (struct disk_node *node = d->nodes; node; node = node->next) node->marked = false;
    mark(d->root, synced_too);
    for (struct disk_node *node = d->nodes; node; node = node->next)
        if (node->handles) mark(node, synced_too);
}

uint64_t disk_used(struct disk *d) {
    uint64_t used = 0;
    mark_living(d, false);
    for (struct disk_node *node = d->nodes; node; node = node->next)
        for (size_t i = 0; node->marked && i < node->page_count; i++)
            if (node->pages[i] && node->pages[i]->allocated) used += DISK_PAGE_BYTES;
    return used;
}

static void node_free(struct disk_node *node) {
    for (size_t i = 0; i < node->page_count; i++) {
        if (!node->pages[i]) continue;
        free(node->pages[i]->before);
        free(node->pages[i]);
    }
    free(node->pages);
    names_clear(&node->now);
    names_clear(&node->synced);
    free(node);
}

void disk_collect(struct disk *d) {
    mark_living(d, true);
    for (size_t i = 0; i < d->change_count; i++) {
        mark(d->changes[i].node, true);
        if (d->changes[i].from_directory) mark(d->changes[i].from_directory, true);
        if (d->changes[i].to_directory) mark(d->changes[i].to_directory, true);
    }
    for (struct disk_node **link = &d->nodes; *link;) {
        struct disk_node *node = *link;
        if (node->marked) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        node_free(node);
    }
}

void disk_destroy(struct disk *d) {
    for (size_t i = 0; i < d->change_count; i++) change_destroy(&d->changes[i]);
    free(d->changes);
    while (d->nodes) {
        struct disk_node *next = d->nodes->next;
        node_free(d->nodes);
        d->nodes = next;
    }
}
