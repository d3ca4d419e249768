/* databases_fixture.h - a registry of databases in a folder of its own, and what tests ask of one of them. */
#ifndef VELOCITY_TESTS_DATABASES_FIXTURE_H
#define VELOCITY_TESTS_DATABASES_FIXTURE_H

#include "tests/server/cmocka_all.h"

#include "server/databases_internal.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK(call) assert_int_equal(call, VELOCITY_OK)

struct fixture {
    char base[64], folder[96], system_path[96];
    velocity *system;
    struct databases *all;
    struct logger *log; /* the next one to be opened logs here; NULL: nowhere */
};

static inline velocity_options small_options(void) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = 1 << 20;
    options.durability = VELOCITY_DURABILITY_OS;
    options.reserve_bytes = 0;
    options.compression = VELOCITY_COMPRESSION_NONE; /* what is put takes its room */
    return options;
}

static inline struct databases_options options_of(struct fixture *f) {
    struct databases_options options = {.folder = f->folder,
                                        .system = f->system,
                                        .template = small_options(),
                                        .cache_bytes = 4 << 20,
                                        .total_memtable_bytes = 8 << 20,
                                        .max_open_files = 100,
                                        .background_threads = 1,
                                        .max_databases = 5,
                                        .log = f->log};
    return options;
}

static inline void fixture_paths(struct fixture *f) {
    strcpy(f->base, "/tmp/velocity-databases-XXXXXX");
    assert_non_null(mkdtemp(f->base));
    (void)snprintf(f->folder, sizeof f->folder, "%s/databases", f->base);
    (void)snprintf(f->system_path, sizeof f->system_path, "%s/system", f->base);
}

static inline velocity_status fixture_try_open(struct fixture *f) {
    velocity_options system = small_options();
    velocity_status status = velocity_open(f->system_path, &system, &f->system);
    if (status) return status;
    struct databases_options options = options_of(f);
    return databases_open(&options, &f->all);
}

static inline void fixture_close(struct fixture *f) {
    OK(databases_close(f->all));
    OK(velocity_close(f->system));
}

static inline void fixture_reopen(struct fixture *f) {
    fixture_close(f);
    OK(fixture_try_open(f));
}

/* While it is closed. */
static inline void fixture_damage(const struct fixture *f, const char *name) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/CURRENT", f->folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fputs("nonsense", file) >= 0, true);
    assert_int_equal(fclose(file), 0);
}

static inline int fixture_remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline void fixture_remove(struct fixture *f) {
    (void)nftw(f->base, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int set_up(void **state) {
    static struct fixture f;
    fixture_paths(&f);
    *state = &f;
    return fixture_try_open(&f) == VELOCITY_OK ? 0 : -1;
}

static inline int tear_down(void **state) {
    fixture_close(*state);
    fixture_remove(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static inline bool path_exists(const struct fixture *f, const char *name) {
    char path[256];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    return lstat(path, &info) == 0;
}

static inline velocity_status create(struct fixture *f, const char *name) {
    return databases_create(f->all, velocity_str(name), UINT64_MAX);
}

static inline velocity_status acquire(struct fixture *f, const char *name, struct database **out) {
    return databases_acquire(f->all, velocity_str(name), out);
}

/* Puts one key; the version that it got. */
static inline velocity_status put(struct fixture *f, const char *name, uint64_t *version) {
    struct database *database;
    velocity_status status = acquire(f, name, &database);
    if (status) return status;
    struct store_operation operation = {.action = STORE_PUT, .key = LITERAL("key"), .value = LITERAL("value")};
    struct store_batch batch = {.operations = &operation, .operation_count = 1};
    struct store_commit commit = {0};
    struct store *store = database_store(database);
    store->operations->write(store, &batch, &commit);
    *version = commit.version;
    store_commit_free(&commit);
    database_release(database);
    return commit.status;
}

static inline uint64_t version_of_put(struct fixture *f, const char *name) {
    uint64_t version = 0;
    OK(put(f, name, &version));
    return version;
}

/* A copy, whose strings are its own. */
struct shown {
    struct database_info info;
    char name[DATABASE_NAME_MAX + 1], message[256];
};

static inline bool copy_shown(void *arg, const struct database_info *info) {
    struct shown *shown = arg;
    shown->info = *info;
    strcpy(shown->name, info->name);
    strcpy(shown->message, info->message);
    return true;
}

static inline struct shown show(struct fixture *f, const char *name) {
    struct shown shown = {0};
    OK(databases_list(f->all, velocity_str(name), copy_shown, &shown));
    return shown;
}

#endif
