/*
 * value_fuzz.c - a value file as the engine writes it, plain or encrypted, with bytes changed anywhere and the
 * checksums of its records made right again, and references that were changed, too: reading refuses or answers a value
 * of just the size that the reference tells. What nothing was changed about comes back. And any bytes as references and
 * as lists of them.
 */
#include "engine/coding.h"
#include "engine/value_file.h"
#include "tests/fuzz/engine_fuzz.h"

enum {
    RECORDS_MAX = 6,
    KEY_MAX = 40,
    VALUE_MAX = 600, /* what could unpack to more than the fuzzer may allocate is not written */
    CHANGES_MAX = 12,
    FILE_MAX = FILE_HEADER_BYTES + RECORDS_MAX * (VALUE_RECORD_HEADER_BYTES + KEY_MAX + VALUE_MAX + CIPHER_TAG_BYTES)
};

static const uint64_t database_id[2] = {3, 4};
static const char path[] = "db/00000007.val";

struct placed {
    struct value_reference reference;
    uint8_t key[KEY_MAX], value[VALUE_MAX];
    size_t key_bytes;
    uint64_t sequence;
    bool changed; /* the reference, the key or the sequence */
};

struct values {
    key_ring *ring; /* NULL: nothing is encrypted */
    uint64_t seed;
    struct value_file_meta meta;
    uint8_t bytes[FILE_MAX];
    size_t size;
    struct placed placed[RECORDS_MAX];
    size_t count;
    bool changed; /* the bytes */
};

static cipher *begin(env *e, struct fuzz_input *in, struct values *v) {
    velocity_options options = velocity_options_default();
    struct file_header header = {.kind = FILE_VALUES, .number = 7, .database_id = {3, 4}};
    cipher *cipher;
    if (fuzz_number(in, 1) & 1) options.encryption_key = velocity_str("thirty-two bytes for all records");
    fuzz_must(key_ring_new(&options, &v->ring));
    fuzz_must(key_ring_bind(v->ring, database_id));
    fuzz_must(cipher_new(e, v->ring, &header, v->bytes, &cipher));
    v->seed = file_seed(&header);
    v->size = FILE_HEADER_BYTES;
    memcpy(v->meta.uid, header.uid, sizeof v->meta.uid);
    v->meta.number = header.number;
    return cipher;
}

static size_t random_value(struct fuzz_input *in, uint8_t *out) {
    size_t size = fuzz_number(in, 2) % VALUE_MAX;
    velocity_slice some = fuzz_bytes(in, 1 + fuzz_number(in, 1) % 32);
    for (size_t i = 0; i < size; i++) out[i] = some.size ? ((const uint8_t *)some.data)[i % some.size] : 0;
    return size;
}

static void append(struct fuzz_input *in, struct values *v, struct packer *packer, cipher *cipher) {
    struct placed *p = &v->placed[v->count++];
    struct value_place place = {v->seed, v->size, cipher};
    enum packing packing;
    velocity_slice key = fuzz_bytes(in, 1 + fuzz_number(in, 1) % (KEY_MAX - 1)), stored;
    size_t size = random_value(in, p->value);
    packer->compression = (velocity_compression)(fuzz_number(in, 1) % 3);
    fuzz_must(packer_pack(packer, velocity_bytes(p->value, size), &stored, &packing));
    p->sequence = fuzz_number(in, 1);
    p->key_bytes = key.size;
    memcpy(p->key, key.data, key.size);
    struct value_record record = {.key = key,
                                  .stored = stored,
                                  .sequence = p->sequence,
                                  .flags = 9,
                                  .raw_bytes = (uint32_t)size,
                                  .packing = (uint8_t)packing};
    uint8_t *to = v->bytes + v->size;
    p->reference = (struct value_reference){.file = 7,
                                            .offset = v->size,
                                            .raw_bytes = record.raw_bytes,
                                            .stored_bytes = (uint32_t)stored.size + cipher_overhead(cipher)};
    if (cipher) {
        fuzz_must(value_record_seal(&record, &place, to));
    } else {
        value_record_encode(&record, &place, to);
        memcpy(to + VALUE_RECORD_HEADER_BYTES, key.data, key.size);
        if (stored.size) memcpy(to + VALUE_RECORD_HEADER_BYTES + key.size, stored.data, stored.size);
    }
    v->size += value_record_bytes(p->reference, key.size);
}

static void change_reference(struct fuzz_input *in, struct placed *p) {
    uint8_t bytes[VALUE_REFERENCE_MAX_BYTES];
    size_t size = value_reference_encode(bytes, p->reference);
    bytes[fuzz_number(in, 1) % size] ^= (uint8_t)fuzz_number(in, 1);
    struct value_reference other;
    if (!value_reference_decode(velocity_bytes(bytes, size), &other)) return;
    p->reference = other;
    p->changed = true;
}

/* As whoever reads it by this reference will see it. */
static void make_whole_again(struct values *v, const struct placed *p) {
    uint64_t offset = p->reference.offset, bytes = value_record_bytes(p->reference, p->key_bytes);
    if (offset < FILE_HEADER_BYTES || offset > v->size || bytes > v->size - offset) return;
    uint8_t *record = v->bytes + offset;
    uint64_t before = get_u64(record);
    put_u32(record, file_block_checksum(v->seed, offset, record + 8, VALUE_RECORD_HEADER_BYTES - 8));
    put_u32(record + 4, file_block_checksum(get_u32(record), offset, record + VALUE_RECORD_HEADER_BYTES,
                                            bytes - VALUE_RECORD_HEADER_BYTES));
    if (get_u64(record) != before) v->changed = true;
}

static void change(struct fuzz_input *in, struct values *v) {
    for (int i = 0; i < CHANGES_MAX && in->left; i++) {
        uint64_t how = fuzz_number(in, 1);
        struct placed *p = &v->placed[how / 4 % v->count];
        if (how % 4 == 0) {
            change_reference(in, p);
        } else if (how % 4 == 1) {
            p->sequence++;
            p->changed = true;
        } else { /* mostly in a header */
            uint64_t at = how % 4 == 2 ? p->reference.offset + fuzz_number(in, 1) % VALUE_RECORD_HEADER_BYTES
                                       : fuzz_number(in, 2);
            uint8_t bits = (uint8_t)fuzz_number(in, 1);
            if (at < FILE_HEADER_BYTES || at >= v->size) continue;
            v->bytes[at] ^= bits;
            v->changed = true;
        }
    }
    for (size_t i = 0; i < v->count; i++) make_whole_again(v, &v->placed[i]);
}

/* Reads it all, so that what lies beside it is seen. */
static void look_at(const struct values *v, const struct placed *p, velocity_slice value) {
    uint8_t *copy = fuzz_buffer(value.size);
    CHECK(value.size == p->reference.raw_bytes);
    if (value.size) memcpy(copy, value.data, value.size);
    if (!v->changed) CHECK(value.size == 0 || memcmp(copy, p->value, value.size) == 0);
    free(copy);
}

static void use(struct values *v, struct value_file *file, const struct placed *p) {
    struct table_read read = {.fill_cache = true};
    struct held_block held = {NULL, false};
    struct value_record record;
    velocity_slice value, key = velocity_bytes(p->key, p->key_bytes);
    uint8_t *bytes;
    epoch_enter();
    velocity_status status = value_file_get(file, p->reference, key, p->sequence, &read, &held, &value);
    if (status == VELOCITY_OK) look_at(v, p, value);
    if (status == VELOCITY_OK && held.owned) cache_entry_release(held.entry);
    epoch_leave();
    CHECK(status == VELOCITY_OK || fuzz_is_refusal(status));
    if (!v->changed && !p->changed) fuzz_must(status);
    status = value_file_read(file, p->reference, key, p->sequence, &bytes, &record);
    CHECK(status == VELOCITY_OK || fuzz_is_refusal(status));
    if (status) return;
    CHECK(record.key.size == key.size && memcmp(record.key.data, p->key, key.size) == 0);
    CHECK(record.stored.size <= p->reference.stored_bytes && record.sequence == p->sequence);
    env_free(bytes);
}

/* Any bytes: what they decode to encodes to what decodes to the same. */
static void decode_lists(velocity_slice any) {
    const uint8_t *end = (const uint8_t *)any.data + any.size;
    struct value_reference r, again;
    struct value_uses uses, same;
    velocity_status status;
    uint8_t bytes[VALUE_REFERENCE_MAX_BYTES];
    if (value_reference_decode(any, &r)) {
        size_t size = value_reference_encode(bytes, r);
        CHECK(value_reference_decode(velocity_bytes(bytes, size), &again));
        CHECK(again.file == r.file && again.offset == r.offset && again.raw_bytes == r.raw_bytes &&
              again.stored_bytes == r.stored_bytes);
    }
    const uint8_t *p = value_uses_decode(any.data, end, &uses, &status);
    CHECK(status == (p ? VELOCITY_OK : VELOCITY_INVALID));
    if (!p) return;
    CHECK(p <= end);
    uint8_t *list = fuzz_buffer(value_uses_most_bytes(&uses)), *list_end = value_uses_encode(list, &uses);
    CHECK(value_uses_decode(list, list_end, &same, &status) == list_end && value_uses_equal(&uses, &same));
    for (size_t i = 0; i < uses.count; i++) CHECK(value_uses_find(&uses, uses.items[i].file) == i);
    value_uses_clear(&same);
    value_uses_clear(&uses);
    free(list);
}

static void build(env *e, struct fuzz_input *in, struct values *v) {
    struct packer packer = {.last_level = true};
    cipher *cipher = begin(e, in, v);
    for (uint64_t count = 1 + fuzz_number(in, 1) % RECORDS_MAX; count && in->left; count--)
        append(in, v, &packer, cipher);
    packer_clear(&packer);
    cipher_free(cipher);
    if (v->count) change(in, v);
    v->meta.records = v->count;
    v->meta.file_bytes = v->size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    velocity_slice some = fuzz_bytes(&in, fuzz_number(&in, 1) % 64);
    if (some.size) decode_lists(some);
    env_sim *sim = env_sim_new(1);
    env *e = env_sim_env(sim);
    fuzz_must(env_make_directory(e, "db"));
    struct values *v = fuzz_buffer(sizeof *v);
    memset(v, 0, sizeof *v);
    build(e, &in, v);
    fuzz_file(e, path, v->bytes, v->size);
    cache *cache = cache_new(1 << 20, 1);
    table_files *files = table_files_new(cache, 16);
    struct value_file *file;
    fuzz_must(value_file_new(e, files, "db", database_id, v->ring, &v->meta, &file));
    for (int round = 0; round < 2; round++) /* what was found stands in the cache */
        for (size_t i = 0; i < v->count; i++) use(v, file, &v->placed[i]);
    value_file_release(file);
    epoch_drain();
    table_files_free(files);
    cache_free(cache);
    epoch_drain();
    CHECK(env_sim_open_files(sim) == 0);
    key_ring_free(v->ring);
    env_sim_free(sim);
    free(v);
    return 0;
}
