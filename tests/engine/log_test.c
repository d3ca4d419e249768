/*
 * log_test.c - the log: what is committed is replayed, a torn tail is dropped wherever it is torn, damage is told apart
 * from a tail by what later groups prove, and an earlier life of a file never shows.
 */
#include "engine/coding.h"
#include "engine/log_internal.h"
#include "testing.h"

#include <time.h>

static const uint64_t database_id[2] = {31, 32};

/* ---- writing --------------------------------------------------------------------------------------------------------
 */

static struct log *create(const char *folder, uint64_t number, uint64_t capacity) {
    struct log *log;
    OK(log_create(env_posix(), folder, database_id, NULL, number, capacity, number % 2,
                  &log)); /* made durable or not */
    return log;
}

/* What the operation with this sequence does. */
static struct entry operation(const uint64_t *sequence, velocity_slice value) {
    struct entry e = {.key = velocity_bytes(sequence, sizeof *sequence), .kind = ENTRY_DELETE};
    if (*sequence % 4) e.kind = ENTRY_PUT, e.value = value;
    if (*sequence % 3 == 0) e.flags = 0x12345678;
    return e;
}

/* Commits a group of puts with these sequences; answers where it began. */
static uint64_t commit(struct log *log, uint64_t first, uint32_t count, size_t value_bytes, uint64_t synced_through) {
    uint8_t *value = malloc(value_bytes + 1), *payload = NULL;
    memset(value, (int)(first & 0xff), value_bytes);
    uint64_t at = log->position;
    struct log_group group = {.first_sequence = first, .wall_ms = 5, .synced_through = synced_through, .count = count};
    for (int pass = 0; pass < 2; pass++) {
        uint8_t *p = payload;
        for (uint64_t s = first; s < first + count; s++) {
            struct entry e = operation(&s, velocity_bytes(value, value_bytes));
            if (pass)
                p = log_operation_encode(p, &e);
            else
                group.payload_bytes += (uint32_t)log_operation_bytes(&e);
        }
        if (pass == 0) {
            assert_true(log_has_room(log, group.payload_bytes));
            OK(log_reserve(log, group.payload_bytes, group.first_sequence % 2, &payload));
        } else {
            assert_int_equal(p - payload, group.payload_bytes);
        }
    }
    OK(log_commit(log, &group));
    free(value);
    return at;
}

/* ---- replaying ------------------------------------------------------------------------------------------------------
 */

struct seen {
    uint64_t groups, operations, next;
};

static velocity_status apply(void *arg, uint64_t log_number, const struct log_group *group, const uint8_t *payload) {
    struct seen *seen = arg;
    const uint8_t *p = payload, *end = payload + group->payload_bytes;
    assert_true(log_number > 0);
    assert_true(seen->next == 0 || group->first_sequence >= seen->next);
    for (uint64_t s = group->first_sequence; s < group->first_sequence + group->count; s++, seen->operations++) {
        struct entry e;
        if (!(p = log_operation_decode(p, end, &e))) return VELOCITY_CORRUPT;
        assert_int_equal(e.key.size, sizeof s);
        assert_memory_equal(e.key.data, &s, sizeof s);
        assert_int_equal(e.kind, s % 4 ? ENTRY_PUT : ENTRY_DELETE);
        assert_int_equal(e.flags, s % 3 ? 0 : 0x12345678);
        if (e.value.size) assert_int_equal(*(const uint8_t *)e.value.data, group->first_sequence & 0xff);
    }
    seen->next = group->first_sequence + group->count;
    seen->groups++;
    return p == end ? VELOCITY_OK : VELOCITY_CORRUPT;
}

static velocity_status replay(const char *folder, struct log_segment *segments, size_t count, struct seen *seen) {
    *seen = (struct seen){0};
    struct log_replay r = {.env = env_posix(), .folder = folder, .next_sequence = 1, .apply = apply, .arg = seen};
    memcpy(r.database_id, database_id, sizeof database_id);
    velocity_status status = log_replay(&r, segments, count);
    if (!status && seen->next) assert_int_equal(r.next_sequence, seen->next);
    return status;
}

static uint64_t groups_in(const char *folder, uint64_t first_log, size_t logs) {
    struct log_segment segments[4] = {{0}};
    struct seen seen;
    for (size_t i = 0; i < logs; i++) segments[i].number = first_log + i;
    OK(replay(folder, segments, logs, &seen));
    return seen.groups;
}

static void what_is_committed_is_replayed_in_order_over_segments(void **state) {
    struct log *one = create(*state, 1, 4 << 20), *two = create(*state, 2, 64 << 10);
    uint64_t sequence = 1, groups = 0;
    while (one->position < 2 << 20) { /* beyond one mapped window */
        uint32_t count = 1 + (uint32_t)(sequence % 7);
        (void)commit(one, sequence, count, sequence % 1000, 0);
        sequence += count;
        groups++;
    }
    (void)commit(one, sequence, 1, (1 << 20) + 500000, 0); /* a group larger than a window */
    (void)commit(two, sequence + 1, 3, 100, 0);
    struct log_segment segments[2] = {{.number = 1}, {.number = 2}};
    struct seen seen;
    OK(log_sync(one, one->position));
    OK(replay(*state, segments, 2, &seen));
    assert_int_equal(seen.groups, groups + 2);
    assert_int_equal(seen.operations, sequence + 3);
    assert_int_equal(segments[0].end, one->position);
    assert_int_equal(segments[1].end, two->position);
    assert_int_equal(segments[1].file_bytes, 64 << 10);
    OK(log_trim(one)); /* cuts only what was never used */
    log_close(one);
    assert_int_equal(groups_in(*state, 1, 2), groups + 2);
    OK(log_remove(two));
    assert_int_equal(files_ending(*state, ".log", NULL), 1);
}

static void a_segment_is_filled_to_its_last_byte_and_no_further(void **state) {
    struct log *log = create(*state, 1, 8192);
    uint64_t room = 8192 - FILE_HEADER_BYTES - LOG_GROUP_HEADER_BYTES;
    assert_true(log_has_room(log, room));
    assert_false(log_has_room(log, room + 1));
    size_t head = (size_t)log_operation_bytes(&(struct entry){
                      .key = velocity_bytes("12345678", 8), .value = velocity_bytes(NULL, 5000), .kind = ENTRY_PUT}) -
                  5000;
    (void)commit(log, 1, 1, room - head, 0);
    assert_int_equal(log->position, 8192);
    assert_false(log_has_room(log, 0));
    log_close(log);
    assert_int_equal(groups_in(*state, 1, 1), 1);
}

/* ---- torn tails and damage
 * -------------------------------------------------------------------------------------------- */

/* Five groups in log 1; starts[5] is the end. The last one proves what synced_through says. */
static uint8_t *five_groups(const char *folder, uint64_t synced_through, uint64_t starts[6], size_t *size) {
    struct log *log = create(folder, 1, 4096);
    for (uint64_t i = 0; i < 5; i++) starts[i] = commit(log, 1 + i * 2, 2, 13 + i, i == 4 ? synced_through : 0);
    starts[5] = log->position;
    log_close(log);
    return file_bytes(path_in(folder, "00000001.log"), size);
}

/* Groups whose bytes are all as they were, from the first on. */
static uint64_t whole_groups(const uint8_t *now, const uint8_t *then, const uint64_t starts[6]) {
    uint64_t n = 0;
    while (n < 5) {
        uint64_t bytes = LOG_GROUP_HEADER_BYTES + get_u32(then + starts[n] + 8);
        if (memcmp(now + starts[n], then + starts[n], bytes) != 0) break;
        n++;
    }
    return n;
}

static void a_tail_torn_at_any_byte_is_dropped_and_all_before_it_survives(void **state) {
    uint64_t starts[6], random = 3;
    size_t size;
    uint8_t *then = five_groups(*state, 0, starts, &size), *now = malloc(size);
    for (uint64_t cut = FILE_HEADER_BYTES; cut <= starts[5]; cut++) {
        for (int kind = 0; kind < 3; kind++) { /* never written; garbage; the file ends there */
            memcpy(now, then, size);
            if (kind == 0) memset(now + cut, 0, size - cut);
            for (size_t i = cut; kind == 1 && i < size; i++) now[i] = (uint8_t)next_random(&random);
            file_replace(path_in(*state, "00000001.log"), now, kind == 2 ? cut : size);
            if (kind == 2) memset(now + cut, 0, size - cut);
            uint64_t whole = whole_groups(now, then, starts);
            if (kind == 2 && whole &&
                starts[whole - 1] + LOG_GROUP_HEADER_BYTES + get_u32(then + starts[whole - 1] + 8) > cut)
                whole--; /* its last bytes were zeros, and are not there now */
            assert_int_equal(groups_in(*state, 1, 1), whole);
        }
    }
    free(now);
    free(then);
}

static void damage_before_what_was_synced_is_corrupt_and_after_it_is_the_tail(void **state) {
    uint64_t starts[6];
    size_t size;
    uint8_t *then = five_groups(*state, 4, starts, &size); /* the fifth group says: sequences up to 4 were on disk */
    for (uint64_t at = starts[0]; at < starts[4]; at++) {
        const char *path = path_in(*state, "00000001.log");
        then[at] ^= 0x20;
        file_replace(path, then, size);
        then[at] ^= 0x20;
        uint64_t group = 0;
        while (at >= starts[group + 1]) group++;
        bool padding = at >= starts[group] + LOG_GROUP_HEADER_BYTES + get_u32(then + starts[group] + 8);
        struct log_segment segment = {.number = 1};
        struct seen seen;
        char place[64];
        (void)snprintf(place, sizeof place, "00000001.log: offset %llu:", (unsigned long long)starts[group]);
        if (padding || group >= 2) {
            OK(replay(*state, &segment, 1, &seen));
            assert_int_equal(seen.groups, padding ? 5 : group);
        } else {
            FAILS(VELOCITY_CORRUPT, place, replay(*state, &segment, 1, &seen));
        }
    }
    free(then);
}

static void a_later_segment_proves_too(void **state) {
    struct log *one = create(*state, 1, 4096), *two = create(*state, 2, 4096);
    uint64_t at[3];
    for (uint64_t i = 0; i < 3; i++) at[i] = commit(one, i + 1, 1, 20, 0);
    (void)commit(two, 4, 1, 20, 0);
    uint64_t proof = commit(two, 5, 1, 20, 2);
    log_close(one);
    log_close(two);
    struct log_segment segments[2] = {{.number = 1}, {.number = 2}};
    struct seen seen;
    file_flip(path_in(*state, "00000001.log"), at[1] + 70, 1);
    char place[64];
    (void)snprintf(place, sizeof place, "00000001.log: offset %llu", (unsigned long long)at[1]);
    FAILS(VELOCITY_CORRUPT, place, replay(*state, segments, 2, &seen));
    file_flip(path_in(*state, "00000002.log"), FILE_HEADER_BYTES + 70, 1); /* the group between them goes as well */
    FAILS(VELOCITY_CORRUPT, ".log: offset ", replay(*state, segments, 2, &seen));
    file_flip(path_in(*state, "00000002.log"), proof + 70, 1); /* and now nothing proves anything */
    OK(replay(*state, segments, 2, &seen));
    assert_int_equal(seen.groups, 1);
    file_flip(path_in(*state, "00000001.log"), at[1] + 70, 1);
    file_flip(path_in(*state, "00000001.log"), at[2] + 70, 1);
    file_flip(path_in(*state, "00000002.log"), FILE_HEADER_BYTES + 70, 1);
    file_flip(path_in(*state, "00000002.log"), proof + 70, 1);
    OK(replay(*state, segments, 2, &seen)); /* the third group was never proven: it and all behind it are the tail */
    assert_int_equal(seen.groups, 2);
    assert_int_equal(segments[1].end, FILE_HEADER_BYTES);
}

static void a_sealed_segment_counts_to_its_seal_and_must_be_whole_there(void **state) {
    uint64_t starts[6];
    size_t size;
    free(five_groups(*state, 0, starts, &size));
    struct log *two = create(*state, 2, 4096);
    (void)commit(two, 1000, 1, 10, 0);
    log_close(two);
    struct log_segment segments[2] = {{.number = 1, .sealed_end = starts[3]}, {.number = 2}};
    struct seen seen;
    OK(replay(*state, segments, 2, &seen)); /* the second begins too late */
    assert_int_equal(seen.groups, 3);
    segments[1].sequence_may_skip = true;
    OK(replay(*state, segments, 2, &seen));
    assert_int_equal(seen.groups, 4);
    assert_int_equal(seen.next, 1001);
    file_flip(path_in(*state, "00000001.log"), starts[2] + 3, 1); /* nothing but the seal proves it */
    FAILS(VELOCITY_CORRUPT, "00000001.log: offset", replay(*state, segments, 2, &seen));
}

/* ---- other lives and other files
 * -------------------------------------------------------------------------------------- */

static void the_groups_of_an_earlier_life_never_show(void **state) {
    struct log *log = create(*state, 1, 4096);
    for (uint64_t s = 1; s <= 10; s++) (void)commit(log, s, 1, 40, 1000); /* they would prove anything */
    OK(log_recycle(log, *state, database_id, NULL, 5));
    assert_int_equal(files_ending(*state, ".log", NULL), 1);
    assert_int_equal(groups_in(*state, 5, 1), 0);
    (void)commit(log, 1, 1, 40, 0); /* the same shape: its end meets the start of an old group */
    assert_int_equal(groups_in(*state, 5, 1), 1);
    (void)commit(log, 2, 1, 3, 0); /* and one that does not */
    assert_int_equal(groups_in(*state, 5, 1), 2);
    log_close(log);
}

static void a_segment_caught_between_its_new_header_and_its_new_name_is_empty(void **state) {
    struct log *log = create(*state, 1, 4096);
    (void)commit(log, 1, 1, 40, 0);
    OK(log_recycle(log, *state, database_id, NULL, 5));
    log_close(log);
    OK(rename(path_in(*state, "00000005.log"), path_in(*state, "00000001.log")));
    assert_int_equal(groups_in(*state, 1, 1), 0);
}

static void a_segment_of_another_database_or_number_is_refused(void **state) {
    struct log *log = create(*state, 3, 4096);
    (void)commit(log, 1, 1, 40, 0);
    log_close(log);
    struct log_segment segment = {.number = 4};
    struct seen seen;
    file_copy(path_in(*state, "00000003.log"), path_in(*state, "00000004.log"));
    FAILS(VELOCITY_CORRUPT, "00000004.log: offset 0", replay(*state, &segment, 1, &seen));
    static const uint64_t other[2] = {31, 99};
    OK(log_create(env_posix(), *state, other, NULL, 6, 4096, true, &log));
    log_close(log);
    segment.number = 6;
    FAILS(VELOCITY_CORRUPT, "00000006.log: offset 0", replay(*state, &segment, 1, &seen));
}

static void a_damaged_header_is_corrupt_unless_the_segment_was_never_used(void **state) {
    struct log *log = create(*state, 1, 4096);
    log_close(log);
    file_flip(path_in(*state, "00000001.log"), 40, 1); /* as a crash may leave it that came before the header's sync */
    assert_int_equal(groups_in(*state, 1, 1), 0);
    file_replace(path_in(*state, "00000001.log"), "", 0);
    assert_int_equal(groups_in(*state, 1, 1), 0);
    log = create(*state, 2, 4096);
    (void)commit(log, 1, 1, 40, 0);
    log_close(log);
    file_flip(path_in(*state, "00000002.log"), 40, 1);
    struct log_segment segment = {.number = 2};
    struct seen seen;
    FAILS(VELOCITY_CORRUPT, "00000002.log: offset 0", replay(*state, &segment, 1, &seen));
}

static void a_group_that_begins_too_late_ends_the_replay(void **state) {
    struct log *one = create(*state, 1, 4096), *two = create(*state, 2, 4096);
    (void)commit(one, 1, 3, 10, 0);
    (void)commit(two, 5, 1, 10, 0);
    log_close(one);
    log_close(two);
    assert_int_equal(groups_in(*state, 1, 2), 1);
}

/* ---- salvaging ------------------------------------------------------------------------------------------------------
 */

struct told {
    uint64_t damages, offset; /* of the first */
};

static velocity_status note_damage(void *arg, const struct log_damage *damage) {
    struct told *told = arg;
    if (!told->damages++) told->offset = damage->offset;
    return VELOCITY_OK;
}

static struct told salvage_these(const char *folder, struct log_segment *segments, size_t count, struct seen *seen) {
    struct told told = {0};
    *seen = (struct seen){0};
    struct log_replay r = {.env = env_posix(), .folder = folder, .next_sequence = 1, .apply = apply, .arg = seen};
    memcpy(r.database_id, database_id, sizeof database_id);
    OK(log_salvage(&r, segments, count, note_damage, &told));
    return told;
}

static struct told salvage(const char *folder, size_t count, struct seen *seen) {
    struct log_segment segments[2] = {{.number = 1}, {.number = 2}};
    return salvage_these(folder, segments, count, seen);
}

static void what_a_later_segment_that_cannot_be_read_might_prove_is_told(void **state) {
    struct log *one = create(*state, 1, 4096), *two = create(*state, 2, 4096);
    (void)commit(one, 1, 1, 10, 0);
    (void)commit(one, 3, 1, 10, 0); /* what comes before it is missing, and nothing here says that it was synced */
    (void)commit(two, 4, 1, 10, 3);
    log_close(one);
    log_close(two);
    file_flip(path_in(*state, "00000002.log"), 40, 1);
    struct log_segment segments[2] = {{.number = 1}, {.number = 2}};
    struct seen seen;
    FAILS(VELOCITY_CORRUPT, "00000002.log", replay(*state, segments, 2, &seen));
    struct told told = salvage(*state, 2, &seen);
    assert_int_equal(told.damages, 2); /* the gap, and the segment */
    assert_int_equal(seen.groups, 2);
}

static void a_group_without_operations_is_none(void **state) {
    struct log *log = create(*state, 1, 4096);
    (void)commit(log, 1, 1, 10, 0);
    (void)commit(log, 2, 0, 0, 0);
    (void)commit(log, 2, 1, 10, 0);
    log_close(log);
    assert_int_equal(groups_in(*state, 1, 1), 1);
    struct seen seen;
    assert_int_equal(salvage(*state, 1, &seen).damages, 0);
    assert_int_equal(seen.groups, 1);
}

static void what_stands_behind_a_seal_proves_nothing(void **state) {
    struct log *one = create(*state, 1, 4096), *two = create(*state, 2, 4096);
    (void)commit(one, 1, 1, 10, 0);
    uint64_t sealed_end = commit(one, 2, 1, 10, 3);
    (void)commit(two, 4, 1, 10, 0);
    log_close(one);
    log_close(two);
    struct log_segment segments[2] = {{.number = 1, .sealed_end = sealed_end}, {.number = 2}};
    struct seen seen;
    OK(replay(*state, segments, 2, &seen));
    assert_int_equal(seen.groups, 1);
    assert_int_equal(salvage_these(*state, segments, 2, &seen).damages, 0);
    assert_int_equal(seen.groups, 1);
}

static void a_sealed_segment_proves_that_all_before_its_end_counted(void **state) {
    struct log *one = create(*state, 1, 4096), *two = create(*state, 2, 4096);
    (void)commit(one, 1, 1, 10, 0);
    uint64_t lost = commit(one, 2, 1, 10, 0);
    (void)commit(one, 3, 1, 10, 0);
    (void)commit(two, 4, 1, 10, 0);
    struct log_segment segments[2] = {{.number = 1}, {.number = 2, .sealed_end = two->position}};
    log_close(one);
    log_close(two);
    file_flip(path_in(*state, "00000001.log"), lost + 70, 1);
    struct seen seen;
    FAILS(VELOCITY_CORRUPT, "00000001.log: offset", replay(*state, segments, 2, &seen));
    assert_int_equal(salvage_these(*state, segments, 2, &seen).damages, 1);
    assert_int_equal(seen.groups, 3);
}

/* ---- segments that somebody made to cost time
 * ----------------------------------------------------------------------- */

/* A moment's work in linear time, many minutes in the square of the size. */
static void expect_linear(clock_t begin) {
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 30);
}

/* A segment without groups, to be written by hand: its bytes, and who they must say they are. */
struct forgery {
    const char *path;
    uint8_t *bytes;
    size_t size;
    struct log_identity identity;
};

static struct forgery forge(const char *folder, uint64_t number, size_t size) {
    struct forgery f = {.path = path_in(folder, number == 1 ? "00000001.log" : "00000002.log")};
    struct log *log = create(folder, number, size);
    f.identity = (struct log_identity){number, database_id[0], log->seed, NULL};
    log_close(log);
    f.bytes = file_bytes(f.path, &f.size);
    assert_int_equal(f.size, size);
    return f;
}

static void end_forgery(struct forgery *f) {
    file_replace(f->path, f->bytes, f->size);
    free(f->bytes);
}

/* Of one operation. */
static void put_group(struct forgery *f, uint64_t at, uint64_t sequence, uint32_t payload_bytes,
                      uint64_t synced_through, bool valid) {
    uint8_t *g = f->bytes + at;
    assert_true(at + LOG_GROUP_HEADER_BYTES + payload_bytes <= f->size);
    put_u32(g + GROUP_PAYLOAD_BYTES, payload_bytes);
    put_u64(g + GROUP_DATABASE_ID, f->identity.database_id);
    put_u64(g + GROUP_LOG_NUMBER, f->identity.number);
    put_u64(g + GROUP_POSITION, at);
    put_u32(g + GROUP_COUNT, 1);
    put_u64(g + GROUP_FIRST_SEQUENCE, sequence);
    put_u64(g + GROUP_SYNCED_THROUGH, synced_through);
    if (valid) put_u64(g + GROUP_CHECKSUM, log_group_checksum(f->identity.seed, g, payload_bytes));
}

/* Each of the headers claims all that is behind it. */
static void headers_without_groups_cost_linear_time_and_are_damage(void **state) {
    enum { BYTES = 16 << 20 };
    struct forgery f = forge(*state, 1, BYTES);
    for (uint64_t at = FILE_HEADER_BYTES; at + LOG_GROUP_HEADER_BYTES <= BYTES; at += LOG_GROUP_HEADER_BYTES)
        put_group(&f, at, 1, (uint32_t)(BYTES - LOG_GROUP_HEADER_BYTES - at), UINT64_MAX, false);
    end_forgery(&f);
    struct log_segment segment = {.number = 1};
    struct seen seen;
    clock_t begin = clock();
    FAILS(VELOCITY_CORRUPT, "00000001.log: offset 128: behind this place stands more",
          replay(*state, &segment, 1, &seen));
    struct told told = salvage(*state, 1, &seen);
    expect_linear(begin);
    assert_int_equal(told.damages, 1);
    assert_int_equal(told.offset, FILE_HEADER_BYTES);
}

/* As a crash leaves them: sizes of an earlier life in a few headers whose rest is there, and nothing that proves. */
static void some_torn_headers_with_any_sizes_are_still_a_tail(void **state) {
    enum { BYTES = 1 << 20, HEADERS = 12 };
    struct forgery f = forge(*state, 1, BYTES);
    for (uint64_t i = 0, at = FILE_HEADER_BYTES; i < HEADERS; i++, at += 4096)
        put_group(&f, at, 1, (uint32_t)(BYTES - LOG_GROUP_HEADER_BYTES - at), UINT64_MAX, false);
    end_forgery(&f);
    struct seen seen;
    assert_int_equal(groups_in(*state, 1, 1), 0);
    assert_int_equal(salvage(*state, 1, &seen).damages, 0);
}

/* Valid groups with gaps between them: each gap asks for a proof, and only the last group of all is one. */
enum { GAP_STEP = LOG_GROUP_HEADER_BYTES + 16 + LOG_ALIGNMENT };

static void fill_with_gaps(struct forgery *f, uint64_t sequence, bool proves) {
    for (uint64_t at = FILE_HEADER_BYTES + LOG_ALIGNMENT; at + GAP_STEP <= f->size; at += GAP_STEP, sequence++) {
        struct entry e = operation(&sequence, velocity_bytes(NULL, 0));
        uint8_t *payload = f->bytes + at + LOG_GROUP_HEADER_BYTES;
        uint32_t bytes = (uint32_t)(log_operation_encode(payload, &e) - payload);
        put_group(f, at, sequence, bytes, proves && at + 2 * GAP_STEP > f->size ? UINT64_MAX : 0, true);
    }
    end_forgery(f);
}

static void gaps_that_a_far_group_proves_cost_linear_time(void **state) {
    enum { BYTES = 8 << 20, GAPS = (BYTES - FILE_HEADER_BYTES - LOG_ALIGNMENT) / GAP_STEP };
    struct seen seen;
    struct forgery one = forge(*state, 1, BYTES);
    fill_with_gaps(&one, 1, true);
    clock_t begin = clock();
    assert_int_equal(salvage(*state, 1, &seen).damages, GAPS);
    assert_int_equal(seen.groups, GAPS);
    one = forge(*state, 1, BYTES); /* and the proof in the next segment */
    fill_with_gaps(&one, 1, false);
    struct forgery two = forge(*state, 2, BYTES);
    fill_with_gaps(&two, 1 + GAPS, true);
    assert_int_equal(salvage(*state, 2, &seen).damages, 2 * GAPS);
    expect_linear(begin);
    assert_int_equal(seen.groups, 2 * GAPS);
}

static void what_looks_like_a_proof_within_a_valid_group_is_none(void **state) {
    enum { INNER_AT = FILE_HEADER_BYTES + LOG_GROUP_HEADER_BYTES + 512 };
    struct forgery f = forge(*state, 1, 4096);
    put_group(&f, INNER_AT, 1, 0, UINT64_MAX, true);
    put_group(&f, FILE_HEADER_BYTES + LOG_GROUP_HEADER_BYTES, 1, 1024, 0, true); /* behind a hole */
    end_forgery(&f);
    struct seen seen;
    assert_int_equal(groups_in(*state, 1, 1), 0);
    assert_int_equal(salvage(*state, 1, &seen).damages, 0);
}

/* ---- operations
 * ------------------------------------------------------------------------------------------------------- */

static velocity_status apply_must_not_run(void *arg, uint64_t log_number, const struct log_group *group,
                                          const uint8_t *payload) {
    (void)arg, (void)log_number, (void)payload;
    fail_msg("a group of %u bytes was handed on with %u operations", group->payload_bytes, group->count);
    return VELOCITY_OK;
}

/* One delete, in a group that tells this of itself. */
static void expect_refused(const char *folder, struct log_group group) {
    struct log *log = create(folder, 1, 8192);
    uint8_t *payload;
    struct entry e = {.key = velocity_str("k"), .kind = ENTRY_DELETE};
    group.payload_bytes = (uint32_t)log_operation_bytes(&e);
    OK(log_reserve(log, group.payload_bytes, false, &payload));
    (void)log_operation_encode(payload, &e);
    OK(log_commit(log, &group));
    log_close(log);
    struct log_segment segment = {.number = 1, .sealed_end = FILE_HEADER_BYTES + 8, .sequence_may_skip = true};
    struct log_replay r = {
        .env = env_posix(), .folder = folder, .next_sequence = 1, .apply = apply_must_not_run, .arg = NULL};
    memcpy(r.database_id, database_id, sizeof database_id);
    FAILS(VELOCITY_CORRUPT, "00000001.log: offset 128: a commit group's operations make no sense",
          log_replay(&r, &segment, 1));
}

static void a_group_that_counts_more_operations_than_fit_into_it_is_corrupt(void **state) {
    expect_refused(*state, (struct log_group){.first_sequence = 1, .count = UINT32_MAX});
}

static void a_group_whose_sequences_begin_anew_at_zero_is_corrupt(void **state) {
    expect_refused(*state, (struct log_group){.first_sequence = UINT64_MAX, .count = 1});
}

static void an_operation_comes_back_and_garbage_is_refused_without_reading_beyond(void **state) {
    (void)state;
    uint64_t random = 41;
    uint8_t bytes[64];
    struct entry e = {.key = velocity_str("key"), .value = velocity_str("value"), .kind = ENTRY_PUT}, back;
    e.flags = 7;
    e.expires_at_ms = -5;
    const uint8_t *end = log_operation_encode(bytes, &e);
    assert_int_equal(end - bytes, log_operation_bytes(&e));
    assert_ptr_equal(log_operation_decode(bytes, end, &back), end);
    assert_int_equal(back.flags, 7);
    assert_int_equal(back.expires_at_ms, -5);
    for (const uint8_t *cut = bytes; cut < end; cut++) assert_null(log_operation_decode(bytes, cut, &back));
    for (int round = 0; round < 100000; round++) {
        size_t size = below(&random, 40);
        uint8_t *exact = malloc(size ? size : 1);
        for (size_t i = 0; i < size; i++) exact[i] = (uint8_t)(i < 3 ? below(&random, 40) : next_random(&random));
        if (log_operation_decode(exact, exact + size, &back)) {
            assert_in_range(back.key.size, 1, size);
            assert_true((const uint8_t *)back.value.data + back.value.size <= exact + size);
        }
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(what_is_committed_is_replayed_in_order_over_segments),
        TEST_IN_FOLDER(a_segment_is_filled_to_its_last_byte_and_no_further),
        TEST_IN_FOLDER(a_tail_torn_at_any_byte_is_dropped_and_all_before_it_survives),
        TEST_IN_FOLDER(damage_before_what_was_synced_is_corrupt_and_after_it_is_the_tail),
        TEST_IN_FOLDER(a_later_segment_proves_too),
        TEST_IN_FOLDER(a_sealed_segment_counts_to_its_seal_and_must_be_whole_there),
        TEST_IN_FOLDER(the_groups_of_an_earlier_life_never_show),
        TEST_IN_FOLDER(a_segment_caught_between_its_new_header_and_its_new_name_is_empty),
        TEST_IN_FOLDER(a_segment_of_another_database_or_number_is_refused),
        TEST_IN_FOLDER(a_damaged_header_is_corrupt_unless_the_segment_was_never_used),
        TEST_IN_FOLDER(a_group_that_begins_too_late_ends_the_replay),
        TEST_IN_FOLDER(what_a_later_segment_that_cannot_be_read_might_prove_is_told),
        TEST_IN_FOLDER(a_group_without_operations_is_none),
        TEST_IN_FOLDER(what_stands_behind_a_seal_proves_nothing),
        TEST_IN_FOLDER(a_sealed_segment_proves_that_all_before_its_end_counted),
        TEST_IN_FOLDER(headers_without_groups_cost_linear_time_and_are_damage),
        TEST_IN_FOLDER(some_torn_headers_with_any_sizes_are_still_a_tail),
        TEST_IN_FOLDER(gaps_that_a_far_group_proves_cost_linear_time),
        TEST_IN_FOLDER(what_looks_like_a_proof_within_a_valid_group_is_none),
        TEST_IN_FOLDER(a_group_that_counts_more_operations_than_fit_into_it_is_corrupt),
        TEST_IN_FOLDER(a_group_whose_sequences_begin_anew_at_zero_is_corrupt),
        cmocka_unit_test(an_operation_comes_back_and_garbage_is_refused_without_reading_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
