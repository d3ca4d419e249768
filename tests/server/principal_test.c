/* principal_test.c - roles, what they may do, and how far a scope reaches. */
#include "tests/server/cmocka_all.h"

#include "engine/env.h"
#include "server/principal.h"

#include <pthread.h>
#include <stdio.h>

#define NO_BOUND velocity_bytes(NULL, 0)

static struct scope of_prefixes(const char *const *texts, size_t count) {
    velocity_slice prefixes[SCOPE_MAX_PREFIXES];
    struct scope scope;
    for (size_t i = 0; i < count; i++) prefixes[i] = velocity_str(texts[i]);
    assert_true(scope_make(&scope, NULL, 0, prefixes, count));
    return scope;
}

#define PREFIXES(...)                                                                                                  \
    of_prefixes((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static struct scope of_databases(const char *const *names, size_t count) {
    struct scope scope;
    assert_true(scope_make(&scope, names, count, NULL, 0));
    return scope;
}

#define DATABASES(...)                                                                                                 \
    of_databases((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* ---- roles ------------------------------------------------------------------------------------------------------ */

static void every_role_has_a_name_that_reads_back(void **state) {
    (void)state;
    for (int i = 0; i < ROLE_COUNT; i++) {
        enum role role = ROLE_COUNT;
        assert_true(role_parse(velocity_str(role_name((enum role)i)), &role));
        assert_int_equal(role, i);
    }
    enum role untouched = ROLE_READ;
    assert_false(role_parse(velocity_str("Admin"), &untouched));
    assert_false(role_parse(velocity_str("admi"), &untouched));
    assert_false(role_parse(velocity_bytes("admin\0", 6), &untouched));
    assert_false(role_parse(NO_BOUND, &untouched));
    assert_int_equal(untouched, ROLE_READ);
}

static void a_role_may_do_what_the_roles_below_it_may(void **state) {
    static const bool may[ROLE_COUNT][PERMISSION_ADMIN + 1] = {
        [ROLE_ADMIN] = {true, true, true, true, true, true},
        [ROLE_WRITE] = {true, true, true, true, true, false},
        [ROLE_READ] = {true, true, true, true, false, false},
        [ROLE_MONITOR] = {true, true, true, false, false, false},
    };
    (void)state;
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct principal p = {.role = (enum role)role};
        for (int permission = 0; permission <= PERMISSION_ADMIN; permission++)
            assert_int_equal(principal_may(&p, (enum permission)permission), may[role][permission]);
    }
}

static void an_admin_with_a_scope_rules_nobody(void **state) {
    struct principal by_key = {.role = ROLE_ADMIN}, by_database = {.role = ROLE_ADMIN};
    (void)state;
    by_key.scope = PREFIXES("a");
    by_database.scope = DATABASES("default");
    assert_false(principal_may(&by_key, PERMISSION_ADMIN));
    assert_false(principal_may(&by_database, PERMISSION_ADMIN));
    assert_true(principal_may(&by_key, PERMISSION_WRITE));
    scope_free(&by_key.scope);
    scope_free(&by_database.scope);
}

/* ---- principals ------------------------------------------------------------------------------------------------- */

static void a_principal_is_a_copy_and_goes_with_its_last_reference(void **state) {
    struct principal model = {.role = ROLE_READ, .login = LOGIN_SESSION, .id = "ab", .csrf = "cd", .expires_at_ms = 7};
    char name[] = "ann";
    (void)state;
    model.user = name;
    model.scope = PREFIXES("k");
    struct principal *p = principal_new(&model);
    assert_non_null(p);
    scope_free(&model.scope);
    memset(name, 'x', 3);
    assert_ptr_equal(principal_acquire(p), p);
    principal_release(p);
    assert_string_equal(p->user, "ann"); /* still there */
    assert_int_equal(p->role, ROLE_READ);
    assert_int_equal(p->login, LOGIN_SESSION);
    assert_string_equal(p->id, "ab");
    assert_string_equal(p->csrf, "cd");
    assert_int_equal(p->expires_at_ms, 7);
    assert_true(scope_has_key(&p->scope, velocity_str("key")));
    assert_false(scope_has_key(&p->scope, velocity_str("other")));
    principal_release(p);
    principal_release(NULL);
}

static void without_memory_there_is_no_principal_and_nothing_leaks(void **state) {
    struct principal model = {.role = ROLE_READ};
    (void)state;
    model.scope = PREFIXES("k", "l");
    for (uint64_t nth = 1; nth <= 2; nth++) {
        env_fail_allocation(nth, false);
        assert_null(principal_new(&model));
    }
    env_fail_allocation(0, false);
    scope_free(&model.scope);
}

static void *acquire_and_release(void *arg) {
    for (int i = 0; i < 20000; i++) principal_release(principal_acquire(arg));
    return NULL;
}

static void threads_share_a_principal(void **state) {
    struct principal *p = principal_new(&(struct principal){.role = ROLE_WRITE});
    pthread_t threads[3];
    (void)state;
    assert_non_null(p);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, acquire_and_release, p), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&p->references), 1);
    principal_release(p);
}

/* ---- scopes ----------------------------------------------------------------------------------------------------- */

static void a_scope_of_nothing_in_particular_is_everywhere(void **state) {
    struct scope zero = {0}, made, empty_prefix = PREFIXES("x", "", "y");
    (void)state;
    assert_true(scope_make(&made, NULL, 0, NULL, 0));
    struct scope *scopes[] = {&zero, &made, &empty_prefix};
    for (size_t i = 0; i < COUNT(scopes); i++) {
        assert_true(scope_is_all(scopes[i]));
        assert_true(scope_has_database(scopes[i], velocity_str("any")));
        assert_true(scope_has_key(scopes[i], LITERAL("\0\xFF")));
        assert_true(scope_has_range(scopes[i], NO_BOUND, NO_BOUND, NO_BOUND));
        scope_free(scopes[i]);
    }
}

static void databases_are_named_whole(void **state) {
    struct scope scope = DATABASES("default", "orders");
    (void)state;
    assert_false(scope_is_all(&scope));
    assert_true(scope_has_database(&scope, velocity_str("orders")));
    assert_false(scope_has_database(&scope, velocity_str("order")));
    assert_false(scope_has_database(&scope, velocity_str("orders2")));
    assert_false(scope_has_database(&scope, velocity_bytes("orders\0", 7)));
    assert_false(scope_has_database(&scope, NO_BOUND));
    assert_true(scope_has_key(&scope, velocity_str("any")));
    scope_free(&scope);
}

static void prefixes_are_sorted_and_those_that_say_nothing_new_are_dropped(void **state) {
    struct scope scope = PREFIXES("b", "abc", "ab", "b", "abd", "c1");
    (void)state;
    assert_int_equal(scope.prefix_count, 3);
    assert_slice(scope.prefixes[0], velocity_str("ab"));
    assert_slice(scope.prefixes[1], velocity_str("b"));
    assert_slice(scope.prefixes[2], velocity_str("c1"));
    scope_free(&scope);
}

static void a_key_is_inside_if_it_begins_with_a_prefix(void **state) {
    struct scope scope = PREFIXES("ab", "b", "c1", "x/");
    static const char *const inside[] = {"ab", "abz", "b", "bzzzz", "c1", "c1/9", "x/y"};
    static const char *const outside[] = {"a", "aa", "ac", "c", "c0zz", "c2", "d", "x", "x0", "z"};
    (void)state;
    for (size_t i = 0; i < COUNT(inside); i++) assert_true(scope_has_key(&scope, velocity_str(inside[i])));
    for (size_t i = 0; i < COUNT(outside); i++) assert_false(scope_has_key(&scope, velocity_str(outside[i])));
    assert_false(scope_has_key(&scope, NO_BOUND));
    scope_free(&scope);
}

static bool has_range(const struct scope *scope, const char *start, const char *end, const char *prefix) {
    return scope_has_range(scope, velocity_str(start), velocity_str(end), velocity_str(prefix));
}

static void a_range_is_inside_if_every_key_of_it_is(void **state) {
    struct scope scope = PREFIXES("ab", "b", "c", "x/");
    (void)state;
    assert_true(has_range(&scope, "", "", "ab"));
    assert_true(has_range(&scope, "", "", "abc"));
    assert_false(has_range(&scope, "", "", "a"));
    assert_false(has_range(&scope, "", "", ""));
    assert_true(has_range(&scope, "ab", "ac", ""));
    assert_false(has_range(&scope, "ab", "ad", ""));
    assert_false(has_range(&scope, "ab", "", ""));
    assert_false(has_range(&scope, "aa", "ac", ""));
    /* b and c lie side by side, ab and b do not. */
    assert_true(has_range(&scope, "b", "d", ""));
    assert_true(has_range(&scope, "b7", "c7", ""));
    assert_false(has_range(&scope, "b", "da", ""));
    assert_false(has_range(&scope, "ab", "c", ""));
    /* Bounds and prefix hold together. */
    assert_true(has_range(&scope, "ab", "ac", "a"));
    assert_false(has_range(&scope, "ab", "", "a"));
    assert_false(has_range(&scope, "ab5", "", ""));
    assert_true(has_range(&scope, "", "ac", "ab"));
    assert_true(has_range(&scope, "x", "", "x/"));
    assert_false(has_range(&scope, "x/", "", "x"));
    assert_false(has_range(&scope, "x/", "x1", "x"));
    assert_true(has_range(&scope, "x/", "x0", ""));
    scope_free(&scope);
}

static void a_range_without_keys_is_inside_anything(void **state) {
    struct scope scope = PREFIXES("m");
    (void)state;
    assert_true(has_range(&scope, "z", "a", ""));
    assert_true(has_range(&scope, "z", "z", ""));
    assert_true(has_range(&scope, "", "a", "b"));
    assert_true(has_range(&scope, "c", "", "b"));
    scope_free(&scope);
}

static void the_last_byte_has_a_successor_one_byte_earlier(void **state) {
    velocity_slice prefixes[] = {LITERAL("a\xFF\xFF"), LITERAL("b"), LITERAL("\xFF\xFF")};
    struct scope scope;
    (void)state;
    assert_true(scope_make(&scope, NULL, 0, prefixes, COUNT(prefixes)));
    assert_true(scope_has_range(&scope, LITERAL("a\xFF\xFF"), LITERAL("c"), NO_BOUND));
    assert_false(scope_has_range(&scope, LITERAL("a\xFF"), LITERAL("c"), NO_BOUND));
    assert_true(scope_has_range(&scope, LITERAL("\xFF\xFF\x01"), NO_BOUND, NO_BOUND));
    assert_true(scope_has_range(&scope, NO_BOUND, NO_BOUND, LITERAL("\xFF\xFF")));
    assert_false(scope_has_range(&scope, NO_BOUND, NO_BOUND, LITERAL("\xFF")));
    assert_false(scope_has_range(&scope, NO_BOUND, LITERAL("\xFF"), NO_BOUND));
    scope_free(&scope);
}

/* Every answer against the obvious one: all keys of up to three letters out of three. */
static void ranges_agree_with_looking_at_every_key(void **state) {
    static const char letters[] = {'\x01', 'b', '\xFF'};
    static char keys[39][4];
    size_t key_count = 0;
    uint32_t random = 12345;
    (void)state;
    for (int a = 0; a < 3; a++) {
        snprintf(keys[key_count++], 4, "%c", letters[a]);
        for (int b = 0; b < 3; b++) {
            snprintf(keys[key_count++], 4, "%c%c", letters[a], letters[b]);
            for (int c = 0; c < 3; c++) snprintf(keys[key_count++], 4, "%c%c%c", letters[a], letters[b], letters[c]);
        }
    }
    for (int round = 0; round < 20000; round++) {
        velocity_slice prefixes[4], bounds[3];
        struct scope scope;
        for (int i = 0; i < 4; i++)
            prefixes[i] = velocity_str(keys[(random = random * 1103515245 + 12345) % 7919 % 39]);
        for (int i = 0; i < 3; i++) {
            size_t pick = (random = random * 1103515245 + 12345) % 7919 % 40;
            bounds[i] = pick == 39 ? NO_BOUND : velocity_str(keys[pick]);
        }
        assert_true(scope_make(&scope, NULL, 0, prefixes, 1 + random % 7919 % 4));
        bool expected = true;
        for (size_t i = 0; i < key_count; i++) {
            velocity_slice key = velocity_str(keys[i]);
            bool in_range = slice_compare(key, bounds[0]) >= 0 &&
                            (bounds[1].size == 0 || slice_compare(key, bounds[1]) < 0) &&
                            slice_starts_with(key, bounds[2]);
            expected &= !in_range || scope_has_key(&scope, key);
        }
        bool answered = scope_has_range(&scope, bounds[0], bounds[1], bounds[2]);
        /* The alphabet has gaps, so a range may hold keys that are not of it: then it may be outside all the same. */
        if (answered) assert_true(expected);
        scope_free(&scope);
    }
}

static void a_scope_covers_another_if_nothing_of_it_is_outside(void **state) {
    struct scope all = {0}, databases = DATABASES("a", "b"), database = DATABASES("b"), keys = PREFIXES("k", "l"),
                 narrow = PREFIXES("k1", "l"), other = PREFIXES("m");
    (void)state;
    assert_true(scope_covers(&all, &databases));
    assert_false(scope_covers(&databases, &all));
    assert_true(scope_covers(&databases, &database));
    assert_false(scope_covers(&database, &databases));
    assert_true(scope_covers(&all, &keys));
    assert_false(scope_covers(&keys, &all));
    assert_true(scope_covers(&keys, &narrow));
    assert_false(scope_covers(&narrow, &keys));
    assert_false(scope_covers(&keys, &other));
    assert_false(scope_covers(&databases, &keys));
    assert_true(scope_covers(&keys, &keys));
    scope_free(&databases);
    scope_free(&database);
    scope_free(&keys);
    scope_free(&narrow);
    scope_free(&other);
}

static void an_intersection_is_what_lies_in_both(void **state) {
    struct scope a = PREFIXES("k", "m1", "x"), b = PREFIXES("k1", "k2", "m", "y"), both, again;
    (void)state;
    assert_int_equal(scope_intersect(&both, &a, &b), SCOPE_MEET);
    assert_int_equal(both.prefix_count, 3);
    assert_slice(both.prefixes[0], velocity_str("k1"));
    assert_slice(both.prefixes[1], velocity_str("k2"));
    assert_slice(both.prefixes[2], velocity_str("m1"));
    assert_int_equal(scope_intersect(&again, &b, &a), SCOPE_MEET);
    assert_true(scope_covers(&both, &again) && scope_covers(&again, &both));
    scope_free(&a);
    scope_free(&b);
    scope_free(&both);
    scope_free(&again);
}

static void what_has_no_bound_leaves_the_other_as_it_is(void **state) {
    struct scope all = {0}, keys = PREFIXES("k"), databases = DATABASES("d"), both;
    (void)state;
    assert_int_equal(scope_intersect(&both, &all, &keys), SCOPE_MEET);
    assert_true(scope_covers(&keys, &both) && scope_covers(&both, &keys));
    scope_free(&both);
    assert_int_equal(scope_intersect(&both, &keys, &databases), SCOPE_MEET);
    assert_int_equal(both.database_count, 1);
    assert_int_equal(both.prefix_count, 1);
    scope_free(&both);
    assert_int_equal(scope_intersect(&both, &all, &all), SCOPE_MEET);
    assert_true(scope_is_all(&both));
    scope_free(&both);
    scope_free(&keys);
    scope_free(&databases);
}

static void scopes_apart_do_not_meet_everywhere(void **state) {
    struct scope k = PREFIXES("k"), l = PREFIXES("l"), d = DATABASES("d"), e = DATABASES("e"), both = {0};
    (void)state;
    assert_int_equal(scope_intersect(&both, &k, &l), SCOPE_APART);
    assert_int_equal(scope_intersect(&both, &d, &e), SCOPE_APART);
    scope_free(&k);
    scope_free(&l);
    scope_free(&d);
    scope_free(&e);
}

static void a_scope_has_limits(void **state) {
    static char names[SCOPE_MAX_DATABASES + 1][4], long_prefix[SCOPE_MAX_BYTES + 1];
    const char *databases[SCOPE_MAX_DATABASES + 1];
    velocity_slice prefixes[SCOPE_MAX_PREFIXES + 1];
    struct scope scope;
    (void)state;
    for (size_t i = 0; i < COUNT(databases); i++) {
        snprintf(names[i], sizeof names[i], "%03zu", i);
        databases[i] = names[i];
        prefixes[i] = velocity_str(names[i]);
    }
    assert_true(scope_make(&scope, databases, SCOPE_MAX_DATABASES, prefixes, SCOPE_MAX_PREFIXES));
    assert_int_equal(scope.database_count, SCOPE_MAX_DATABASES);
    assert_int_equal(scope.prefix_count, SCOPE_MAX_PREFIXES);
    scope_free(&scope);
    assert_false(scope_make(&scope, databases, SCOPE_MAX_DATABASES + 1, NULL, 0));
    assert_false(scope_make(&scope, NULL, 0, prefixes, SCOPE_MAX_PREFIXES + 1));
    prefixes[0] = velocity_bytes(long_prefix, SCOPE_MAX_BYTES);
    assert_true(scope_make(&scope, NULL, 0, prefixes, 1));
    scope_free(&scope);
    prefixes[0].size++;
    assert_false(scope_make(&scope, NULL, 0, prefixes, 1));
}

static void an_intersection_may_have_more_prefixes_than_one_can_ask_for(void **state) {
    static char texts[2][SCOPE_MAX_PREFIXES][16];
    velocity_slice prefixes[2][SCOPE_MAX_PREFIXES];
    struct scope a, b, both;
    (void)state;
    /* One prefix of each covers all but one of the other. */
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < SCOPE_MAX_PREFIXES; i++) {
            const char *letter = side ? "b" : "a";
            if (i == 0)
                snprintf(texts[side][i], sizeof texts[side][i], "%s", side ? "a" : "b");
            else
                snprintf(texts[side][i], sizeof texts[side][i], "%s%d;", letter, i);
            prefixes[side][i] = velocity_str(texts[side][i]);
        }
    assert_true(scope_make(&a, NULL, 0, prefixes[0], SCOPE_MAX_PREFIXES));
    assert_true(scope_make(&b, NULL, 0, prefixes[1], SCOPE_MAX_PREFIXES));
    assert_int_equal(scope_intersect(&both, &a, &b), SCOPE_MEET);
    assert_int_equal(both.prefix_count, 2 * (SCOPE_MAX_PREFIXES - 1));
    scope_free(&a);
    scope_free(&b);
    scope_free(&both);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_has_a_name_that_reads_back),
        cmocka_unit_test(a_role_may_do_what_the_roles_below_it_may),
        cmocka_unit_test(an_admin_with_a_scope_rules_nobody),
        cmocka_unit_test(a_principal_is_a_copy_and_goes_with_its_last_reference),
        cmocka_unit_test(without_memory_there_is_no_principal_and_nothing_leaks),
        cmocka_unit_test(threads_share_a_principal),
        cmocka_unit_test(a_scope_of_nothing_in_particular_is_everywhere),
        cmocka_unit_test(databases_are_named_whole),
        cmocka_unit_test(prefixes_are_sorted_and_those_that_say_nothing_new_are_dropped),
        cmocka_unit_test(a_key_is_inside_if_it_begins_with_a_prefix),
        cmocka_unit_test(a_range_is_inside_if_every_key_of_it_is),
        cmocka_unit_test(a_range_without_keys_is_inside_anything),
        cmocka_unit_test(the_last_byte_has_a_successor_one_byte_earlier),
        cmocka_unit_test(ranges_agree_with_looking_at_every_key),
        cmocka_unit_test(a_scope_covers_another_if_nothing_of_it_is_outside),
        cmocka_unit_test(an_intersection_is_what_lies_in_both),
        cmocka_unit_test(what_has_no_bound_leaves_the_other_as_it_is),
        cmocka_unit_test(scopes_apart_do_not_meet_everywhere),
        cmocka_unit_test(a_scope_has_limits),
        cmocka_unit_test(an_intersection_may_have_more_prefixes_than_one_can_ask_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
