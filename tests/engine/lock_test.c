/*
 * lock_test.c - nobody holds the database's mutex over a call of the file system: such a call may take as long as the
 * disk likes, and writers take the mutex. Each call goes through here, and looks whether the mutex can be had.
 */
#include "engine/database_internal.h"
#include "testing.h"

#include <time.h>

enum { SECONDS_MOST = 20, KEYS = 300, VALUE_BYTES = 1000 };

static _Atomic(velocity *) watched; /* NULL: calls just pass */
static _Atomic(const char *) held;  /* over which call; NULL: none */
static _Atomic uint64_t calls;
static _Atomic bool disk_is_full; /* for one table */

/* Others may have it for a moment. */
static void look(const char *call) {
    velocity *db = atomic_load(&watched);
    if (!db || atomic_load(&held)) return;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SECONDS_MOST;
    if (pthread_mutex_timedlock(&db->mutex.mutex, &until))
        atomic_store(&held, call);
    else
        env_mutex_unlock(&db->mutex);
    atomic_fetch_add(&calls, 1);
}

/* ---- the file system ----------------------------------------------------------------------------------------------
 */

static struct env_operations operations;
static struct env watching = {&operations};

static const struct env_operations *posix(void) {
    return env_posix()->operations;
}

static velocity_status adopt(velocity_status status, env_file **file) {
    if (!status) (*file)->operations = &operations;
    return status;
}

static velocity_status open_read(env *e, const char *path, env_file **out) {
    look("open_read");
    return adopt(posix()->open_read(e, path, out), out);
}

static velocity_status open_write(env *e, const char *path, env_file **out) {
    look("open_write");
    return adopt(posix()->open_write(e, path, out), out);
}

static velocity_status create(env *e, const char *path, env_file **out) {
    look("create");
    if (strstr(path, ".sst") && atomic_exchange(&disk_is_full, false)) return VELOCITY_NO_SPACE;
    return adopt(posix()->create(e, path, out), out);
}

static velocity_status read_file(env_file *f, void *buffer, size_t size, uint64_t offset, size_t *got) {
    look("read");
    return posix()->read(f, buffer, size, offset, got);
}

static velocity_status write_file(env_file *f, const void *data, size_t size, uint64_t offset) {
    look("write");
    return posix()->write(f, data, size, offset);
}

static velocity_status allocate(env_file *f, uint64_t offset, uint64_t size) {
    look("allocate");
    return posix()->allocate(f, offset, size);
}

static velocity_status truncate_file(env_file *f, uint64_t size) {
    look("truncate");
    return posix()->truncate(f, size);
}

static velocity_status sync_file(env_file *f) {
    look("sync");
    return posix()->sync(f);
}

static velocity_status close_file(env_file *f) {
    if (f) look("close");
    return posix()->close(f);
}

static velocity_status rename_file(env *e, const char *from, const char *to) {
    look("rename");
    return posix()->rename(e, from, to);
}

static velocity_status unlink_file(env *e, const char *path) {
    look("unlink");
    return posix()->unlink(e, path);
}

static velocity_status sync_directory(env *e, const char *path) {
    look("sync_directory");
    return posix()->sync_directory(e, path);
}

static int watch(void **state) {
    operations = *posix();
    operations.open_read = open_read;
    operations.open_write = open_write;
    operations.create = create;
    operations.read = read_file;
    operations.write = write_file;
    operations.allocate = allocate;
    operations.truncate = truncate_file;
    operations.sync = sync_file;
    operations.close = close_file;
    operations.rename = rename_file;
    operations.unlink = unlink_file;
    operations.sync_directory = sync_directory;
    return folder_setup(state);
}

/* ---- what it does -------------------------------------------------------------------------------------------------
 */

static void write_keys(velocity *db, velocity_durability durability, uint64_t round) {
    static const char value[VALUE_BYTES];
    velocity_write_options options = velocity_write_options_default();
    options.durability = durability;
    velocity_batch *batch = velocity_batch_new();
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = (i * 37 + round) % KEYS;
        velocity_batch_clear(batch);
        velocity_batch_put(batch, velocity_bytes(&key, sizeof key), velocity_bytes(value, sizeof value), NULL);
        OK(velocity_write(db, batch, &options, NULL));
    }
    velocity_batch_free(batch);
}

/* As velocity_open does, but that the calls are looked at. */
static velocity *open_watched(const char *folder, velocity_options *options) {
    velocity *db;
    OK(database_open(&watching, path_in(folder, "db"), options, &db));
    atomic_store(&watched, db);
    return db;
}

/* Once the background is done: what it does last is to be seen, too. */
static void close_watched(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    for (OK(velocity_stats_get(db, &stats)); stats.background_jobs; OK(velocity_stats_get(db, &stats)))
        env_sleep_us(1000);
    atomic_store(&watched, NULL); /* the mutex is about to go */
    OK(velocity_close(db));
}

/* Buffers that fill, logs that are left behind unsynced and then synced, replayed ones that go, merges, a full disk. */
static void nobody_holds_the_mutex_over_a_call_of_the_file_system(void **state) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = 1 << 20;
    options.log_retention_bytes = 0;
    for (int retained = 0; retained < 2; retained++) {
        velocity *db = open_watched(*state, &options);
        for (uint64_t round = 0; round < 8; round++) {
            write_keys(db, VELOCITY_DURABILITY_OS, round * 2);
            write_keys(db, VELOCITY_DURABILITY_ALWAYS, round * 2 + 1);
        }
        atomic_store(&disk_is_full, true);
        OK(velocity_flush(db));
        assert_false(atomic_load(&disk_is_full));
        OK(velocity_compact(db, NULL));
        for (uint64_t key = 0; key < KEYS; key++) OK(velocity_contains(db, velocity_bytes(&key, sizeof key)));
        write_keys(db, VELOCITY_DURABILITY_OS, 0); /* for the next opening to replay */
        close_watched(db);
        db = open_watched(*state, &options);
        write_keys(db, VELOCITY_DURABILITY_ALWAYS, 1);
        OK(velocity_flush(db));
        close_watched(db);
        options.log_retention_bytes = 4 << 20;
    }
    if (atomic_load(&held)) fail_msg("the mutex is held over a call of %s", atomic_load(&held));
    assert_true(atomic_load(&calls) > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_holds_the_mutex_over_a_call_of_the_file_system, watch, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
