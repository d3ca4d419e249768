/* config_reload_test.c - the configuration read again: what counts at once, what waits, and what changes nothing. */
#include "engine/velocity.h"
#include "tests/server/config_file.h"

#define HASH "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"

static struct config_request *kept;
static struct config current, next;
static struct config_changes changes;
static struct config_error error;

/* A server that was started with this file. */
static void start_with(const char *text, char *const *environment, const struct config_flag *flag) {
    config_file_write(text);
    struct config_request request = {
        .path = config_file_path, .environment = environment, .flags = flag, .flag_count = flag ? 1 : 0};
    if (!config_load(&request, &current, &error)) fail_msg("%s", error.text);
    kept = config_request_copy(&request);
    assert_non_null(kept);
}

/* The file is `text` now. */
static bool reload(const char *text) {
    config_file_fill(text);
    return config_reload(&current, kept, &next, &changes, &error);
}

static int clean_up(void **state) {
    config_free(&current);
    config_request_free(kept);
    kept = NULL;
    return config_file_remove(state);
}

static size_t index_of(const char *section, const char *name) {
    return (size_t)(config_find(section, name) - config_keys);
}

static void an_unchanged_file_changes_nothing(void **state) {
    (void)state;
    static const char text[] = "[server]\nallowed_hosts = [\"a\"]\n[database]\ncache_size = 512\n"
                               "[users]\nbob = \"" HASH "\"\n";
    start_with(text, NULL, NULL);
    assert_true(reload(text));
    assert_int_equal(changes.changed_count, 0);
    assert_int_equal(changes.restart_count, 0);
    assert_false(changes.users);
    config_free(&next);
    assert_true(reload("# a comment, and other lines\n[users]\nbob = \"" HASH "\"\n[database]\ncache_size = 512\n"
                       "[server]\nallowed_hosts = [\"a\"]\n"));
    assert_int_equal(changes.changed_count + changes.restart_count + changes.users, 0);
    assert_int_equal(next.origins[index_of("server", "allowed_hosts")].line, 7);
    config_free(&next);
}

static void what_can_change_counts_at_once(void **state) {
    (void)state;
    start_with("[database]\ndurability = \"always\"\n", NULL, NULL);
    assert_true(reload("[database]\ndurability = \"os\"\n[server]\ncors_origins = [\"https://a\"]\n"));
    assert_int_equal(changes.changed_count, 2);
    assert_int_equal(changes.changed[0], index_of("server", "cors_origins"));
    assert_int_equal(changes.changed[1], index_of("database", "durability"));
    assert_int_equal(changes.restart_count, 0);
    assert_int_equal(next.database.durability, VELOCITY_DURABILITY_OS);
    assert_string_equal(next.server.cors_origins.items[0], "https://a");
    config_free(&next);
}

static void what_takes_a_restart_is_reported_and_keeps_its_value(void **state) {
    (void)state;
    start_with("[server]\ndata_dir = \"here\"\n", NULL, NULL);
    assert_true(reload("[server]\ndata_dir = \"there\"\nmax_value_bytes = 5\n[logging]\nlevel = \"debug\"\n"));
    assert_int_equal(changes.restart_count, 3);
    assert_int_equal(changes.restart[0], index_of("server", "data_dir"));
    assert_int_equal(changes.restart[1], index_of("server", "max_value_bytes"));
    assert_int_equal(changes.restart[2], index_of("server", "max_frame_bytes")); /* follows from it */
    assert_int_equal(changes.changed_count, 1);
    assert_string_equal(next.server.data_dir, "here");
    assert_int_equal(next.server.max_value_bytes, 64 << 20);
    assert_int_equal(next.server.max_frame_bytes, 65 << 20);
    assert_true(next.origins[index_of("server", "data_dir")].restart_pending);
    assert_int_equal(next.origins[index_of("server", "data_dir")].line, 2);

    /* It goes on being told until the file says again what is in force. */
    config_free(&current);
    current = next;
    assert_true(reload("[server]\ndata_dir = \"there\"\n"));
    assert_int_equal(changes.restart_count, 1);
    config_free(&next);
    assert_true(reload("[server]\ndata_dir = \"here\"\n"));
    assert_int_equal(changes.restart_count, 0);
    assert_false(next.origins[index_of("server", "data_dir")].restart_pending);
    config_free(&next);
}

static void a_broken_file_changes_nothing(void **state) {
    (void)state;
    start_with("[logging]\nlevel = \"error\"\n", NULL, NULL);
    assert_false(reload("[logging]\nlevel = \"debug\"\n[server"));
    assert_non_null(strstr(error.text, ":3: not valid TOML"));
    assert_false(reload("[logging]\nlevel = \"loud\"\n"));
    assert_non_null(strstr(error.text, ":2: logging.level must be"));
    assert_int_equal(unlink(config_file_path), 0);
    assert_false(config_reload(&current, kept, &next, &changes, &error));
    assert_non_null(strstr(error.text, "can't read the configuration"));
}

static void a_change_of_the_users_is_noticed_their_order_is_none(void **state) {
    (void)state;
    start_with("[users]\nann = \"" HASH "\"\nbob = \"" HASH "\"\n", NULL, NULL);
    assert_true(reload("[users]\nbob = \"" HASH "\"\nann = \"" HASH "\"\n"));
    assert_false(changes.users);
    config_free(&next);
    static const char *const others[] = {
        "",
        "[users]\nann = \"" HASH "x\"\nbob = \"" HASH "\"\n",
        "[users]\nann = \"" HASH "\"\nbobby = \"" HASH "\"\n",
        "[users]\nann = \"" HASH "\"\n[users.bob]\npassword = \"" HASH "\"\nrole = \"read\"\n",
        "[users]\nann = \"" HASH "\"\n[users.bob]\npassword = \"" HASH "\"\ndatabases = [\"a\"]\n",
        "[users]\nann = \"" HASH "\"\n[users.bob]\npassword = \"" HASH "\"\nprefixes = [\"a\"]\n"};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_true(reload(others[i]));
        assert_true(changes.users);
        config_free(&next);
    }
}

static void flags_and_environment_of_the_start_still_count(void **state) {
    (void)state;
    char hosts[] = "VELOCITY_SERVER_ALLOWED_HOSTS=env", home[] = "HOME=/";
    char *environment[] = {home, hosts, NULL};
    char *value = strdup("debug");
    struct config_flag flag = {"logging.level", value, "verbose"};
    start_with("", environment, &flag);
    memset(hosts, 'x', sizeof hosts - 1); /* neither needs the caller's texts any more */
    memset(value, 'x', 5);
    free(value);
    assert_true(reload("[logging]\nlevel = \"error\"\n[server]\nallowed_hosts = [\"file\"]\n"));
    assert_int_equal(changes.changed_count, 0);
    assert_string_equal(next.server.allowed_hosts.items[0], "env");
    assert_string_equal(next.origins[index_of("logging", "level")].option, "verbose");
    config_free(&next);
}

static void a_secret_counts_at_the_start_only(void **state) {
    (void)state;
    char password[] = "VELOCITY_ADMIN_PASSWORD_FILE=/nonexistent/once",
         text[] = "VELOCITY_ADMIN_PASSWORD=correct horse";
    char *without[] = {text, NULL}, *environment[] = {password, text, NULL};
    start_with("", without, NULL);
    config_request_free(kept);
    struct config_request request = {.path = config_file_path, .environment = environment};
    kept = config_request_copy(&request);
    for (char *const *entry = kept->environment; *entry; entry++) assert_null(strstr(*entry, "PASSWORD"));
    assert_true(reload(""));
    assert_int_equal(changes.changed_count + changes.restart_count, 0);
    assert_string_equal(next.admin_password, "");
    config_free(&next);
}

static void what_is_mixed_is_checked_as_a_whole(void **state) {
    (void)state;
    /* The old address stays, and with it the need for users. */
    start_with("[server]\nbind_address = \"0.0.0.0:1\"\n[users]\nbob = \"" HASH "\"\n", NULL, NULL);
    assert_false(current.needs_users);
    assert_true(reload("[server]\nbind_address = \"127.0.0.1:1\"\n"));
    assert_string_equal(next.server.bind_address, "0.0.0.0:1");
    assert_int_equal(next.tls.enabled, CONFIG_TLS_ON);
    assert_true(next.needs_users);
    config_free(&next);
}

static void the_places_are_where_the_file_is_looked_for(void **state) {
    (void)state;
    const char *places[CONFIG_MAX_PLACES];
    struct config_request request = {.path = "/x/y.toml"}, none = {0};
    assert_int_equal(config_places(&request, places), 1);
    assert_string_equal(places[0], "/x/y.toml");
    assert_int_equal(config_places(&none, places), 2);
    assert_string_equal(places[0], "./velocity.toml");
}

#define TEST(name) cmocka_unit_test_teardown(name, clean_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_unchanged_file_changes_nothing),
        TEST(what_can_change_counts_at_once),
        TEST(what_takes_a_restart_is_reported_and_keeps_its_value),
        TEST(a_broken_file_changes_nothing),
        TEST(a_change_of_the_users_is_noticed_their_order_is_none),
        TEST(flags_and_environment_of_the_start_still_count),
        TEST(a_secret_counts_at_the_start_only),
        TEST(what_is_mixed_is_checked_as_a_whole),
        TEST(the_places_are_where_the_file_is_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
