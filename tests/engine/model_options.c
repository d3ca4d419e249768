/* model_options.c - random options, and random bounds of ranges. See model.h. */
#include "model.h"

/* One of three keys, or none: so files of all of them, and plain ones, stand beside one another. */
static void draw_keys(struct model *m, velocity_options *o) {
    static const char keys[][33] = {"0123456789abcdef0123456789abcdef", "a second key of thirty-two bytes.",
                                    "and a third key of the same size"};
    enum { KEYS = sizeof keys / sizeof *keys };
    static const velocity_slice all[KEYS] = {{keys[0], 32}, {keys[1], 32}, {keys[2], 32}};
    o->old_encryption_keys = all;
    o->old_encryption_key_count = KEYS;
    if (model_random(m, 3)) o->encryption_key = all[model_random(m, KEYS)];
}

static velocity_durability random_durability(struct model *m) {
    return (velocity_durability)(VELOCITY_DURABILITY_ALWAYS + model_random(m, 3));
}

velocity_options model_random_options(struct model *m) {
    static const double rates[] = {1, 0.5, 0.01, 0.0001};
    static const uint64_t thresholds[] = {0, 32, 300, 4096};
    velocity_options o = velocity_options_default();
    o.memtable_bytes = UINT64_C(65536) << model_random(m, 3);
    o.table_bytes = UINT64_C(65536) << model_random(m, 3);
    o.cache_bytes = model_random(m, 3) ? 65536 << model_random(m, 4) : 0;
    o.block_bytes = model_random(m, 2) ? 1024 : 4096;
    o.compression = (velocity_compression)model_random(m, VELOCITY_COMPRESSION_ADAPTIVE + 1);
    draw_keys(m, &o);
    o.durability = random_durability(m);
    o.interval_ms = 1 + (uint32_t)model_random(m, 1000);
    o.bloom_false_positive_rate = rates[model_random(m, 4)];
    o.compaction_threshold = 2 + (uint32_t)model_random(m, 7);
    o.max_open_files = model_random(m, 2) ? 16 : 1000;
    if (model_random(m, 4) == 0) o.max_pending_bytes = 4096;
    o.value_log_threshold = thresholds[model_random(m, 4)];
    if (model_random(m, 4)) o.log_retention_bytes = UINT64_C(16384) << model_random(m, 10);
    return o;
}

velocity_write_options model_random_write_options(struct model *m) {
    velocity_write_options options = velocity_write_options_default();
    if (model_random(m, 4) == 0) options.durability = random_durability(m);
    return options;
}

velocity_slice model_random_bound(struct model *m, uint8_t space[MODEL_BOUND_BYTES]) {
    velocity_slice key = m->keys[model_random(m, m->key_count)].bytes;
    size_t size = model_random(m, 2) ? key.size : 1 + model_random(m, key.size);
    memcpy(space, key.data, size);
    if (model_random(m, 4) == 0) space[size++] = (uint8_t)(model_random(m, 2) ? 0 : 255);
    return velocity_bytes(space, size);
}
