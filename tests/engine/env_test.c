/*
 * env_test.c - what both environments promise, checked by one list of tests on each; then what only the simulated one
 * offers (kills, power cuts, faults), and memory, locks and threads.
 */
#include "engine/env.h"
#include "engine/status.h"
#include "env_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, VELOCITY_OK)

/* An environment under test and a folder of its own. */
struct place {
    env *e;
    env_sim *sim; /* NULL: the real one */
    char root[64];
    char path_space[4][128];
    unsigned next_path;
};

/* A path in the place's folder; the last four stay valid. */
static const char *at(struct place *p, const char *name) {
    char *path = p->path_space[p->next_path++ % 4];
    (void)snprintf(path, sizeof p->path_space[0], "%s/%s", p->root, name);
    return path;
}

static int posix_setup(void **state) {
    struct place *p = calloc(1, sizeof *p);
    if (!p) return -1;
    p->e = env_posix();
    (void)snprintf(p->root, sizeof p->root, "env_test.XXXXXX");
    if (!mkdtemp(p->root)) return -1;
    *state = p;
    return 0;
}

static velocity_status remove_one(void *arg, const char *name) {
    struct place *p = arg;
    const char *path = at(p, name);
    if (env_unlink(p->e, path) == VELOCITY_OK) return VELOCITY_OK;
    return rmdir(path) == 0 ? VELOCITY_OK : VELOCITY_IO;
}

static int posix_teardown(void **state) {
    struct place *p = *state;
    bool clean = env_list(p->e, p->root, remove_one, p) == VELOCITY_OK && rmdir(p->root) == 0;
    free(p);
    return clean ? 0 : -1;
}

static int sim_setup(void **state) {
    struct place *p = calloc(1, sizeof *p);
    if (!p) return -1;
    p->sim = env_sim_new(1);
    p->e = env_sim_env(p->sim);
    (void)snprintf(p->root, sizeof p->root, "disk");
    *state = p;
    return env_make_directory(p->e, p->root) == VELOCITY_OK && env_sync_directory(p->e, ".") == VELOCITY_OK ? 0 : -1;
}

static int sim_teardown(void **state) {
    struct place *p = *state;
    env_sim_free(p->sim);
    free(p);
    return 0;
}

static void put_file(struct place *p, const char *name, const char *text) {
    env_file *f;
    OK(env_create(p->e, at(p, name), &f));
    OK(env_write(f, text, strlen(text), 0));
    OK(env_sync(f));
    OK(env_close(f));
}

static void assert_file(struct place *p, const char *name, const char *text) {
    env_file *f;
    char bytes[256] = {0};
    size_t got;
    OK(env_open_read(p->e, at(p, name), &f));
    OK(env_read(f, bytes, sizeof bytes - 1, 0, &got));
    OK(env_close(f));
    assert_string_equal(bytes, text);
}

static bool there(struct place *p, const char *name) {
    bool exists;
    OK(env_exists(p->e, at(p, name), &exists));
    return exists;
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

static void what_was_written_is_read(void **state) {
    struct place *p = *state;
    env_file *f;
    char bytes[32];
    size_t got;
    uint64_t size;
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, "hello", 5, 3));
    OK(env_write(f, "J", 1, 3));
    OK(env_read(f, bytes, 5, 3, &got));
    assert_int_equal(got, 5);
    assert_memory_equal(bytes, "Jello", 5);
    OK(env_read(f, bytes, sizeof bytes, 0, &got));
    assert_int_equal(got, 8);
    assert_memory_equal(bytes, "\0\0\0Jello", 8);
    OK(env_read(f, bytes, sizeof bytes, 8, &got));
    assert_int_equal(got, 0);
    OK(env_size(f, &size));
    assert_int_equal(size, 8);
    OK(env_flush_range(f, 0, 8));
    OK(env_sync(f));
    OK(env_close(f));
    OK(env_close(NULL));
}

static void a_large_write_crosses_pages_unharmed(void **state) {
    enum { SIZE = 100000, OFFSET = 4000 };
    struct place *p = *state;
    env_file *f;
    size_t got;
    uint8_t *out = malloc(SIZE), *in = malloc(SIZE);
    assert_non_null(out);
    assert_non_null(in);
    for (size_t i = 0; i < SIZE; i++) out[i] = (uint8_t)(i * 7 + i / 251);
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, out, SIZE, OFFSET));
    OK(env_read(f, in, SIZE, OFFSET, &got));
    assert_int_equal(got, SIZE);
    assert_memory_equal(in, out, SIZE);
    OK(env_close(f));
    free(out);
    free(in);
}

static void a_missing_file_is_not_found_and_is_named(void **state) {
    struct place *p = *state;
    env_file *f;
    assert_int_equal(env_open_read(p->e, at(p, "absent"), &f), VELOCITY_NOT_FOUND);
    assert_null(f);
    assert_non_null(strstr(velocity_error_message(), "/absent: "));
    assert_int_equal(env_open_write(p->e, at(p, "absent"), &f), VELOCITY_NOT_FOUND);
    assert_int_equal(env_create(p->e, at(p, "absent/f"), &f), VELOCITY_NOT_FOUND);
    assert_int_equal(env_unlink(p->e, at(p, "absent")), VELOCITY_NOT_FOUND);
    assert_int_equal(env_rename(p->e, at(p, "absent"), at(p, "b")), VELOCITY_NOT_FOUND);
    assert_int_equal(env_sync_directory(p->e, at(p, "absent")), VELOCITY_NOT_FOUND);
    assert_false(there(p, "absent"));
}

static void a_file_opened_for_reading_takes_no_write(void **state) {
    struct place *p = *state;
    env_file *f;
    put_file(p, "f", "kept");
    OK(env_open_read(p->e, at(p, "f"), &f));
    assert_int_equal(env_write(f, "lost", 4, 0), VELOCITY_IO);
    assert_non_null(strstr(velocity_error_message(), "/f: "));
    OK(env_close(f));
    assert_file(p, "f", "kept");
}

static void create_empties_what_was_there(void **state) {
    struct place *p = *state;
    put_file(p, "f", "a long text");
    put_file(p, "f", "short");
    assert_file(p, "f", "short");
}

static void truncate_cuts_and_extends_with_zeros(void **state) {
    struct place *p = *state;
    env_file *f;
    char bytes[8];
    size_t got;
    put_file(p, "f", "abcdef");
    OK(env_open_write(p->e, at(p, "f"), &f));
    OK(env_truncate(f, 2));
    OK(env_truncate(f, 4));
    OK(env_read(f, bytes, sizeof bytes, 0, &got));
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "ab\0\0", 4);
    OK(env_close(f));
}

static void rename_replaces_and_unlink_removes(void **state) {
    struct place *p = *state;
    put_file(p, "a", "first");
    put_file(p, "b", "second");
    OK(env_rename(p->e, at(p, "a"), at(p, "b")));
    OK(env_sync_directory(p->e, p->root));
    assert_file(p, "b", "first");
    assert_false(there(p, "a"));
    OK(env_unlink(p->e, at(p, "b")));
    assert_false(there(p, "b"));
}

static void an_unlinked_file_stays_readable_while_it_is_open(void **state) {
    struct place *p = *state;
    env_file *f;
    char bytes[4];
    size_t got;
    put_file(p, "f", "text");
    OK(env_open_read(p->e, at(p, "f"), &f));
    OK(env_unlink(p->e, at(p, "f")));
    OK(env_sync_directory(p->e, p->root));
    OK(env_read(f, bytes, sizeof bytes, 0, &got));
    assert_memory_equal(bytes, "text", 4);
    OK(env_close(f));
}

static void make_directory_is_content_with_one_that_exists(void **state) {
    struct place *p = *state;
    OK(env_make_directory(p->e, at(p, "d")));
    OK(env_make_directory(p->e, at(p, "d")));
    assert_true(there(p, "d"));
    put_file(p, "f", "");
    assert_int_equal(env_make_directory(p->e, at(p, "f")), VELOCITY_IO);
    assert_int_equal(env_make_directory(p->e, at(p, "x/y")), VELOCITY_NOT_FOUND);
}

struct visits {
    unsigned seen, limit;
    char names[256];
};

static velocity_status visit(void *arg, const char *name) {
    struct visits *v = arg;
    (void)strncat(v->names, name, 16);
    return ++v->seen == v->limit ? VELOCITY_BUSY : VELOCITY_OK;
}

static void list_shows_every_name_and_stops_when_told(void **state) {
    struct place *p = *state;
    struct visits all = {0}, one = {.limit = 1};
    put_file(p, "aa", "");
    put_file(p, "bb", "");
    OK(env_make_directory(p->e, at(p, "cc")));
    OK(env_list(p->e, p->root, visit, &all));
    assert_int_equal(all.seen, 3);
    assert_int_equal(strlen(all.names), 6);
    assert_non_null(strstr(all.names, "aa"));
    assert_non_null(strstr(all.names, "cc"));
    assert_int_equal(env_list(p->e, p->root, visit, &one), VELOCITY_BUSY);
    assert_int_equal(one.seen, 1);
    assert_int_equal(env_list(p->e, at(p, "absent"), visit, &all), VELOCITY_NOT_FOUND);
}

static void a_lock_is_held_once(void **state) {
    struct place *p = *state;
    env_lock *first, *second;
    OK(env_lock_file(p->e, at(p, "LOCK"), &first));
    assert_int_equal(env_lock_file(p->e, at(p, "LOCK"), &second), VELOCITY_LOCKED);
    assert_null(second);
    assert_non_null(strstr(velocity_error_message(), "/LOCK: "));
    env_unlock_file(p->e, first);
    OK(env_lock_file(p->e, at(p, "LOCK"), &second));
    env_unlock_file(p->e, second);
}

static void a_window_and_its_file_show_the_same_bytes(void **state) {
    struct place *p = *state;
    env_file *f;
    uint8_t page[2 * ENV_PAGE_BYTES] = {0}, *window;
    char bytes[6];
    size_t got;
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, page, sizeof page, 0));
    OK(env_map(f, ENV_PAGE_BYTES, ENV_PAGE_BYTES, &window));
    memcpy(window + 10, "stored", 6);
    OK(env_read(f, bytes, 6, ENV_PAGE_BYTES + 10, &got));
    assert_memory_equal(bytes, "stored", 6);
    OK(env_write(f, "WRITTEN", 7, ENV_PAGE_BYTES + 12));
    assert_memory_equal(window + 10, "stWRITTEN", 9);
    OK(env_sync(f));
    env_unmap(f, window, ENV_PAGE_BYTES);
    OK(env_read(f, bytes, 6, ENV_PAGE_BYTES + 10, &got));
    assert_memory_equal(bytes, "stWRIT", 6);
    OK(env_close(f));
}

static void clocks_run_and_random_numbers_differ(void **state) {
    struct place *p = *state;
    uint8_t a[16] = {0}, b[16] = {0};
    uint64_t before = env_monotonic_us(p->e);
    assert_true(env_now_ms(p->e) > UINT64_C(1600000000000));
    assert_true(env_monotonic_us(p->e) >= before);
    OK(env_random(p->e, a, sizeof a));
    OK(env_random(p->e, b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
}

/* ---- the real one ----------------------------------------------------------------------------------------------- */

static void files_and_folders_are_the_owners_alone(void **state) {
    struct place *p = *state;
    struct stat about;
    put_file(p, "f", "");
    OK(env_make_directory(p->e, at(p, "d")));
    assert_int_equal(stat(at(p, "f"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(stat(at(p, "d"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
}

static void a_lock_keeps_another_process_out(void **state) {
    struct place *p = *state;
    int ready[2], finish[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(finish), 0);
    const char *path = at(p, "LOCK");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        env_lock *theirs;
        bool locked = env_lock_file(p->e, path, &theirs) == VELOCITY_OK;
        if (write(ready[1], locked ? "y" : "n", 1) == 1) (void)!read(finish[0], &byte, 1);
        _exit(0); /* with the lock held: the system lets it go */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    env_lock *ours;
    assert_int_equal(env_lock_file(p->e, path, &ours), VELOCITY_LOCKED);
    assert_non_null(strstr(velocity_error_message(), "another process"));
    assert_int_equal(write(finish[1], "x", 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    OK(env_lock_file(p->e, path, &ours));
    env_unlock_file(p->e, ours);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(close(ready[i]), 0);
        assert_int_equal(close(finish[i]), 0);
    }
}

/* ---- the simulated one ------------------------------------------------------------------------------------------ */

static void a_killed_process_leaves_all_it_wrote(void **state) {
    struct place *p = *state;
    env_file *f;
    env_lock *lock;
    uint8_t page[ENV_PAGE_BYTES] = {0}, *window;
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, page, sizeof page, 0));
    OK(env_write(f, "written", 7, 0));
    OK(env_map(f, 0, sizeof page, &window));
    OK(env_lock_file(p->e, at(p, "LOCK"), &lock));
    memcpy(window + 7, " and stored", 11);
    env_sim_kill(p->sim);
    assert_file(p, "f", "written and stored");
    assert_int_equal(env_write(f, "ghost", 5, 0), VELOCITY_IO);
    env_lock *next;
    OK(env_lock_file(p->e, at(p, "LOCK"), &next));
    env_unmap(f, window, sizeof page);
    assert_int_equal(env_close(f), VELOCITY_IO);
    env_unlock_file(p->e, lock);
    env_lock *third;
    assert_int_equal(env_lock_file(p->e, at(p, "LOCK"), &third), VELOCITY_LOCKED);
    env_unlock_file(p->e, next);
    assert_int_equal(env_sim_open_files(p->sim), 0);
}

static void a_synced_byte_survives_any_power_cut(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        env_sim *sim = env_sim_new(seed);
        env *e = env_sim_env(sim);
        env_file *f;
        uint8_t out[3000], *in;
        size_t size;
        for (size_t i = 0; i < sizeof out; i++) out[i] = (uint8_t)(i * 31);
        OK(env_create(e, "f", &f));
        OK(env_write(f, out, sizeof out, 100));
        OK(env_sync(f));
        OK(env_sync_directory(e, "/"));
        OK(env_write(f, "unsynced", 8, 5000));
        env_sim_power_cut(sim);
        assert_int_equal(env_close(f), VELOCITY_IO);
        in = env_sim_read_file(sim, "f", &size);
        assert_non_null(in);
        assert_true(size >= 3100);
        assert_memory_equal(in + 100, out, sizeof out);
        free(in);
        env_sim_free(sim);
    }
}

/* How one page of unsynced ones over synced zeros looks after a power cut. */
struct remains {
    unsigned kept, lost, torn; /* sectors */
};

static void count_sector(struct remains *r, const uint8_t *sector) {
    size_t ones = 0;
    while (ones < 512 && sector[ones] == 1) ones++;
    for (size_t i = ones; i < 512; i++) assert_int_equal(sector[i], 0);
    if (ones == 512) r->kept++;
    if (ones == 0) r->lost++;
    if (ones > 0 && ones < 512) r->torn++;
}

static void an_unsynced_sector_is_kept_lost_or_torn(void **state) {
    (void)state;
    struct remains total = {0};
    unsigned mixed = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        env_sim *sim = env_sim_new(seed);
        env *e = env_sim_env(sim);
        env_file *f;
        uint8_t page[ENV_PAGE_BYTES] = {0}, *window, *left;
        size_t size;
        struct remains r = {0};
        OK(env_create(e, "f", &f));
        OK(env_write(f, page, sizeof page, 0));
        OK(env_sync(f));
        OK(env_sync_directory(e, ""));
        OK(env_map(f, 0, sizeof page, &window));
        memset(window, 1, sizeof page);
        env_sim_power_cut(sim);
        env_unmap(f, window, sizeof page);
        assert_int_equal(env_close(f), VELOCITY_IO);
        left = env_sim_read_file(sim, "f", &size);
        assert_int_equal(size, sizeof page);
        for (size_t i = 0; i < size; i += 512) count_sector(&r, left + i);
        free(left);
        if (r.kept && r.lost) mixed++;
        total = (struct remains){total.kept + r.kept, total.lost + r.lost, total.torn + r.torn};
        env_sim_free(sim);
    }
    assert_true(total.kept > 100 && total.lost > 100 && total.torn > 10);
    assert_true(mixed > 20);
}

/* What a power cut left of: create a, b, c and rename b to d, nothing synced. A bit a name. */
static unsigned names_after_cut(uint64_t seed, bool any_subset) {
    static const char *const names[] = {"a", "b", "c", "d"};
    env_sim *sim = env_sim_new(seed);
    env *e = env_sim_env(sim);
    env_file *f;
    unsigned left = 0;
    if (any_subset) env_sim_lose_any_names(sim);
    for (size_t i = 0; i < 3; i++) {
        OK(env_create(e, names[i], &f));
        OK(env_close(f));
    }
    OK(env_rename(e, "b", "d"));
    env_sim_power_cut(sim);
    for (size_t i = 0; i < 4; i++) {
        bool exists;
        OK(env_exists(e, names[i], &exists));
        if (exists) left |= 1u << i;
    }
    env_sim_free(sim);
    return left;
}

static void unsynced_names_survive_as_a_prefix(void **state) {
    (void)state;
    bool seen[16] = {false};
    for (uint64_t seed = 0; seed < 300; seed++) seen[names_after_cut(seed, false)] = true;
    for (unsigned left = 0; left < 16; left++) {
        bool a_prefix = left == 0 || left == 1 || left == 3 || left == 7 || left == 13;
        assert_int_equal(seen[left], a_prefix);
    }
}

static void unsynced_names_survive_in_any_subset_where_asked(void **state) {
    (void)state;
    bool seen[16] = {false};
    for (uint64_t seed = 0; seed < 1000; seed++) seen[names_after_cut(seed, true)] = true;
    assert_true(seen[4]);  /* c without a and b */
    assert_true(seen[8]);  /* the rename without the creation */
    assert_true(seen[13]); /* all */
    for (unsigned left = 0; left < 16; left++)
        if ((left & 10) == 10) assert_false(seen[left]); /* b and d at once: they are one file */
}

static void synced_names_survive(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        env_sim *sim = env_sim_new(seed);
        struct place p = {.e = env_sim_env(sim), .sim = sim, .root = "d"};
        OK(env_make_directory(p.e, "d"));
        OK(env_sync_directory(p.e, ""));
        put_file(&p, "old", "one");
        put_file(&p, "new", "two");
        OK(env_sync_directory(p.e, "d"));
        OK(env_rename(p.e, "d/new", "d/old"));
        env_sim_power_cut(sim);
        assert_true(there(&p, "old"));
        assert_file(&p, "old", there(&p, "new") ? "one" : "two");
        env_sim_free(sim);
    }
}

static void an_unsynced_truncation_may_be_undone_whole(void **state) {
    (void)state;
    bool undone = false, kept = false;
    for (uint64_t seed = 0; seed < 200; seed++) {
        env_sim *sim = env_sim_new(seed);
        struct place p = {.e = env_sim_env(sim), .sim = sim, .root = "."};
        env_file *f;
        uint8_t *left;
        size_t size;
        put_file(&p, "f", "older");
        OK(env_sync_directory(p.e, "."));
        OK(env_create(p.e, "f", &f));
        OK(env_write(f, "new", 3, 0));
        env_sim_power_cut(sim);
        assert_int_equal(env_close(f), VELOCITY_IO);
        left = env_sim_read_file(sim, "f", &size);
        if (size == 5) {
            assert_memory_equal(left, "older", 5);
            undone = true;
        } else {
            assert_true(size <= 3);
            for (size_t i = 0; i < size; i++) assert_true(left[i] == 0 || left[i] == (uint8_t) "new"[i]);
            if (size == 3 && left[0]) kept = true;
        }
        free(left);
        env_sim_free(sim);
    }
    assert_true(undone && kept);
}

static void a_crash_lets_that_many_calls_happen(void **state) {
    struct place *p = *state;
    env_file *f;
    env_sim_crash_after(p->sim, 3);
    uint64_t before = env_sim_calls(p->sim);
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, "abc", 3, 0));
    OK(env_sync(f));
    assert_false(env_sim_crashed(p->sim));
    assert_int_equal(env_rename(p->e, at(p, "f"), at(p, "g")), VELOCITY_IO);
    assert_true(env_sim_crashed(p->sim));
    char bytes[3];
    size_t got;
    assert_int_equal(env_read(f, bytes, 3, 0, &got), VELOCITY_IO);
    assert_int_equal(env_close(f), VELOCITY_IO);
    assert_int_equal(env_sim_calls(p->sim) - before, 3);
    env_sim_kill(p->sim);
    assert_file(p, "f", "abc");
    assert_false(there(p, "g"));
}

static void what_a_dead_process_stores_into_a_window_is_lost(void **state) {
    struct place *p = *state;
    env_file *f;
    uint8_t page[ENV_PAGE_BYTES] = {0}, *window;
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, page, sizeof page, 0));
    OK(env_map(f, 0, sizeof page, &window));
    memcpy(window, "before", 6);
    env_sim_crash_after(p->sim, 0);
    memcpy(window, "AFTER!", 6);
    env_unmap(f, window, sizeof page);
    assert_int_equal(env_close(f), VELOCITY_IO);
    env_sim_kill(p->sim);
    assert_file(p, "f", "before");
}

static void a_fault_strikes_once_where_it_was_ordered(void **state) {
    struct place *p = *state;
    env_file *f;
    OK(env_create(p->e, at(p, "f"), &f));
    env_sim_fail(p->sim, ENV_SIM_WRITE, 2);
    OK(env_write(f, "a", 1, 0));
    assert_int_equal(env_write(f, "b", 1, 1), VELOCITY_IO);
    assert_non_null(strstr(velocity_error_message(), "/f: cannot write"));
    OK(env_write(f, "c", 1, 1));
    OK(env_close(f));
    assert_file(p, "f", "ac");
    env_sim_fail(p->sim, ENV_SIM_OPEN, 1);
    assert_int_equal(env_open_read(p->e, at(p, "f"), &f), VELOCITY_IO);
    OK(env_open_read(p->e, at(p, "f"), &f));
    OK(env_close(f));
}

static void what_a_failed_sync_gave_up_no_later_sync_saves(void **state) {
    (void)state;
    unsigned lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        env_sim *sim = env_sim_new(seed);
        struct place p = {.e = env_sim_env(sim), .sim = sim, .root = "."};
        env_file *f;
        uint8_t *left;
        size_t size;
        put_file(&p, "f", "old");
        OK(env_sync_directory(p.e, "."));
        OK(env_open_write(p.e, "f", &f));
        OK(env_write(f, "new", 3, 0));
        env_sim_fail(sim, ENV_SIM_SYNC, 1);
        assert_int_equal(env_sync(f), VELOCITY_IO);
        OK(env_sync(f));
        assert_file(&p, "f", "new");
        env_sim_power_cut(sim);
        assert_int_equal(env_close(f), VELOCITY_IO);
        left = env_sim_read_file(sim, "f", &size);
        if (left[0] == 'o') lost++;
        if (left[0] == 'n') kept++;
        free(left);
        env_sim_free(sim);
    }
    assert_true(lost > 10 && kept > 10);
}

static void a_full_disk_takes_what_fits_existing_blocks(void **state) {
    struct place *p = *state;
    env_file *f, *g;
    uint8_t pages[3 * ENV_PAGE_BYTES] = {7};
    OK(env_create(p->e, at(p, "f"), &f));
    OK(env_write(f, pages, 2 * ENV_PAGE_BYTES, 0));
    env_sim_set_capacity(p->sim, env_sim_used(p->sim));
    OK(env_write(f, "x", 1, 5000));
    assert_int_equal(env_write(f, pages, sizeof pages, 0), VELOCITY_NO_SPACE);
    assert_non_null(strstr(velocity_error_message(), "/f: "));
    OK(env_create(p->e, at(p, "g"), &g));
    assert_int_equal(env_write(g, "y", 1, 0), VELOCITY_NO_SPACE);
    OK(env_unlink(p->e, at(p, "f")));
    assert_int_equal(env_write(g, "y", 1, 0), VELOCITY_NO_SPACE);
    OK(env_close(f));
    OK(env_write(g, "y", 1, 0));
    OK(env_close(g));
}

static void a_flipped_bit_is_read_and_survives(void **state) {
    struct place *p = *state;
    put_file(p, "f", "abc");
    OK(env_sync_directory(p->e, p->root));
    assert_true(env_sim_flip_bit(p->sim, at(p, "f"), 1, 5));
    assert_false(env_sim_flip_bit(p->sim, at(p, "f"), 3, 0));
    assert_file(p, "f", "aBc");
    env_sim_power_cut(p->sim);
    assert_file(p, "f", "aBc");
}

static void the_clock_goes_on_when_it_is_told_to(void **state) {
    struct place *p = *state;
    uint64_t wall = env_now_ms(p->e), monotonic = env_monotonic_us(p->e);
    env_sim_advance_ms(p->sim, 5000);
    assert_in_range(env_now_ms(p->e) - wall, 5000, 5001);
    assert_in_range(env_monotonic_us(p->e) - monotonic, 5000000, 5000010);
}

/* ---- memory, locks, threads ------------------------------------------------------------------------------------- */

static bool allocates(void) {
    void *block = env_alloc(8);
    env_free(block);
    return block != NULL;
}

static void the_nth_allocation_fails_with_a_message(void **state) {
    (void)state;
    env_fail_allocation(2, false);
    assert_true(allocates());
    assert_false(allocates());
    assert_non_null(strstr(velocity_error_message(), "no memory for 8 bytes"));
    assert_true(allocates());
    env_fail_allocation(1, true);
    assert_false(allocates());
    assert_null(env_alloc_zeroed(8));
    assert_null(env_alloc_aligned(64, 8));
    assert_null(env_realloc(NULL, 8));
    env_fail_allocation(0, false);
    assert_true(allocates());
}

static void allocations_are_zeroed_aligned_and_grown(void **state) {
    (void)state;
    uint8_t *zeroed = env_alloc_zeroed(100), *aligned = env_alloc_aligned(4096, 100), *empty = env_alloc(0);
    assert_non_null(zeroed);
    assert_non_null(aligned);
    assert_non_null(empty);
    for (size_t i = 0; i < 100; i++) assert_int_equal(zeroed[i], 0);
    assert_int_equal((uintptr_t)aligned % 4096, 0);
    memcpy(zeroed, "kept", 4);
    zeroed = env_realloc(zeroed, 100000);
    assert_non_null(zeroed);
    assert_memory_equal(zeroed, "kept", 4);
    env_free(zeroed);
    env_free(aligned);
    env_free(empty);
    env_free(NULL);
}

static void a_wait_ends_when_its_time_is_over(void **state) {
    (void)state;
    env_mutex m;
    env_condition c;
    env_mutex_init(&m);
    env_condition_init(&c);
    uint64_t before = env_monotonic_us(env_posix());
    env_mutex_lock(&m);
    while (env_condition_wait_ms(&c, &m, 20)) {
    }
    env_mutex_unlock(&m);
    assert_true(env_monotonic_us(env_posix()) - before >= 20000);
    env_condition_destroy(&c);
    env_mutex_destroy(&m);
}

struct meeting {
    _Atomic uint32_t turn;
    env_thread_local *key;
    _Atomic uint32_t destroyed;
};

static void *answer(void *arg) {
    struct meeting *m = arg;
    env_thread_local_set(m->key, m);
    while (atomic_load(&m->turn) == 0) env_wait_word(&m->turn, 0);
    atomic_store(&m->turn, 2);
    env_wake_word(&m->turn, true);
    return NULL;
}

static void count_destroyed(void *value) {
    atomic_fetch_add(&((struct meeting *)value)->destroyed, 1);
}

static void threads_wake_each_other_and_their_records_are_destroyed(void **state) {
    (void)state;
    env_thread_local key;
    struct meeting m = {.key = &key};
    env_thread thread;
    OK(env_thread_local_new(&key, count_destroyed));
    OK(env_thread_start(&thread, "a-name-longer-than-fifteen", answer, &m));
    env_thread_yield();
    env_sleep_us(1000);
    atomic_store(&m.turn, 1);
    env_wake_word(&m.turn, false);
    while (atomic_load(&m.turn) == 1) env_wait_word(&m.turn, 1);
    env_thread_join(thread);
    assert_int_equal(atomic_load(&m.turn), 2);
    assert_int_equal(atomic_load(&m.destroyed), 1);
    assert_true(env_core_count() >= 1);
}

#define ON_POSIX(test)                                                                                                 \
    { "posix: " #test, test, posix_setup, posix_teardown, NULL }
#define ON_SIM(test)                                                                                                   \
    { "sim: " #test, test, sim_setup, sim_teardown, NULL }
#define ON_BOTH(test) ON_POSIX(test), ON_SIM(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(what_was_written_is_read),
        ON_BOTH(a_large_write_crosses_pages_unharmed),
        ON_BOTH(a_missing_file_is_not_found_and_is_named),
        ON_BOTH(a_file_opened_for_reading_takes_no_write),
        ON_BOTH(create_empties_what_was_there),
        ON_BOTH(truncate_cuts_and_extends_with_zeros),
        ON_BOTH(rename_replaces_and_unlink_removes),
        ON_BOTH(an_unlinked_file_stays_readable_while_it_is_open),
        ON_BOTH(make_directory_is_content_with_one_that_exists),
        ON_BOTH(list_shows_every_name_and_stops_when_told),
        ON_BOTH(a_lock_is_held_once),
        ON_BOTH(a_window_and_its_file_show_the_same_bytes),
        ON_BOTH(clocks_run_and_random_numbers_differ),
        ON_POSIX(files_and_folders_are_the_owners_alone),
        ON_POSIX(a_lock_keeps_another_process_out),
        ON_SIM(a_killed_process_leaves_all_it_wrote),
        ON_SIM(a_crash_lets_that_many_calls_happen),
        ON_SIM(what_a_dead_process_stores_into_a_window_is_lost),
        ON_SIM(a_fault_strikes_once_where_it_was_ordered),
        ON_SIM(a_full_disk_takes_what_fits_existing_blocks),
        ON_SIM(a_flipped_bit_is_read_and_survives),
        ON_SIM(the_clock_goes_on_when_it_is_told_to),
        cmocka_unit_test(a_synced_byte_survives_any_power_cut),
        cmocka_unit_test(an_unsynced_sector_is_kept_lost_or_torn),
        cmocka_unit_test(unsynced_names_survive_as_a_prefix),
        cmocka_unit_test(unsynced_names_survive_in_any_subset_where_asked),
        cmocka_unit_test(synced_names_survive),
        cmocka_unit_test(an_unsynced_truncation_may_be_undone_whole),
        cmocka_unit_test(what_a_failed_sync_gave_up_no_later_sync_saves),
        cmocka_unit_test(the_nth_allocation_fails_with_a_message),
        cmocka_unit_test(allocations_are_zeroed_aligned_and_grown),
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(threads_wake_each_other_and_their_records_are_destroyed),
    };
    return cmocka_run_group_tests_name("env", tests, NULL, NULL);
}
