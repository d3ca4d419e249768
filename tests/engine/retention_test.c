/*
 * retention_test.c - which versions survive a merge: for the present and for each snapshot a key reads as before, and
 * nothing more is kept than that takes.
 */
#include "engine/retention.h"
#include "testing.h"

enum { VERSIONS_MAX = 24, SNAPSHOTS_MAX = 6, TOP = 40 };

struct history { /* of one key, newest first */
    struct entry versions[VERSIONS_MAX];
    bool kept[VERSIONS_MAX];
    size_t count;
};

/* Sequences fall from TOP; which of them exist and which are deletes is random. */
static void make_history(struct history *h, const char *key, uint64_t *random) {
    h->count = 0;
    for (uint64_t s = TOP; s > 0 && h->count < VERSIONS_MAX; s--) {
        if (below(random, 3)) continue;
        struct entry *e = &h->versions[h->count++];
        *e = (struct entry){.key = velocity_str(key), .sequence = s};
        e->kind = below(random, 3) ? ENTRY_PUT : ENTRY_DELETE;
    }
}

static struct retention retention_of(uint64_t *random, bool bottom) {
    struct retention r = {.bottom = bottom};
    r.sequences = env_alloc(SNAPSHOTS_MAX * sizeof *r.sequences);
    for (uint64_t s = 1; s < TOP && r.count < SNAPSHOTS_MAX; s++)
        if (below(random, 8) == 0) r.sequences[r.count++] = s;
    if (r.count == 0) r.sequences[r.count++] = TOP;
    return r;
}

/* The put that `sequence` sees; 0: the key is absent for it. */
static uint64_t seen(const struct history *h, uint64_t sequence, bool only_kept) {
    for (size_t i = 0; i < h->count; i++)
        if (h->versions[i].sequence <= sequence && (h->kept[i] || !only_kept))
            return h->versions[i].kind == ENTRY_PUT ? h->versions[i].sequence : 0;
    return 0;
}

static void judge(struct retention *r, struct history *h) {
    for (size_t i = 0; i < h->count; i++) {
        bool new_key;
        OK(retention_judge(r, &h->versions[i], &h->kept[i], &new_key));
        assert_int_equal(new_key, i == 0);
    }
}

/* Is version i the newest that some snapshot, or who comes after all of them, sees? */
static bool is_seen(const struct retention *r, const struct history *h, size_t i) {
    uint64_t newer = i ? h->versions[i - 1].sequence : UINT64_MAX;
    if (i == 0 && h->versions[0].sequence > r->sequences[r->count - 1]) return true;
    for (size_t s = 0; s < r->count; s++)
        if (r->sequences[s] >= h->versions[i].sequence && r->sequences[s] < newer) return true;
    return false;
}

static void every_snapshot_reads_as_before_and_nothing_else_is_kept(void **state) {
    (void)state;
    uint64_t random = 12345;
    static const char *const keys[] = {"a", "aa", "b"};
    for (int round = 0; round < 20000; round++) {
        struct history h[3];
        struct retention r = retention_of(&random, round % 2);
        for (int k = 0; k < 3; k++) {
            make_history(&h[k], keys[k], &random);
            judge(&r, &h[k]);
        }
        for (int k = 0; k < 3; k++) {
            for (size_t s = 0; s < r.count; s++)
                assert_int_equal(seen(&h[k], r.sequences[s], true), seen(&h[k], r.sequences[s], false));
            assert_int_equal(seen(&h[k], UINT64_MAX, true), seen(&h[k], UINT64_MAX, false));
            for (size_t i = 0; i < h[k].count; i++) {
                const struct entry *e = &h[k].versions[i];
                bool free_to_go = r.bottom && e->kind == ENTRY_DELETE && e->sequence <= r.sequences[0];
                assert_int_equal(h[k].kept[i], is_seen(&r, &h[k], i) && !free_to_go);
            }
        }
        retention_clear(&r);
    }
}

static void snapshots_of_a_database_are_what_retention_starts_from(void **state) {
    velocity *db;
    OK(velocity_open(*state, NULL, &db));
    velocity_snapshot *snapshots[3];
    for (int i = 0; i < 3; i++) {
        snapshots[i] = velocity_snapshot_new(db);
        if (i != 1) OK(velocity_put(db, velocity_str("k"), velocity_str("v"))); /* two of them see the same */
    }
    struct retention r;
    OK(retention_init(&r, db, true));
    assert_int_equal(r.count, 3);
    assert_int_equal(r.sequences[0], 0);
    assert_int_equal(r.sequences[1], 1);
    assert_int_equal(r.sequences[2], 2);
    retention_clear(&r);
    for (int i = 0; i < 3; i++) velocity_snapshot_free(snapshots[i]);
    OK(retention_init(&r, db, true));
    assert_int_equal(r.count, 1);
    retention_clear(&r);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_snapshot_reads_as_before_and_nothing_else_is_kept),
        TEST_IN_FOLDER(snapshots_of_a_database_are_what_retention_starts_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
