/* epoch_test.c - what was retired is destroyed once, and only after every reader that might see it has left. */
#include "engine/env.h"
#include "engine/epoch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 1000u /* retirements enough for several collections */

struct item {
    struct epoch_item item;
    _Atomic uint32_t destroyed;
};

static void destroy(struct epoch_item *item) {
    atomic_fetch_add(&((struct item *)item)->destroyed, 1);
}

static struct item *new_items(size_t count) {
    struct item *items = env_alloc_zeroed(count * sizeof *items);
    assert_non_null(items);
    return items;
}

static void retire_items(struct item *items, size_t count) {
    for (size_t i = 0; i < count; i++) epoch_retire(&items[i].item, destroy);
}

static size_t destroyed(struct item *items, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += atomic_load(&items[i].destroyed);
    return sum;
}

static void wait_for(_Atomic uint32_t *word, uint32_t value) {
    while (atomic_load(word) != value) env_sleep_us(50);
}

/* A thread that sits in a section from reader_start to reader_stop. */
struct reader {
    env_thread thread;
    _Atomic uint32_t inside, leave;
};

static void *reader_run(void *arg) {
    struct reader *r = arg;
    epoch_enter();
    atomic_store(&r->inside, 1);
    wait_for(&r->leave, 1);
    epoch_leave();
    return NULL;
}

static void reader_start(struct reader *r) {
    memset(r, 0, sizeof *r);
    assert_int_equal(env_thread_start(&r->thread, "reader", reader_run, r), VELOCITY_OK);
    wait_for(&r->inside, 1);
}

static void reader_stop(struct reader *r) {
    atomic_store(&r->leave, 1);
    env_thread_join(r->thread);
}

/* Runs first: later, records of ended threads lie ready and none need be allocated. */
static void *nested_sections_run(void *arg) {
    struct reader *r = arg;
    epoch_enter();
    env_fail_allocation(0, false);
    epoch_enter(); /* memory is back: the section goes on as it began */
    epoch_leave();
    atomic_store(&r->inside, 1);
    wait_for(&r->leave, 1);
    epoch_leave();
    return NULL;
}

static void a_thread_without_memory_for_a_record_is_protected_all_the_same(void **state) {
    (void)state;
    epoch_enter(); /* this thread has its record */
    epoch_leave();
    struct reader r = {0};
    env_fail_allocation(1, true);
    assert_int_equal(env_thread_start(&r.thread, "reader", nested_sections_run, &r), VELOCITY_OK);
    wait_for(&r.inside, 1);
    struct item *items = new_items(MANY);
    retire_items(items, MANY);
    assert_int_equal(destroyed(items, MANY), 0);
    reader_stop(&r);
    epoch_drain();
    assert_int_equal(destroyed(items, MANY), MANY);
    env_free(items);
}

static void a_drain_destroys_all_that_was_retired_each_once(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    for (size_t done = 0; done < MANY;) { /* also numbers that no collection falls on */
        size_t step = done % 7 + 1 < MANY - done ? done % 7 + 1 : MANY - done;
        retire_items(items + done, step);
        done += step;
        epoch_drain();
        assert_int_equal(destroyed(items, MANY), done);
    }
    for (size_t i = 0; i < MANY; i++) assert_int_equal(items[i].destroyed, 1);
    env_free(items);
}

static void without_readers_items_are_destroyed_without_a_drain(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    retire_items(items, MANY);
    assert_true(destroyed(items, MANY) >= MANY / 2);
    epoch_drain();
    env_free(items);
}

static void a_reader_inside_keeps_all_that_is_retired_until_it_leaves(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    struct reader r;
    reader_start(&r);
    retire_items(items, MANY);
    assert_int_equal(destroyed(items, MANY), 0);
    reader_stop(&r);
    epoch_drain();
    assert_int_equal(destroyed(items, MANY), MANY);
    env_free(items);
}

static void a_reader_that_came_later_does_not_keep_older_items(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    struct reader older, newer;
    epoch_drain();
    reader_start(&older);
    retire_items(items, MANY); /* the first collection made a batch of some */
    reader_start(&newer);
    reader_stop(&older);
    struct item *more = new_items(MANY);
    retire_items(more, MANY);
    assert_true(destroyed(items, MANY) > 0);
    assert_int_equal(destroyed(more, MANY), 0);
    reader_stop(&newer);
    epoch_drain();
    assert_int_equal(destroyed(items, MANY) + destroyed(more, MANY), 2 * MANY);
    env_free(items);
    env_free(more);
}

static void what_is_retired_inside_a_section_outlives_it(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    epoch_enter();
    retire_items(items, MANY / 2);
    epoch_enter();
    retire_items(items + MANY / 2, MANY / 2);
    epoch_leave(); /* an inner section's end ends nothing */
    assert_int_equal(destroyed(items, MANY), 0);
    epoch_leave();
    assert_true(destroyed(items, MANY) > 0); /* the collection that became due ran at the end */
    epoch_drain();
    assert_int_equal(destroyed(items, MANY), MANY);
    env_free(items);
}

static void collecting_destroys_at_once_what_nobody_reads(void **state) {
    (void)state;
    struct item *items = new_items(2);
    epoch_drain();
    epoch_retire(&items[0].item, destroy);
    epoch_collect();
    assert_int_equal(items[0].destroyed, 1);
    epoch_enter();
    epoch_retire(&items[1].item, destroy);
    epoch_collect();
    assert_int_equal(items[1].destroyed, 0);
    epoch_leave();
    assert_int_equal(items[1].destroyed, 1);
    env_free(items);
}

static bool inside;
static size_t destroyed_inside;

static void destroy_and_notice_where(struct epoch_item *item) {
    destroyed_inside += inside;
    destroy(item);
}

static void destroyers_never_run_inside_a_section(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    destroyed_inside = 0;
    for (size_t i = 0; i < MANY; i++) {
        epoch_enter();
        inside = true;
        epoch_retire(&items[i].item, destroy_and_notice_where);
        inside = false;
        epoch_leave();
    }
    assert_true(destroyed(items, MANY) >= MANY / 2);
    epoch_drain();
    assert_int_equal(destroyed_inside, 0);
    env_free(items);
}

static struct item *successor;

static void destroy_and_retire_the_next(struct epoch_item *item) {
    destroy(item);
    epoch_enter();
    for (size_t i = 0; i < MANY; i++) epoch_retire(&successor[i].item, destroy);
    epoch_leave();
}

static void a_destroyer_may_retire_and_open_sections(void **state) {
    (void)state;
    struct item first = {0};
    successor = new_items(MANY);
    epoch_retire(&first.item, destroy_and_retire_the_next);
    epoch_drain();
    assert_int_equal(first.destroyed, 1);
    epoch_drain();
    assert_int_equal(destroyed(successor, MANY), MANY);
    env_free(successor);
}

static _Atomic uint32_t slow_started, slow_may_end;

static void destroy_slowly(struct epoch_item *item) {
    atomic_store(&slow_started, 1);
    wait_for(&slow_may_end, 1);
    destroy(item);
}

static void *retire_slow_item(void *arg) {
    struct item *items = arg;
    epoch_retire(&items[0].item, destroy_slowly);
    for (size_t i = 1; i < MANY && !atomic_load(&slow_started); i++) epoch_retire(&items[i].item, destroy);
    return NULL;
}

static void *drain_run(void *arg) {
    epoch_drain();
    atomic_store((_Atomic uint32_t *)arg, 1);
    return NULL;
}

static void a_drain_waits_for_a_destroyer_that_another_thread_runs(void **state) {
    (void)state;
    struct item *items = new_items(MANY);
    env_thread retirer, drainer;
    _Atomic uint32_t drained = 0;
    assert_int_equal(env_thread_start(&retirer, "retirer", retire_slow_item, items), VELOCITY_OK);
    wait_for(&slow_started, 1);
    assert_int_equal(env_thread_start(&drainer, "drainer", drain_run, &drained), VELOCITY_OK);
    env_sleep_us(20000);
    assert_int_equal(drained, 0);
    atomic_store(&slow_may_end, 1);
    env_thread_join(drainer);
    assert_int_equal(items[0].destroyed, 1);
    env_thread_join(retirer);
    epoch_drain();
    env_free(items);
}

static void an_ended_threads_record_serves_the_next_thread(void **state) {
    (void)state;
    struct reader r;
    reader_start(&r);
    reader_stop(&r);
    env_fail_allocation(1, false);
    for (int i = 0; i < 20; i++) {
        reader_start(&r);
        reader_stop(&r);
    }
    void *block = env_alloc(1); /* the failure is still to come: nobody allocated */
    env_fail_allocation(0, false);
    assert_null(block);
}

/* ---- many threads ------------------------------------------------------------------------------------------------ */

#define SLOTS   16u
#define THREADS 4u
#define ROUNDS  20000u
#define ALIVE   0xA11FEu

struct node {
    struct epoch_item item;
    uint32_t state; /* ALIVE */
    uint32_t slot;
};

static _Atomic(struct node *) slots[SLOTS];
static _Atomic uint64_t made, freed, wrong;

static struct node *node_new(uint32_t slot) {
    struct node *n = env_alloc(sizeof *n);
    if (!n) return NULL;
    n->state = ALIVE;
    n->slot = slot;
    atomic_fetch_add(&made, 1);
    return n;
}

static void node_destroy(struct epoch_item *item) {
    struct node *n = (struct node *)item;
    n->state = 0;
    env_free(n);
    atomic_fetch_add(&freed, 1);
}

static void *replace_and_read(void *arg) {
    uint32_t random = (uint32_t)(uintptr_t)arg * 2654435761u;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t slot = (random >> 16) % SLOTS;
        epoch_enter();
        struct node *seen = atomic_load_explicit(&slots[slot], memory_order_acquire);
        if (i % 4 == 0) {
            struct node *next = node_new(slot);
            struct node *old = next ? atomic_exchange(&slots[slot], next) : NULL;
            if (old) epoch_retire(&old->item, node_destroy);
        }
        if (i % 64 == 0) env_thread_yield();
        if (seen && (seen->state != ALIVE || seen->slot != slot)) atomic_fetch_add(&wrong, 1);
        epoch_leave();
    }
    return NULL;
}

static void readers_never_see_a_destroyed_node_and_none_is_lost(void **state) {
    (void)state;
    env_thread threads[THREADS];
    for (uintptr_t t = 0; t < THREADS; t++)
        assert_int_equal(env_thread_start(&threads[t], "worker", replace_and_read, (void *)(t + 1)), VELOCITY_OK);
    for (size_t t = 0; t < THREADS; t++) env_thread_join(threads[t]);
    for (size_t s = 0; s < SLOTS; s++) {
        struct node *n = atomic_exchange(&slots[s], NULL);
        if (n) epoch_retire(&n->item, node_destroy);
    }
    epoch_drain();
    assert_int_equal(wrong, 0);
    assert_int_equal(made, THREADS * ROUNDS / 4);
    assert_int_equal(freed, made);
}

#define REPLACEMENTS 50000u

static atomic_bool replaced_enough;

static void *look_again_after_a_while(void *arg) {
    (void)arg;
    while (!atomic_load(&replaced_enough)) {
        epoch_enter();
        struct node *seen = atomic_load_explicit(&slots[0], memory_order_acquire);
        for (int i = 0; i < 3; i++) env_cpu_relax();
        if (seen && seen->state != ALIVE) atomic_fetch_add(&wrong, 1);
        epoch_leave();
    }
    return NULL;
}

/* Destruction follows the unlinking as closely as it can: entering must be visible before the reader's first load. */
static void a_reader_that_just_entered_is_seen_by_a_drain(void **state) {
    (void)state;
    env_thread reader;
    atomic_store(&wrong, 0);
    assert_int_equal(env_thread_start(&reader, "reader", look_again_after_a_while, NULL), VELOCITY_OK);
    for (uint32_t i = 0; i < REPLACEMENTS; i++) {
        struct node *old = atomic_exchange(&slots[0], node_new(0));
        if (old) epoch_retire(&old->item, node_destroy);
        epoch_drain();
    }
    atomic_store(&replaced_enough, true);
    env_thread_join(reader);
    struct node *last = atomic_exchange(&slots[0], NULL);
    epoch_retire(&last->item, node_destroy);
    epoch_drain();
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_without_memory_for_a_record_is_protected_all_the_same),
        cmocka_unit_test(a_drain_destroys_all_that_was_retired_each_once),
        cmocka_unit_test(without_readers_items_are_destroyed_without_a_drain),
        cmocka_unit_test(a_reader_inside_keeps_all_that_is_retired_until_it_leaves),
        cmocka_unit_test(a_reader_that_came_later_does_not_keep_older_items),
        cmocka_unit_test(what_is_retired_inside_a_section_outlives_it),
        cmocka_unit_test(collecting_destroys_at_once_what_nobody_reads),
        cmocka_unit_test(destroyers_never_run_inside_a_section),
        cmocka_unit_test(a_destroyer_may_retire_and_open_sections),
        cmocka_unit_test(a_drain_waits_for_a_destroyer_that_another_thread_runs),
        cmocka_unit_test(an_ended_threads_record_serves_the_next_thread),
        cmocka_unit_test(readers_never_see_a_destroyed_node_and_none_is_lost),
        cmocka_unit_test(a_reader_that_just_entered_is_seen_by_a_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
