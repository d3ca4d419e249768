/*
 * manifest_fuzz.c - any payloads as records of a manifest, each with its right checksum, so that what takes them apart
 * is reached; then a byte of the file changed, so that what tells a tail from damage is.
 */
#include "engine/manifest.h"
#include "tests/fuzz/engine_fuzz.h"

#include "engine/coding.h"

enum { RECORD_HEADER_BYTES = 8, RECORDS_MAX = 64 };

static const uint64_t database_id[2] = {3, 4};

static size_t append_record(uint8_t *file, size_t at, uint64_t seed, velocity_slice payload) {
    uint8_t *record = file + at;
    put_u32(record, (uint32_t)payload.size);
    memcpy(record + RECORD_HEADER_BYTES, payload.data, payload.size);
    uint32_t checksum = file_block_checksum(seed, at, record, 4);
    put_u32(record + 4, file_block_checksum(checksum, at, record + RECORD_HEADER_BYTES, payload.size));
    return at + RECORD_HEADER_BYTES + payload.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    env_sim *sim = env_sim_new(1);
    env *e = env_sim_env(sim);
    fuzz_must(env_make_directory(e, "db"));
    uint8_t current[FILE_HEADER_BYTES],
        *file = fuzz_buffer(FILE_HEADER_BYTES + size + RECORDS_MAX * RECORD_HEADER_BYTES);
    (void)fuzz_header(e, FILE_CURRENT, 0, database_id, 5, current);
    fuzz_file(e, "db/CURRENT", current, sizeof current);
    uint64_t seed = fuzz_header(e, FILE_MANIFEST, 5, database_id, 0, file);
    uint64_t change_at = fuzz_number(&in, 2), change = fuzz_number(&in, 1);
    size_t at = FILE_HEADER_BYTES;
    for (int i = 0; i < RECORDS_MAX && in.left; i++) {
        velocity_slice payload = fuzz_bytes(&in, 1 + fuzz_number(&in, 2) % 1024);
        if (payload.size) at = append_record(file, at, seed, payload);
    }
    if (change_at < at) file[change_at] ^= (uint8_t)change;
    fuzz_file(e, "db/MANIFEST-00000005", file, at);
    struct manifest_state state;
    velocity_status status = manifest_load(e, "db", NULL, &state);
    CHECK(status == VELOCITY_OK || fuzz_is_refusal(status));
    manifest_state_clear(&state);
    CHECK(env_sim_open_files(sim) == 0);
    env_sim_free(sim);
    free(file);
    return 0;
}
