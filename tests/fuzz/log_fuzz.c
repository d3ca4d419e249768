/*
 * log_fuzz.c - commit groups with any payloads, counts and sequences in up to three segments, written as the engine
 * writes them; then bytes of the files changed. Replay gives a refusal, or groups that follow one another. What
 * salvages damaged logs finds no fewer groups, and no others where nothing is refused and no damage told.
 */
#include "engine/log.h"
#include "tests/fuzz/engine_fuzz.h"

enum { SEGMENTS_MAX = 3, CAPACITY = 8192, GROUPS_MAX = 40 };

static const uint64_t database_id[2] = {3, 4};

struct replayed {
    uint64_t next, groups, damages;
    bool begun;
};

static velocity_status apply(void *arg, uint64_t number, const struct log_group *group, const uint8_t *payload) {
    struct replayed *r = arg;
    const uint8_t *p = payload, *end = payload + group->payload_bytes;
    struct entry e;
    CHECK(number >= 1 && number <= SEGMENTS_MAX);
    CHECK(!r->begun || group->first_sequence >= r->next);
    for (uint32_t i = 0; i < group->count && p; i++) p = log_operation_decode(p, end, &e);
    r->begun = true;
    r->groups++;
    r->next = group->first_sequence + group->count;
    return p == end ? VELOCITY_OK : VELOCITY_CORRUPT;
}

static velocity_status note_damage(void *arg, const struct log_damage *damage) {
    struct replayed *r = arg;
    CHECK(damage->number >= 1 && damage->number <= SEGMENTS_MAX);
    r->damages++;
    return VELOCITY_OK;
}

static void write_segment(env *e, struct fuzz_input *in, uint64_t number, uint64_t *sequence) {
    struct log *log;
    fuzz_must(log_create(e, "db", database_id, NULL, number, CAPACITY, fuzz_number(in, 1) & 1, &log));
    for (int i = 0; i < GROUPS_MAX && in->left; i++) {
        uint64_t how = fuzz_number(in, 1);
        if (how == 0) break; /* the next segment */
        velocity_slice payload = fuzz_bytes(in, fuzz_number(in, 1) * (how & 1 ? 1 : 4));
        struct log_group group = {.first_sequence = *sequence,
                                  .wall_ms = 7,
                                  .synced_through = how & 2 ? *sequence - 1 : fuzz_number(in, 1),
                                  .payload_bytes = (uint32_t)payload.size,
                                  .count = (uint32_t)fuzz_number(in, 1) % 8};
        uint8_t *to;
        if (how & 4) group.first_sequence += fuzz_number(in, 1);
        if (!log_has_room(log, payload.size)) break;
        fuzz_must(log_reserve(log, payload.size, how & 8, &to));
        if (payload.size) memcpy(to, payload.data, payload.size);
        fuzz_must(log_commit(log, &group));
        *sequence = group.first_sequence + group.count;
    }
    fuzz_must(log_sync(log, log->position));
    log_close(log);
}

static void change_bytes(env *e, struct fuzz_input *in, const char *path) {
    env_file *file;
    fuzz_must(env_open_write(e, path, &file));
    for (uint64_t changes = fuzz_number(in, 1) % 4; changes; changes--) {
        uint64_t at = fuzz_number(in, 2) % CAPACITY;
        uint8_t byte = (uint8_t)fuzz_number(in, 1);
        fuzz_must(env_write(file, &byte, 1, at));
    }
    fuzz_must(env_close(file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    env_sim *sim = env_sim_new(1);
    env *e = env_sim_env(sim);
    fuzz_must(env_make_directory(e, "db"));
    struct log_segment segments[SEGMENTS_MAX] = {0};
    size_t count = 1 + fuzz_number(&in, 1) % SEGMENTS_MAX;
    uint64_t sequence = 1, sealed = fuzz_number(&in, 1);
    struct fuzz_input changes = {in.data, in.left < 12 ? in.left : 12};
    (void)fuzz_bytes(&in, 12);
    for (size_t i = 0; i < count; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "db/%08zu.log", i + 1);
        segments[i].number = i + 1;
        if (sealed >> i & 1) segments[i].sealed_end = FILE_HEADER_BYTES + (sealed >> 3) * 8;
        write_segment(e, &in, i + 1, &sequence);
        change_bytes(e, &changes, path);
    }
    struct replayed replayed = {0};
    struct log_replay replay = {.env = e, .folder = "db", .next_sequence = 1, .apply = apply, .arg = &replayed};
    memcpy(replay.database_id, database_id, sizeof replay.database_id);
    velocity_status status = log_replay(&replay, segments, count);
    CHECK(status == VELOCITY_OK || fuzz_is_refusal(status));
    struct replayed salvaged = {0};
    replay.next_sequence = 1;
    replay.arg = &salvaged;
    fuzz_must(log_salvage(&replay, segments, count, note_damage, &salvaged));
    CHECK(salvaged.groups >= replayed.groups);
    CHECK(status || salvaged.damages || salvaged.groups == replayed.groups);
    CHECK(status != VELOCITY_CORRUPT || salvaged.damages);
    CHECK(env_sim_open_files(sim) == 0);
    env_sim_free(sim);
    return 0;
}
