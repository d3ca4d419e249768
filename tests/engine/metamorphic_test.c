/*
 * metamorphic_test.c - what a database answers must not depend on how it works inside. The same scripts (script.h) are
 * performed with other options, on the simulated and the real machine, by one thread and by several; every answer and
 * everything that the database holds in the end must be what the first performance gave: by one thread, on the
 * simulated machine, with plain options, where hardly anything but the write buffer answers.
 *
 * SEED in the environment repeats a comparison (as far as threads do), STEPS makes the scripts longer:
 * SEED=7 STEPS=100000 engine_metamorphic_test
 */
#include "engine/database.h"
#include "env_sim.h"
#include "script.h"
#include "testing.h"

enum { CLIENTS = 4, KEYS = 600, PHASE_STEPS = 150, DUMPS = 2, REAL_ONE_IN = 3 };

/* ---- machines ---------------------------------------------------------------------------------------------------- */

/* The simulated one, or the real one with a clock that stands until it is turned. Nobody cuts the power: so it need not
 * wait for the disk, which would take most of the time. */
struct machine {
    env env; /* what the engine is given, where it is the real one */
    struct env_operations operations;
    _Atomic uint64_t now_ms;
    env_sim *sim; /* NULL: it is the real one */
};

static uint64_t turned_clock(env *e) {
    return atomic_load(&((struct machine *)e)->now_ms);
}

static velocity_status sync_nothing(env_file *file) {
    (void)file;
    return VELOCITY_OK;
}

static velocity_status sync_no_directory(env *e, const char *path) {
    (void)e;
    (void)path;
    return VELOCITY_OK;
}

static velocity_status create(env *e, const char *path, env_file **out) {
    velocity_status status = env_create(env_posix(), path, out);
    if (!status) (*out)->operations = e->operations;
    return status;
}

static velocity_status open_write(env *e, const char *path, env_file **out) {
    velocity_status status = env_open_write(env_posix(), path, out);
    if (!status) (*out)->operations = e->operations;
    return status;
}

static env *machine_env(struct machine *m) {
    return m->sim ? env_sim_env(m->sim) : &m->env;
}

static void machine_turn(struct machine *m, long days) {
    atomic_fetch_add(&m->now_ms, (uint64_t)(days * MODEL_DAY_MS));
    if (!m->sim) return;
    if (days < 0)
        env_sim_set_back_ms(m->sim, (uint64_t)(-days * MODEL_DAY_MS));
    else
        env_sim_advance_ms(m->sim, (uint64_t)(days * MODEL_DAY_MS));
}

/* On both it is noon of the same day. */
static void machine_start(struct machine *m, bool simulated, uint64_t seed) {
    env_sim *sim = env_sim_new(seed);
    uint64_t now = env_now_ms(env_sim_env(sim)), noon = now - now % MODEL_DAY_MS + MODEL_DAY_MS + MODEL_DAY_MS / 2;
    m->operations = *env_posix()->operations;
    m->operations.now_ms = turned_clock;
    m->operations.create = create;
    m->operations.open_write = open_write;
    m->operations.sync = sync_nothing;
    m->operations.sync_directory = sync_no_directory;
    m->env.operations = &m->operations;
    atomic_init(&m->now_ms, noon);
    m->sim = simulated ? sim : NULL;
    if (simulated)
        env_sim_advance_ms(sim, noon - now);
    else
        env_sim_free(sim);
}

/* ---- performances ------------------------------------------------------------------------------------------------ */

struct performance {
    struct machine machine;
    const char *path;
    velocity *db;
    bool plain, threads; /* plain: no random options */
    size_t clients;
    struct script scripts[CLIENTS];
    long wall_day;         /* of the machine; for the database it is never earlier than it was */
    struct model director; /* the random numbers of what is done between steps: the same in all performances */
    struct model dice;     /* those of the options: this performance's own */
    FILE *record;          /* of what is done between steps, and of the dumps; to `text` */
    char *text, *opened;
    size_t text_bytes, opened_bytes;
    FILE *openings; /* with which options it was opened, for messages; to `opened` */
};

static velocity_options plain_options(void) {
    velocity_options o = velocity_options_default();
    o.compression = VELOCITY_COMPRESSION_NONE;
    o.value_log_threshold = 0;
    o.bloom_false_positive_rate = 1;
    o.durability = VELOCITY_DURABILITY_OS;
    return o;
}

static velocity_options draw_options(struct performance *p) {
    velocity_options o = model_random_options(&p->dice);
    o.max_pending_bytes = velocity_options_default().max_pending_bytes; /* that there is room is no answer to compare */
    o.background_threads = model_random(&p->dice, 2) ? 1 : 4;
    if (model_random(&p->dice, 4) == 0) o.cache_bytes = 1000; /* less than a block */
    return o;
}

static void open_database(struct performance *p) {
    velocity_options o = p->plain ? plain_options() : draw_options(p);
    velocity_stats stats = {.struct_size = sizeof stats};
    (void)fprintf(
        p->openings,
        "  %s machine: memtable %llu, table %llu, block %u, cache %llu, compression %d, values apart from "
        "%llu, encrypted %d, durability %d, filters %g, compaction from %u, background threads %u, files %u\n",
        p->machine.sim ? "simulated" : "real", (unsigned long long)o.memtable_bytes, (unsigned long long)o.table_bytes,
        o.block_bytes, (unsigned long long)o.cache_bytes, (int)o.compression, (unsigned long long)o.value_log_threshold,
        o.encryption_key.data != NULL, (int)o.durability, o.bloom_false_positive_rate, o.compaction_threshold,
        o.background_threads, o.max_open_files);
    OK(database_open(machine_env(&p->machine), p->path, &o, &p->db));
    OK(velocity_stats_get(p->db, &stats));
    for (size_t i = 0; i < p->clients; i++) p->scripts[i].db = p->db;
    (void)fprintf(p->record, "open: sequence %llu\n", (unsigned long long)stats.last_sequence);
}

static void close_database(struct performance *p) {
    enum { PATIENCE = 10000 };
    for (size_t i = 0; i < p->clients; i++) script_release(&p->scripts[i]);
    velocity_status status = velocity_close(p->db);
    for (int i = 0; status == VELOCITY_BUSY && i < PATIENCE; i++) { /* `done` has run but not yet returned */
        env_sleep_us(1000);
        status = velocity_close(p->db);
    }
    OK(status);
}

static void turn_clock(struct performance *p) {
    long days = 1 + (long)model_random(&p->director, 3);
    velocity_stats stats = {.struct_size = sizeof stats};
    if (model_random(&p->director, 3) == 0) days = -days;
    machine_turn(&p->machine, days);
    p->wall_day += days;
    for (size_t i = 0; i < p->clients; i++)
        if (p->wall_day > p->scripts[i].m->day) p->scripts[i].m->day = p->wall_day;
    OK(velocity_stats_get(p->db, &stats)); /* so the database knows, too */
    (void)fprintf(p->record, "clock: %ld days, it is day %llu\n", days,
                  (unsigned long long)(stats.clock_ms / MODEL_DAY_MS));
}

struct client {
    struct script *script;
    unsigned steps;
    env_thread thread;
};

static void *perform_alone(void *arg) {
    struct client *c = arg;
    for (; c->steps > 0; c->steps--) script_step(c->script);
    return NULL;
}

static void perform_phase(struct performance *p, unsigned steps) {
    struct client clients[CLIENTS];
    if (!p->threads) {
        for (unsigned step = 0; step < steps; step++)
            for (size_t i = 0; i < p->clients; i++) script_step(&p->scripts[i]);
        return;
    }
    for (size_t i = 0; i < p->clients; i++) {
        clients[i] = (struct client){.script = &p->scripts[i], .steps = steps};
        OK(env_thread_start(&clients[i].thread, "client", perform_alone, &clients[i]));
    }
    for (size_t i = 0; i < p->clients; i++) env_thread_join(clients[i].thread);
}

static void perform(struct performance *p, unsigned steps) {
    open_database(p);
    while (steps > 0) {
        unsigned phase = 1 + (unsigned)model_random(&p->director, PHASE_STEPS);
        if (phase > steps) phase = steps;
        perform_phase(p, phase);
        steps -= phase;
        uint64_t sort = model_random(&p->director, 10);
        if (sort < 4) turn_clock(p);
        if (sort > 7) {
            close_database(p);
            open_database(p);
        }
    }
    for (int i = 0; i < DUMPS; i++) { /* as it is, and as it is found again */
        script_dump(p->db, p->clients == 1, p->record);
        close_database(p);
        if (i + 1 < DUMPS) open_database(p);
    }
}

static struct performance *performance_new(uint64_t seed, uint64_t number, size_t clients, bool threads,
                                           const char *folder) {
    struct performance *p = calloc(1, sizeof *p);
    assert_non_null(p);
    bool simulated = !threads && number % REAL_ONE_IN != 1;
    char name[32];
    (void)snprintf(name, sizeof name, "%llu-%llu", (unsigned long long)seed, (unsigned long long)number);
    machine_start(&p->machine, simulated, seed);
    p->path = simulated ? "disk" : path_in(folder, name);
    p->plain = number == 0;
    p->threads = threads;
    p->clients = clients;
    p->wall_day = (long)(atomic_load(&p->machine.now_ms) / MODEL_DAY_MS);
    p->director.random = seed;
    p->dice.random = seed * 1000 + number;
    p->record = open_memstream(&p->text, &p->text_bytes);
    p->openings = open_memstream(&p->opened, &p->opened_bytes);
    assert_true(p->record && p->openings);
    for (size_t i = 0; i < clients; i++) {
        script_init(&p->scripts[i], seed * 10 + i, KEYS / clients, clients == 1 ? 0 : (char)('A' + i));
        p->scripts[i].m->day = p->wall_day;
    }
    return p;
}

static void performance_free(struct performance *p) {
    for (size_t i = 0; i < p->clients; i++) script_clear(&p->scripts[i]);
    env_sim_free(p->machine.sim);
    free(p->text);
    free(p->opened);
    free(p);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static int line_bytes(const char *text) {
    return (int)strcspn(text, "\n");
}

/* 0: they are the same. Else where the first line begins that differs, in both, and
 * its number. */
static size_t first_difference(const char **a, const char **b) {
    for (size_t line = 1;; line++) {
        int bytes = line_bytes(*a);
        if (bytes != line_bytes(*b) || memcmp(*a, *b, (size_t)bytes) != 0) return line;
        *a += bytes;
        *b += bytes;
        if (**a == 0 && **b == 0) return 0;
        if (**a) ++*a;
        if (**b) ++*b;
    }
}

/* client: 0 to 3; CLIENTS: what is done between their steps. */
static void expect_same(uint64_t seed, size_t client, const char *first, const char *now, const char *opened) {
    size_t line = first_difference(&first, &now);
    if (!line) return;
    fprintf(stderr,
            "\nSEED=%llu, %s %zu: line %zu was, with plain options:\n    %.*s\nand is now:\n    %.*s\nIt was opened "
            "with:\n%s",
            (unsigned long long)seed, client == CLIENTS ? "director" : "client", client, line, line_bytes(first), first,
            line_bytes(now), now, opened);
    fail();
}

static void compare(const struct performance *first, const struct performance *other, uint64_t seed) {
    for (size_t i = 0; i < first->clients; i++)
        expect_same(seed, i, first->scripts[i].text, other->scripts[i].text, other->opened);
    expect_same(seed, CLIENTS, first->text, other->text, other->opened);
}

static struct performance *performed(uint64_t seed, uint64_t number, size_t clients, bool threads, const char *folder,
                                     unsigned steps) {
    struct performance *p = performance_new(seed, number, clients, threads, folder);
    perform(p, steps);
    assert_int_equal(fclose(p->record) | fclose(p->openings), 0);
    for (size_t i = 0; i < clients; i++) {
        script_end(&p->scripts[i]);
        if (!p->scripts[i].failure[0]) continue;
        fprintf(stderr, "\nSEED=%llu, client %zu: %s\nIt was opened with:\n%s", (unsigned long long)seed, i,
                p->scripts[i].failure, p->opened);
        fail();
    }
    return p;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void compare_performances(uint64_t first_seed, uint64_t runs, uint64_t others, size_t clients, unsigned steps,
                                 const char *folder) {
    uint64_t wanted = from_environment("SEED", 0);
    steps = (unsigned)from_environment("STEPS", steps);
    if (wanted) first_seed = wanted, runs = 1;
    for (uint64_t seed = first_seed; seed < first_seed + runs; seed++) {
        struct performance *first = performed(seed, 0, clients, false, folder, steps);
        for (uint64_t number = 1; number <= others; number++) {
            struct performance *other = performed(seed, number, clients, clients > 1 && number % 2, folder, steps);
            compare(first, other, seed);
            performance_free(other);
        }
        performance_free(first);
    }
}

static void options_and_machines_change_no_answer(void **state) {
    compare_performances(100, 2, 4, 1, 3000, *state);
}

static void threads_beside_one_another_get_the_answers_of_one_after_the_other(void **state) {
    compare_performances(200, 2, 4, CLIENTS, 800, *state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(options_and_machines_change_no_answer),
        TEST_IN_FOLDER(threads_beside_one_another_get_the_answers_of_one_after_the_other),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests_name("metamorphic", tests, NULL, NULL);
}
