/* store_fixture.h - the store over a database in a folder of its own. */
#ifndef VELOCITY_TESTS_STORE_FIXTURE_H
#define VELOCITY_TESTS_STORE_FIXTURE_H

#include "tests/server/cmocka_all.h"

#include "server/store.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

struct fixture {
    char folder[64];
    velocity *db;
    struct store *store;
};

static inline int fixture_remove(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline int fixture_set_up(void **state) {
    static struct fixture f;
    strcpy(f.folder, "/tmp/velocity-store-XXXXXX");
    if (!mkdtemp(f.folder)) return -1;
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    if (velocity_open(f.folder, &options, &f.db) != VELOCITY_OK) return -1;
    f.store = store_lsm_new(f.db);
    *state = &f;
    return f.store ? 0 : -1;
}

static inline int fixture_tear_down(void **state) {
    struct fixture *f = *state;
    f->store->operations->free(f->store);
    velocity_status status = velocity_close(f->db);
    /* A commit's callback that has answered is still about to return. */
    for (int i = 0; i < 1000 && status == VELOCITY_BUSY; i++) {
        usleep(1000);
        status = velocity_close(f->db);
    }
    nftw(f->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    return status == VELOCITY_OK ? 0 : -1;
}

#endif
