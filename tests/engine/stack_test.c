/*
 * stack_test.c - how much of its caller's stack the library takes: a thread of a program that embeds it may have
 * little.
 */
#include "engine/velocity.h"
#include "testing.h"

#include <pthread.h>

enum {
    KEYS = 3000,
    KEY_BYTES = 2000, /* long ones: blocks are small, so that the indexes have several */
/* What velocity.h says of it; instrumented code takes more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    STACK_BYTES = 256 << 10,
#else
    STACK_BYTES = 64 << 10,
#endif
};

struct caller {
    const char *folder, *copy;
    velocity_status status; /* of the first call that failed; cmocka's assertions are the main thread's */
};

static bool tried(struct caller *c, velocity_status status) {
    if (!c->status) c->status = status;
    return c->status == VELOCITY_OK;
}

static velocity_slice key_of(unsigned number, char *key) {
    memset(key, 'k', KEY_BYTES);
    (void)snprintf(key, 16, "%08u", number);
    return velocity_bytes(key, KEY_BYTES);
}

static bool write_all(struct caller *c, velocity *db) {
    char key[KEY_BYTES], end[KEY_BYTES];
    for (unsigned i = 0; i < KEYS; i++)
        if (!tried(c, velocity_put(db, key_of(i, key), velocity_str("value")))) return false;
    for (unsigned i = 0; i < KEYS; i += 10)
        if (!tried(c, velocity_delete_range(db, key_of(i, key), key_of(i + 2, end)))) return false;
    return true;
}

static bool read_all(struct caller *c, velocity *db) {
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    velocity_changes *changes = velocity_changes_new(db, velocity_iterator_snapshot_sequence(it));
    velocity_value value = {0};
    char key[KEY_BYTES];
    while (velocity_iterator_valid(it)) velocity_iterator_next(it);
    bool good = tried(c, velocity_iterator_status(it)) && tried(c, velocity_get(db, key_of(5, key), &value)) &&
                !velocity_changes_next(changes) && tried(c, velocity_changes_status(changes));
    velocity_value_release(&value);
    velocity_changes_free(changes);
    velocity_iterator_free(it);
    return good;
}

static bool transact(struct caller *c, velocity *db) {
    velocity_txn *txn = NULL;
    velocity_value value = {0};
    char key[KEY_BYTES], end[KEY_BYTES];
    bool good = tried(c, velocity_txn_begin(db, VELOCITY_ISOLATION_SERIALIZABLE, &txn)) &&
                tried(c, velocity_txn_get(txn, key_of(5, key), &value)) &&
                tried(c, velocity_txn_put(txn, key_of(5, key), velocity_str("other"), NULL)) &&
                tried(c, velocity_txn_delete_range(txn, key_of(7, key), key_of(9, end))) &&
                tried(c, velocity_txn_commit(txn, NULL, NULL));
    velocity_value_release(&value);
    velocity_txn_free(txn);
    return good;
}

static void *call_everything(void *arg) {
    struct caller *c = arg;
    velocity_options options = velocity_options_default();
    velocity *db = NULL;
    velocity_range part = velocity_range_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.compression = VELOCITY_COMPRESSION_NONE;
    part.prefix = velocity_str("00000");
    if (!tried(c, velocity_open(c->folder, &options, &db))) return NULL;
    bool good = write_all(c, db) && read_all(c, db) && tried(c, velocity_flush(db)) && transact(c, db) &&
                tried(c, velocity_compact(db, &part)) && tried(c, velocity_checkpoint(db, c->copy)) &&
                tried(c, velocity_compact(db, NULL)) && read_all(c, db);
    good = tried(c, velocity_close(db)) && good;
    if (good) (void)tried(c, velocity_verify(c->folder, NULL));
    return NULL;
}

static void *repair(void *arg) {
    struct caller *c = arg;
    (void)tried(c, velocity_repair(c->copy, NULL));
    return NULL;
}

static void run_on_little_stack(void *(*calls)(void *arg), struct caller *c) {
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, calls, c), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
    assert_string_equal(velocity_status_name(c->status), "OK");
}

static void calls_need_no_more_stack_than_the_header_says(void **state) {
    struct caller c = {.folder = path_in(*state, "db"), .copy = path_in(*state, "copy")};
    char table[64];
    run_on_little_stack(call_everything, &c);
    /* A repair writes damaged tables anew, on the thread that asks for it. */
    assert_true(files_ending(c.copy, ".sst", table) > 0);
    file_flip(path_in(c.copy, table), 1000, 1);
    run_on_little_stack(repair, &c);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST_IN_FOLDER(calls_need_no_more_stack_than_the_header_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
