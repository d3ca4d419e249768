/* engine_velocity.c - Velocity, through its public header alone. */
#include "bench.h"
#include "engine/velocity.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    velocity *db;
    velocity_batch **batches; /* one for each slot */
    struct slot_call {
        bench_done done;
        void *arg;
    } * calls;
    uint32_t slots;
} session;

static void check(velocity_status status, const char *what) {
    if (status != VELOCITY_OK)
        bench_fail("velocity: %s: %s: %s", what, velocity_status_name(status), velocity_error_message());
}

static velocity *open_as(const bench_settings *settings, velocity_compression compression, velocity_slice key) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = BENCH_MEMTABLE_BYTES;
    options.cache_bytes = BENCH_CACHE_BYTES;
    options.bloom_false_positive_rate = BENCH_FALSE_POSITIVE_RATE;
    options.compression = compression;
    options.encryption_key = key;
    options.durability = settings->durable ? VELOCITY_DURABILITY_ALWAYS : VELOCITY_DURABILITY_OS;
    velocity *db;
    check(velocity_open(settings->directory, &options, &db), "open");
    return db;
}

static void *open_db(const bench_settings *settings) {
    return open_as(settings, VELOCITY_COMPRESSION_LZ4, velocity_str(""));
}

static void *open_encrypted(const bench_settings *settings) {
    return open_as(settings, VELOCITY_COMPRESSION_LZ4, velocity_bytes("0123456789abcdef0123456789abcdef", 32));
}

static void *open_raw(const bench_settings *settings) {
    return open_as(settings, VELOCITY_COMPRESSION_NONE, velocity_str(""));
}

static void *open_zstd(const bench_settings *settings) {
    return open_as(settings, VELOCITY_COMPRESSION_ZSTD, velocity_str(""));
}

static void *open_adaptive(const bench_settings *settings) {
    return open_as(settings, VELOCITY_COMPRESSION_ADAPTIVE, velocity_str(""));
}

static void close_db(void *db) {
    check(velocity_close(db), "close");
}

static void *session_new(void *db) {
    session *s = calloc(1, sizeof *s);
    if (!s) bench_fail("no memory");
    s->db = db;
    return s;
}

static void session_free(void *arg) {
    session *s = arg;
    for (uint32_t i = 0; i < s->slots; i++) velocity_batch_free(s->batches[i]);
    free(s->batches);
    free(s->calls);
    free(s);
}

static void put(void *arg, const char *key, const void *value, size_t size) {
    session *s = arg;
    check(velocity_put(s->db, velocity_bytes(key, BENCH_KEY_BYTES), velocity_bytes(value, size)), "put");
}

static void remove_key(void *arg, const char *key) {
    session *s = arg;
    check(velocity_delete(s->db, velocity_bytes(key, BENCH_KEY_BYTES)), "delete");
}

static void remove_range(void *arg, const char *from, const char *to) {
    session *s = arg;
    check(velocity_delete_range(s->db, velocity_bytes(from, BENCH_KEY_BYTES), velocity_bytes(to, BENCH_KEY_BYTES)),
          "delete_range");
}

static bool get(void *arg, const char *key, uint64_t *sum) {
    session *s = arg;
    velocity_value value;
    velocity_status status = velocity_get(s->db, velocity_bytes(key, BENCH_KEY_BYTES), &value);
    if (status == VELOCITY_NOT_FOUND) return false;
    check(status, "get");
    *sum += bench_touch(value.data, value.size);
    velocity_value_release(&value);
    return true;
}

static int64_t copy(void *arg, const char *key, void *buffer, size_t capacity) {
    session *s = arg;
    velocity_value value;
    velocity_status status = velocity_get(s->db, velocity_bytes(key, BENCH_KEY_BYTES), &value);
    if (status == VELOCITY_NOT_FOUND) return -1;
    check(status, "get");
    int64_t size = (int64_t)value.size;
    memcpy(buffer, value.data, value.size < capacity ? value.size : capacity);
    velocity_value_release(&value);
    return size;
}

static uint64_t scan(void *arg, const char *start, uint64_t rows, uint64_t *sum) {
    session *s = arg;
    velocity_range range = velocity_range_default();
    if (start) range.start = velocity_bytes(start, BENCH_KEY_BYTES);
    velocity_iterator *it = velocity_iterator_new(s->db, &range);
    uint64_t seen = 0;
    for (; seen < rows && velocity_iterator_valid(it); velocity_iterator_next(it), seen++) {
        velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
        *sum += bench_touch(key.data, key.size) + bench_touch(value.data, value.size);
    }
    check(velocity_iterator_status(it), "iterator");
    velocity_iterator_free(it);
    return seen;
}

static bool busy(void *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    check(velocity_stats_get(db, &stats), "stats");
    return stats.compaction_pending_bytes > 0 || stats.background_jobs > 0;
}

static void compact(void *db) {
    check(velocity_compact(db, NULL), "compact");
}

static void shed(void *db) {
    check(velocity_flush(db), "flush");
    check(velocity_set_cache_bytes(db, 0), "set_cache_bytes");
}

static void slots_new(void *arg, uint32_t slots) {
    session *s = arg;
    s->batches = calloc(slots, sizeof(velocity_batch *));
    s->calls = calloc(slots, sizeof *s->calls);
    if (!s->batches || !s->calls) bench_fail("no memory");
    for (; s->slots < slots; s->slots++)
        if (!(s->batches[s->slots] = velocity_batch_new())) bench_fail("no memory");
}

static void written(void *arg, velocity_status status, uint64_t sequence) {
    struct slot_call *call = arg;
    (void)sequence;
    check(status, "write_async");
    call->done(call->arg);
}

static bool put_slot(void *arg, uint32_t slot, const char *key, const void *value, size_t size, bench_done done,
                     void *done_arg) {
    session *s = arg;
    velocity_batch *batch = s->batches[slot];
    velocity_batch_clear(batch);
    velocity_batch_put(batch, velocity_bytes(key, BENCH_KEY_BYTES), velocity_bytes(value, size), NULL);
    s->calls[slot] = (struct slot_call){done, done_arg};
    velocity_status status = velocity_write_async(s->db, batch, NULL, written, &s->calls[slot]);
    if (status == VELOCITY_BUSY) return false;
    check(status, "write_async");
    return true;
}

#define FUNCTIONS                                                                                                      \
    .kind = BENCH_LSM, .version = velocity_version, .close = close_db, .session_new = session_new,                     \
    .session_free = session_free, .put = put, .remove = remove_key, .remove_range = remove_range, .get = get,          \
    .copy = copy, .scan = scan, .busy = busy, .compact = compact, .shed = shed, .slots_new = slots_new,                \
    .put_slot = put_slot

extern const bench_engine bench_velocity, bench_velocity_variants[];
const bench_engine bench_velocity = {
    FUNCTIONS,           .id = "velocity",
    .title = "Velocity", .configuration = "lz4, false positives 1%; not synced: durability OS",
    .open = open_db,
};
/* The same with one thing changed, to see what that costs. */
const bench_engine bench_velocity_variants[] = {
    {FUNCTIONS, .id = "velocity-encrypted", .title = "encrypted", .configuration = "encrypted", .open = open_encrypted,
     .on_request = true},
    {FUNCTIONS, .id = "velocity-raw", .title = "raw", .configuration = "not compressed", .open = open_raw,
     .on_request = true},
    {FUNCTIONS, .id = "velocity-zstd", .title = "zstd", .configuration = "zstd", .open = open_zstd, .on_request = true},
    {FUNCTIONS, .id = "velocity-adaptive", .title = "adaptive", .configuration = "adaptive compression",
     .open = open_adaptive, .on_request = true},
};
