/* value_file.c - see value_file.h. */
#include "value_file.h"

#include "open_files.h"
#include "slice.h"
#include "status.h"

enum { SMALL_RECORD_BYTES = 12 * 1024 }; /* read into the stack where it has to be decompressed */

struct value_file {
    table_files *files;
    char *path;
    uint64_t database_id[2];
    uint64_t cache_id; /* names the file's values in the cache */
    struct value_file_meta meta;
    struct open_file file;
    const key_ring *keys;
    _Atomic uint32_t references;
    _Atomic bool doomed, damaged, loaded;
    /* Valid once loaded: */
    uint64_t seed;
    cipher *cipher; /* NULL: not encrypted */
    bool old_key;
};

static velocity_status damage(const struct value_file *f, uint64_t offset, const char *what) {
    return status_set(VELOCITY_CORRUPT, "%s: offset %llu: %s", f->path, (unsigned long long)offset, what);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static struct value_file *of_file(struct open_file *file) {
    return (struct value_file *)((char *)file - offsetof(struct value_file, file));
}

static velocity_status check_opened(struct open_file *opened, env_file *file) {
    struct value_file *f = of_file(opened);
    if (atomic_load(&f->loaded)) return VELOCITY_OK;
    struct file_header header;
    uint64_t size;
    velocity_status status = file_header_read(file, FILE_VALUES, f->path, &header);
    if (!status) status = env_size(file, &size);
    if (status) return status;
    if (memcmp(header.database_id, f->database_id, sizeof f->database_id) != 0)
        return damage(f, 0, "the file belongs to another database");
    if (header.number != f->meta.number || memcmp(header.uid, f->meta.uid, sizeof header.uid) != 0)
        return damage(f, 0, "this is not the file that the manifest names");
    if (size < f->meta.file_bytes) return damage(f, size, "the file is shorter than the manifest says");
    f->seed = file_seed(&header);
    f->old_key = !key_ring_is_present(f->keys, &header);
    status = cipher_of(f->keys, &header, f->path, &f->cipher);
    if (!status) atomic_store_explicit(&f->loaded, true, memory_order_release);
    return status;
}

/* The values that the cache has of it age out: which they are, nobody remembers. */
static void destroy(struct open_file *file) {
    struct value_file *f = of_file(file);
    open_file_close(&f->file, atomic_load(&f->doomed));
    cipher_free(f->cipher);
    env_free(f->path);
    env_free(f);
}

velocity_status value_file_new(env *e, table_files *files, const char *folder, const uint64_t database_id[2],
                               const key_ring *keys, const struct value_file_meta *meta, struct value_file **out) {
    struct value_file *f = env_alloc_zeroed(sizeof *f);
    char *path = file_path(folder, FILE_VALUES, meta->number);
    if (!f || !path) {
        env_free(f);
        env_free(path);
        return VELOCITY_NO_MEMORY;
    }
    f->files = files;
    f->keys = keys;
    f->path = path;
    memcpy(f->database_id, database_id, sizeof f->database_id);
    f->cache_id = table_files_new_cache_id(files);
    f->meta = *meta;
    atomic_init(&f->references, 1);
    open_file_init(&f->file, e, path, check_opened, destroy);
    *out = f;
    return VELOCITY_OK;
}

const struct value_file_meta *value_file_meta(const struct value_file *f) {
    return &f->meta;
}

velocity_status value_file_ensure_loaded(struct value_file *f) {
    env_file *file;
    epoch_enter();
    velocity_status status = open_file_get(table_files_open(f->files), &f->file, &file);
    epoch_leave();
    return status;
}

bool value_file_has_old_key(const struct value_file *f) {
    return atomic_load_explicit(&f->loaded, memory_order_acquire) && f->old_key;
}

void value_file_acquire(struct value_file *f) {
    atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
}

void value_file_release(struct value_file *f) {
    if (f && atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
        open_file_leave(table_files_open(f->files), &f->file, atomic_load(&f->doomed));
}

void value_file_doom(struct value_file *f) {
    atomic_store(&f->doomed, true);
}

void value_file_mark_damaged(struct value_file *f) {
    atomic_store(&f->damaged, true);
}

bool value_file_is_damaged(const struct value_file *f) {
    return atomic_load(&f->damaged);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* What the record takes, if it lies in the file. */
static velocity_status check_place(const struct value_file *f, struct value_reference r, velocity_slice key,
                                   size_t *size) {
    uint64_t bytes = value_record_bytes(r, key.size), end = r.offset + bytes;
    if (r.offset < FILE_HEADER_BYTES || end > f->meta.file_bytes || end < r.offset)
        return damage(f, r.offset, "a value lies outside of the file");
    *size = (size_t)bytes;
    return VELOCITY_OK;
}

/* Reads the record and proves that it is the one that is meant. */
static velocity_status read_record(struct value_file *f, env_file *file, struct value_reference r, velocity_slice key,
                                   uint64_t sequence, uint8_t *to, size_t size, struct value_record *out) {
    size_t got;
    velocity_status status = env_read(file, to, size, r.offset, &got);
    if (status) return status;
    if (got < size) return damage(f, r.offset, "the file ends inside a value");
    struct value_place place = {f->seed, r.offset, f->cipher};
    status = value_record_decode(to, size, &place, out);
    if (status == VELOCITY_CORRUPT) return damage(f, r.offset, "a value's checksum is wrong");
    if (status) return status;
    if (out->sequence != sequence || out->raw_bytes != r.raw_bytes || !slice_equal(out->key, key))
        return damage(f, r.offset, "a value is another one than the table refers to");
    return VELOCITY_OK;
}

/* A raw record is read to where it stays: its value is the last part of the entry, and of an unpacked one all of it. */
static velocity_status load_raw(struct value_file *f, env_file *file, struct value_reference r, velocity_slice key,
                                uint64_t sequence, size_t size, struct cache_entry **out) {
    struct value_record record;
    struct cache_entry *entry = cache_entry_new(table_files_cache(f->files), (uint32_t)size);
    if (!entry) return VELOCITY_NO_MEMORY;
    velocity_status status = read_record(f, file, r, key, sequence, cache_entry_data(entry), size, &record);
    if (status)
        cache_entry_release(entry);
    else
        *out = entry;
    return status;
}

static velocity_status unpack_record(struct value_file *f, uint64_t offset, const struct value_record *record,
                                     struct cache_entry **out) {
    struct cache_entry *entry = cache_entry_new(table_files_cache(f->files), record->raw_bytes);
    if (!entry) return VELOCITY_NO_MEMORY;
    velocity_status status = unpack(table_files_unpackers(f->files), record->packing, record->stored.data,
                                    record->stored.size, cache_entry_data(entry), record->raw_bytes);
    if (status == VELOCITY_CORRUPT) status = damage(f, offset, "a value does not decompress");
    if (status)
        cache_entry_release(entry);
    else
        *out = entry;
    return status;
}

static velocity_status load_packed(struct value_file *f, env_file *file, struct value_reference r, velocity_slice key,
                                   uint64_t sequence, size_t size, struct cache_entry **out) {
    struct value_record record;
    uint8_t small[SMALL_RECORD_BYTES];
    uint8_t *bytes = size <= sizeof small ? small : env_alloc(size);
    if (!bytes) return VELOCITY_NO_MEMORY;
    velocity_status status = read_record(f, file, r, key, sequence, bytes, size, &record);
    if (!status) status = unpack_record(f, r.offset, &record, out);
    if (bytes != small) env_free(bytes);
    return status;
}

static velocity_status load(struct value_file *f, struct value_reference r, velocity_slice key, uint64_t sequence,
                            struct cache_entry **out) {
    size_t size = 0;
    env_file *file;
    velocity_status status = check_place(f, r, key, &size);
    if (!status) status = open_file_get(table_files_open(f->files), &f->file, &file);
    if (status) return status;
    return r.stored_bytes == r.raw_bytes + cipher_overhead(f->cipher)
               ? load_raw(f, file, r, key, sequence, size, out)
               : load_packed(f, file, r, key, sequence, size, out);
}

velocity_status value_file_get(struct value_file *f, struct value_reference r, velocity_slice key, uint64_t sequence,
                               const struct table_read *read, struct held_block *held, velocity_slice *value) {
    cache *c = table_files_cache(f->files);
    held->owned = false;
    held->entry = cache_lookup(c, f->cache_id, r.offset);
    if (!held->entry) {
        if (read->cache_only) return status_set(VELOCITY_INCOMPLETE, "%s: the value is not in the cache", f->path);
        velocity_status status = load(f, r, key, sequence, &held->entry);
        if (status) return status;
        held->owned = true;
        if (read->fill_cache) cache_insert(c, held->entry, f->cache_id, r.offset, CACHE_VALUE);
    }
    uint64_t bytes = held->entry->size, before = bytes == r.raw_bytes ? 0 : VALUE_RECORD_HEADER_BYTES + key.size;
    if (before + r.raw_bytes > bytes) return damage(f, r.offset, "two references differ about one value");
    *value = velocity_bytes((const uint8_t *)cache_entry_data(held->entry) + before, r.raw_bytes);
    return VELOCITY_OK;
}

velocity_status value_file_read(struct value_file *f, struct value_reference r, velocity_slice key, uint64_t sequence,
                                uint8_t **bytes, struct value_record *out) {
    size_t size = 0;
    env_file *file;
    velocity_status status = check_place(f, r, key, &size);
    if (status) return status;
    if (!(*bytes = env_alloc(size))) return VELOCITY_NO_MEMORY;
    epoch_enter();
    status = open_file_get(table_files_open(f->files), &f->file, &file);
    if (!status) status = read_record(f, file, r, key, sequence, *bytes, size, out);
    epoch_leave();
    if (status) {
        env_free(*bytes);
        *bytes = NULL;
    }
    return status;
}
