/*
 * checkpoint_test.c - a checkpoint is the database as it was between two batches, whole and on its own, and its source
 * never notices. What happens when something goes wrong meanwhile is in checkpoint_crash_test.
 */
#include "engine/slice.h"
#include "testing.h"

#include <pthread.h>
#include <sys/stat.h>

static velocity *open_small(const char *folder) {
    velocity_options options = velocity_options_default();
    velocity *db;
    options.memtable_bytes = 65536;
    options.table_bytes = 65536;
    options.durability = VELOCITY_DURABILITY_OS;
    options.log_retention_bytes = 1 << 30;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static uint64_t last_sequence(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats.last_sequence;
}

static void put_some(velocity *db, uint32_t from, uint32_t to) {
    char key[32];
    char value[400];
    memset(value, 'v', sizeof value);
    for (uint32_t i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "key %06u", i % 5000);
        memcpy(value, &i, sizeof i);
        OK(velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
    }
}

/* Both show the same, sequences included. */
static void expect_same(velocity *a, velocity *b) {
    velocity_iterator *x = velocity_iterator_new(a, NULL), *y = velocity_iterator_new(b, NULL);
    for (; velocity_iterator_valid(x); velocity_iterator_next(x), velocity_iterator_next(y)) {
        assert_true(velocity_iterator_valid(y));
        assert_true(slice_equal(velocity_iterator_key(x), velocity_iterator_key(y)));
        assert_true(slice_equal(velocity_iterator_value(x), velocity_iterator_value(y)));
        assert_int_equal(velocity_iterator_sequence(x), velocity_iterator_sequence(y));
    }
    assert_false(velocity_iterator_valid(y));
    OK(velocity_iterator_status(x));
    OK(velocity_iterator_status(y));
    velocity_iterator_free(x);
    velocity_iterator_free(y);
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

static void a_checkpoint_is_a_database_of_its_own_whose_tables_are_linked(void **state) {
    const char *copy_path = path_in(*state, "copy"), *source_path = path_in(*state, "source");
    velocity *db = open_small(source_path), *copy;
    char name[64];
    put_some(db, 0, 3000);
    OK(velocity_flush(db));
    put_some(db, 3000, 3100);
    OK(velocity_checkpoint(db, copy_path));
    copy = open_small(copy_path);
    assert_int_equal(last_sequence(copy), 3100);
    expect_same(db, copy);
    struct stat about, linked;
    files_sorted(copy_path, ".sst", 0, name);
    assert_int_equal(stat(path_in(copy_path, name), &about), 0);
    assert_int_equal(stat(path_in(source_path, name), &linked), 0);
    assert_int_equal(about.st_ino, linked.st_ino);
    put_some(db, 3100, 8000); /* each goes on without the other */
    OK(velocity_compact(db, NULL));
    put_some(copy, 8000, 8010);
    assert_int_equal(last_sequence(copy), 3110);
    OK(velocity_compact(copy, NULL));
    OK(velocity_close(db));
    OK(velocity_close(copy));
    copy = open_small(copy_path);
    db = open_small(path_in(*state, "expected"));
    put_some(db, 0, 3100);
    put_some(db, 8000, 8010);
    expect_same(db, copy);
    OK(velocity_close(db));
    OK(velocity_close(copy));
}

static void a_checkpoint_of_nothing_and_one_of_tables_alone_open(void **state) {
    velocity *db = open_small(path_in(*state, "source")), *copy;
    OK(velocity_checkpoint(db, path_in(*state, "empty/"))); /* a slash at the end means nothing */
    copy = open_small(path_in(*state, "empty"));
    assert_int_equal(last_sequence(copy), 0);
    expect_same(db, copy);
    OK(velocity_close(copy));
    put_some(db, 0, 1000);
    OK(velocity_flush(db));
    OK(velocity_checkpoint(db, path_in(*state, "tables")));
    copy = open_small(path_in(*state, "tables"));
    assert_int_equal(last_sequence(copy), 1000);
    expect_same(db, copy);
    OK(velocity_checkpoint(copy, path_in(*state, "copy of the copy")));
    OK(velocity_close(db));
    db = open_small(path_in(*state, "copy of the copy"));
    expect_same(db, copy);
    OK(velocity_close(copy));
    OK(velocity_close(db));
}

static void a_path_that_exists_is_refused_and_left_alone(void **state) {
    velocity *db = open_small(path_in(*state, "source"));
    const char *path = path_in(*state, "there");
    assert_int_equal(mkdir(path, 0700), 0);
    FAILS(VELOCITY_INVALID, path, velocity_checkpoint(db, path));
    assert_int_equal(files_ending(path, "", NULL), 0);
    FAILS(VELOCITY_INVALID, "source", velocity_checkpoint(db, path_in(*state, "source")));
    FAILS(VELOCITY_INVALID, "path", velocity_checkpoint(db, ""));
    assert_int_equal(velocity_checkpoint(db, path_in(*state, "no folder/copy")), VELOCITY_IO);
    assert_int_equal(files_ending(*state, ".tmp-checkpoint", NULL), 0);
    OK(velocity_close(db));
}

static void what_an_earlier_attempt_left_is_taken_over_unless_it_still_goes_on(void **state) {
    velocity *db = open_small(path_in(*state, "source")), *copy;
    const char *path = path_in(*state, "copy"), *temporary = path_in(*state, "copy.tmp-checkpoint");
    put_some(db, 0, 500);
    assert_int_equal(mkdir(temporary, 0700), 0);
    file_replace(path_in(temporary, "00000001.log"), "garbage", 7);
    file_replace(path_in(temporary, "99999999.sst"), "garbage", 7);
    env_lock *lock;
    OK(env_lock_file(env_posix(), path_in(temporary, "LOCK"), &lock));
    assert_int_equal(velocity_checkpoint(db, path), VELOCITY_LOCKED);
    assert_int_equal(files_ending(temporary, "99999999.sst", NULL), 1);
    env_unlock_file(env_posix(), lock);
    OK(velocity_checkpoint(db, path));
    assert_int_equal(files_ending(path, "99999999.sst", NULL), 0);
    copy = open_small(path);
    expect_same(db, copy);
    OK(velocity_close(copy));
    OK(velocity_close(db));
}

static void a_damaged_log_is_not_copied_as_if_it_were_whole(void **state) {
    velocity *db;
    char name[64];
    for (uint32_t life = 0; life < 2; life++) { /* the second one has the first one's log sealed and in memory */
        OK(velocity_open(path_in(*state, "source"), NULL, &db));
        put_some(db, life * 20, life * 20 + 20);
        if (life == 0) OK(velocity_close(db));
    }
    files_sorted(path_in(*state, "source"), ".log", 0, name);
    file_flip(path_in(path_in(*state, "source"), name), 1000, 1);
    FAILS(VELOCITY_CORRUPT, name, velocity_checkpoint(db, path_in(*state, "copy")));
    assert_int_equal(files_ending(*state, "copy", NULL), 0);
    assert_int_equal(files_ending(*state, ".tmp-checkpoint", NULL), 0);
    OK(velocity_close(db));
}

/* ---- while writes go on -------------------------------------------------------------------------------------------
 */

enum { WRITERS = 2, SETS = 20, SET_KEYS = 4, CHECKPOINTS = 6 };

struct writer {
    velocity *db;
    uint32_t index;
    atomic_bool *stop, *slowly;
    uint64_t written;
    pthread_t thread;
};

/* Batches that put one number under all keys of a set, and delete one key of another. */
static void *write_sets(void *arg) {
    struct writer *w = arg;
    velocity_batch *batch = velocity_batch_new();
    char key[32], value[200] = "";
    if (!batch) abort();
    for (uint64_t number = 1; !atomic_load(w->stop); number++) {
        velocity_batch_clear(batch);
        memcpy(value, &number, sizeof number);
        for (unsigned k = 0; k < SET_KEYS; k++) {
            (void)snprintf(key, sizeof key, "%u set %02u key %u", w->index, (unsigned)(number % SETS), k);
            velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), NULL);
        }
        (void)snprintf(key, sizeof key, "%u extra %03u", w->index, (unsigned)(number % 1000));
        if (number % 2)
            velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), NULL);
        else
            velocity_batch_delete(batch, velocity_str(key));
        if (velocity_write(w->db, batch, NULL, NULL)) abort();
        w->written = number;
        if (atomic_load(w->slowly)) env_sleep_us(1000);
    }
    velocity_batch_free(batch);
    return NULL;
}

/* Applies what the feed shows up to the sequence. */
static void replay(velocity_changes *changes, uint64_t sequence, velocity *to) {
    velocity_batch *batch = velocity_batch_new();
    while (last_sequence(to) < sequence) {
        const velocity_change *c = velocity_changes_next(changes);
        assert_non_null(c);
        if (c->kind == VELOCITY_CHANGE_PUT)
            velocity_batch_put(batch, c->key, c->value, NULL);
        else
            velocity_batch_delete(batch, c->key);
        if (!c->ends_batch) continue;
        OK(velocity_write(to, batch, NULL, NULL));
        velocity_batch_clear(batch);
    }
    assert_int_equal(last_sequence(to), sequence); /* it ends between two batches */
    velocity_batch_free(batch);
}

static void checkpoints_beside_writers_hold_exactly_a_prefix(void **state) {
    velocity *db = open_small(path_in(*state, "source")), *expected = open_small(path_in(*state, "expected"));
    struct writer writers[WRITERS];
    atomic_bool stop = false, slowly = false;
    uint64_t before = 0;
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.db = db, .index = i, .stop = &stop, .slowly = &slowly};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_sets, &writers[i]), 0);
    }
    velocity_changes *changes = velocity_changes_new(db, 0);
    for (int i = 0; i < CHECKPOINTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "copy %d", i);
        atomic_store(&slowly, false);
        while (last_sequence(db) < before + 50) env_sleep_us(1000); /* there is something new to hold */
        uint64_t least = last_sequence(db);
        OK(velocity_checkpoint(db, path_in(*state, name)));
        uint64_t most = last_sequence(db);
        atomic_store(&slowly, true); /* what two write at full speed, one that replays it never catches up with */
        velocity *copy = open_small(path_in(*state, name));
        uint64_t sequence = last_sequence(copy);
        assert_in_range(sequence, least, most);
        assert_true(sequence >= before);
        replay(changes, sequence, expected);
        expect_same(expected, copy);
        before = sequence;
        OK(velocity_close(copy));
    }
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    velocity_changes_free(changes);
    OK(velocity_close(expected));
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_checkpoint_is_a_database_of_its_own_whose_tables_are_linked),
        TEST_IN_FOLDER(a_checkpoint_of_nothing_and_one_of_tables_alone_open),
        TEST_IN_FOLDER(a_path_that_exists_is_refused_and_left_alone),
        TEST_IN_FOLDER(what_an_earlier_attempt_left_is_taken_over_unless_it_still_goes_on),
        TEST_IN_FOLDER(a_damaged_log_is_not_copied_as_if_it_were_whole),
        TEST_IN_FOLDER(checkpoints_beside_writers_hold_exactly_a_prefix),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
