/* store_feed_test.c - frozen views and feeds of changes through the store. */
#include "tests/server/databases_fixture.h"

#include <pthread.h>

static struct store *store_of(struct fixture *f, struct database **database) {
    OK(acquire(f, "default", database));
    return database_store(*database);
}

static bool count_row(void *arg, const struct store_row *row) {
    (void)row;
    (*(size_t *)arg)++;
    return true;
}

static size_t rows_of(struct store *store, const velocity_slice *prefixes, size_t prefix_count, uint64_t *version) {
    size_t count = 0;
    struct store_scan scan = {.row = count_row, .arg = &count, .prefixes = prefixes, .prefix_count = prefix_count};
    OK(store->operations->scan(store, &scan));
    assert_true(scan.complete);
    *version = scan.version;
    return count;
}

static void put_key(struct database *database, const char *key, const char *value) {
    OK(velocity_put(database->db, velocity_str(key), velocity_str(value)));
}

static void a_frozen_view_shows_one_moment_in_every_way_of_reading(void **state) {
    struct database *database;
    struct store *store = store_of(*state, &database), *view;
    const velocity_slice prefixes[] = {LITERAL("a"), LITERAL("b")};
    uint64_t version, seen;
    put_key(database, "a", "old");
    put_key(database, "b", "old");
    OK(store->operations->freeze(store, &view, &version));
    assert_int_equal(version, 2);
    put_key(database, "a", "new");
    put_key(database, "c", "new");
    OK(velocity_delete(database->db, velocity_str("b")));
    velocity_value value;
    OK(view->operations->get(view, velocity_str("a"), false, &value));
    assert_slice(velocity_bytes(value.data, value.size), velocity_str("old"));
    view->operations->release(view, &value);
    assert_int_equal(view->operations->get(view, velocity_str("c"), false, &value), VELOCITY_NOT_FOUND);
    const velocity_slice keys[] = {LITERAL("a"), LITERAL("b"), LITERAL("c")};
    velocity_value values[3];
    velocity_status statuses[3];
    struct store_reads reads = {.count = 3, .keys = keys, .values = values, .statuses = statuses};
    OK(view->operations->get_many(view, &reads));
    assert_int_equal(reads.version, version);
    assert_int_equal(values[0].sequence, 1);
    assert_int_equal(values[1].sequence, 2);
    assert_int_equal(statuses[2], VELOCITY_NOT_FOUND);
    for (int i = 0; i < 2; i++) view->operations->release(view, &values[i]);
    assert_int_equal(rows_of(view, NULL, 0, &seen), 2);
    assert_int_equal(seen, version);
    assert_int_equal(rows_of(view, prefixes, 2, &seen), 2);
    assert_int_equal(seen, version);
    assert_int_equal(rows_of(store, NULL, 0, &seen), 2);
    assert_int_equal(seen, 5);
    view->operations->free(view);
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(database->db, &stats));
    assert_int_equal(stats.live_handles, 0);
    database_release(database);
}

static void note_ready(void *arg) {
    (*(int *)arg)++;
}

static void a_feed_shows_what_comes_behind_a_version_and_tells_of_more(void **state) {
    struct database *database;
    struct store *store = store_of(*state, &database);
    velocity_status status;
    int told = 0;
    put_key(database, "a", "1");
    put_key(database, "b", "2");
    struct store_feed *feed = store->operations->feed(store, 1);
    assert_non_null(feed);
    const velocity_change *change = store->operations->feed_next(feed, &status);
    assert_non_null(change);
    assert_slice(change->key, velocity_str("b"));
    assert_int_equal(change->sequence, 2);
    assert_null(store->operations->feed_next(feed, &status));
    OK(status);
    assert_int_equal(store->operations->feed_version(feed), 2);
    store->operations->feed_notify(feed, note_ready, &told);
    assert_int_equal(told, 0);
    put_key(database, "c", "3");
    assert_int_equal(told, 1);
    assert_int_equal(store->operations->feed_next(feed, &status)->sequence, 3);
    store->operations->feed_free(feed);
    feed = store->operations->feed(store, 4);
    assert_non_null(feed);
    assert_null(store->operations->feed_next(feed, &status));
    assert_int_equal(status, VELOCITY_HISTORY_GONE);
    store->operations->feed_free(feed);
    database_release(database);
}

static void whoever_holds_a_database_keeps_it_and_is_told_when_it_is_to_go(void **state) {
    struct fixture *f = *state;
    struct database *database;
    OK(create(f, "other"));
    OK(acquire(f, "other", &database));
    assert_ptr_equal(database_hold(database), database);
    database_release(database);
    assert_false(database_is_closing(database));
    assert_int_equal(databases_drop(f->all, velocity_str("other"), 20), VELOCITY_BUSY);
    assert_false(database_is_closing(database)); /* it goes on as before */
    database_release(database);
    OK(databases_drop(f->all, velocity_str("other"), 20));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_frozen_view_shows_one_moment_in_every_way_of_reading),
        TEST(a_feed_shows_what_comes_behind_a_version_and_tells_of_more),
        TEST(whoever_holds_a_database_keeps_it_and_is_told_when_it_is_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
