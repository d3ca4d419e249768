/* install_test.c - putting tables in force while the disk fails: what is left behind, and what is there afterwards. */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

static const char folder[] = "disk/db";

static velocity_status count_table(void *arg, const char *name) {
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".sst") == 0) ++*(size_t *)arg;
    return VELOCITY_OK;
}

static size_t tables(env_sim *sim) {
    size_t count = 0;
    OK(env_list(env_sim_env(sim), folder, count_table, &count));
    return count;
}

/* The manifest takes no record, and no new one comes into force: as on a disk that is full but for one more table. */
static void attempts_to_flush_that_fail_leave_at_most_one_table_behind(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db;
    OK(env_make_directory(env_sim_env(sim), "disk"));
    OK(env_sync_directory(env_sim_env(sim), "/"));
    OK(database_open(env_sim_env(sim), folder, NULL, &db));
    OK(velocity_put(db, velocity_str("key"), velocity_str("value")));
    enum { SYNC_OF_MANIFEST = 3 }; /* behind the new log segment's header and the table's */
    env_sim_fail(sim, ENV_SIM_SYNC, SYNC_OF_MANIFEST);
    env_sim_fail(sim, ENV_SIM_RENAME, 1);
    assert_int_equal(velocity_flush(db), VELOCITY_IO);
    assert_int_equal(tables(sim), 1);
    for (int i = 0; i < 3; i++) {
        env_sim_fail(sim, ENV_SIM_RENAME, 1);
        assert_int_equal(velocity_flush(db), VELOCITY_IO);
    }
    assert_int_equal(tables(sim), 1);
    OK(velocity_flush(db));
    assert_int_equal(tables(sim), 2);
    OK(velocity_contains(db, velocity_str("key")));
    env_sim_crash_after(sim, 0);
    assert_int_equal(velocity_close(db), VELOCITY_IO);
    env_sim_power_cut(sim);
    OK(database_open(env_sim_env(sim), folder, NULL, &db));
    OK(velocity_contains(db, velocity_str("key")));
    assert_int_equal(tables(sim), 1);
    OK(velocity_close(db));
    env_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_to_flush_that_fail_leave_at_most_one_table_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
