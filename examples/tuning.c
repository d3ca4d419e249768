/*
 * tuning.c - the options that matter, what they trade, and the figures that tell whether they help. The defaults suit
 * most: change one thing, for a reason that velocity_stats shows.
 */
#include "example.h"

#include <string.h>

static void load(velocity *db, int rows, const velocity_write_options *how) {
    char key[32], value[200];
    memset(value, 'v', sizeof value);
    velocity_batch *batch = velocity_batch_new();
    if (!batch) exit(1);
    for (int i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "row:%08d", i);
        velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), NULL);
        if (velocity_batch_count(batch) < 500 && i + 1 < rows) continue;
        MUST(velocity_write(db, batch, how, NULL)); /* one log record and one sync for 500 rows */
        velocity_batch_clear(batch);
    }
    velocity_batch_free(batch);
}

int main(int argc, char **argv) {
    velocity *db;

    /* What several databases of a process share, so that together they stay within one budget. */
    velocity_shared_options shared_options = velocity_shared_options_default();
    shared_options.cache_bytes = 32u << 20; /* hot data, and all indexes and filters: the more, the fewer disk reads */
    shared_options.max_open_files = 200;    /* descriptors that tables may take */
    shared_options.background_threads = 2;  /* flush and compaction */
    shared_options.memtable_bytes = 64u << 20; /* write buffers of all databases together */
    velocity_shared *shared = velocity_shared_new(&shared_options);
    if (!shared) return 1;

    velocity_options options = velocity_options_default();
    options.shared = shared;
    options.memtable_bytes = 1u << 20; /* small here, to see flushes; large: fewer, larger ones, more memory */
    options.bloom_false_positive_rate =
        0.001; /* lookups of absent keys that cost a read; 14 bits a key instead of 10 */
    options.compression = VELOCITY_COMPRESSION_LZ4; /* NONE where values do not compress */
    options.durability = VELOCITY_DURABILITY_ALWAYS;
    MUST(velocity_open(argc > 1 ? argv[1] : "tuning.db", &options, &db));

    /* A load that can be begun again need not wait for the disk: each write may choose. The flush makes it durable. */
    velocity_write_options relaxed = velocity_write_options_default();
    relaxed.durability = VELOCITY_DURABILITY_OS;
    load(db, 20000, &relaxed);
    MUST(velocity_flush(db));
    MUST(velocity_compact(db, NULL)); /* one sorted run: the least space, the fastest reads */

    velocity_value value;
    for (int i = 0; i < 1000; i++)
        if (velocity_get(db, velocity_str("row:absent"), &value) == VELOCITY_OK) return 1;

    velocity_stats stats = {.struct_size = sizeof stats};
    MUST(velocity_stats_get(db, &stats));
    printf("entries %llu, tables in level 0: %llu\n", (unsigned long long)stats.table_entries,
           (unsigned long long)stats.level_tables[0]);
    printf("compressed to less than half: %s\n", stats.table_bytes * 2 < stats.table_raw_bytes ? "yes" : "no");
    MUST(velocity_close(db));
    velocity_shared_free(shared); /* after its databases */
    return 0;
}
