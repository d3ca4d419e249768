/* config_test.c - the promises of the configuration: precedence, places of errors, ranges, documentation. */
#include "engine/velocity.h"
#include "server/config.h"
#include "server/logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char file_path[64];

static void write_file(const char *text) {
    strcpy(file_path, "/tmp/velocity-config-XXXXXX");
    int descriptor = mkstemp(file_path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(descriptor), 0);
}

static int remove_file(void **state) {
    (void)state;
    if (*file_path) (void)unlink(file_path);
    *file_path = '\0';
    return 0;
}

/* Loads `text` as the file; environment and flags may be NULL. */
static bool load(const char *text, char *const *environment, const struct config_flag *flag, struct config *config,
                 struct config_error *error) {
    write_file(text);
    struct config_request request = {
        .path = file_path, .environment = environment, .flags = flag, .flag_count = flag ? 1 : 0};
    return config_load(&request, config, error);
}

static void assert_refused(const char *text, const char *expected_place, const char *expected_words) {
    struct config config;
    struct config_error error;
    char place[128];
    assert_false(load(text, NULL, NULL, &config, &error));
    (void)snprintf(place, sizeof place, "%s%s", file_path, expected_place);
    assert_non_null(strstr(error.text, place));
    assert_non_null(strstr(error.text, expected_words));
    assert_null(strchr(error.text, '\n'));
    assert_int_equal(error.source, CONFIG_FILE);
    (void)remove_file(NULL);
}

static void an_empty_file_gives_the_defaults(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(load("", NULL, NULL, &c, &error));
    assert_string_equal(c.server.bind_address, "127.0.0.1:2005");
    assert_string_equal(c.server.data_dir, "./velocitydb");
    assert_int_equal(c.server.max_connections, 20000);
    assert_int_equal(c.server.max_value_bytes, 64 << 20);
    assert_int_equal(c.server.max_inflight_bytes, 256 << 20);
    assert_int_equal(c.server.allowed_hosts.count, 0);
    assert_int_equal(c.database.compression, VELOCITY_COMPRESSION_LZ4);
    assert_int_equal(c.database.durability, VELOCITY_DURABILITY_ALWAYS);
    assert_true(c.database.enable_compression);
    assert_true(c.database.bloom_false_positive_rate == 0.001);
    assert_int_equal(c.logging.level, LOGGER_LEVEL_INFO);
    assert_string_equal(c.logging.file, "");
    config_free(&c);
}

static void every_kind_of_value_is_read_from_the_file(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(load("[server]\nbind_address = \"[::1]:0\"\nallowed_hosts = [\"a.example\", \"b\"]\n"
                     "max_value_bytes = 5\nmax_inflight_bytes = \"3 GiB\"\n"
                     "[database]\nbloom_false_positive_rate = 1\nenable_compression = false\ndurability = \"os\"\n"
                     "[performance]\nbackground_threads = 3\n[logging]\nformat = \"json\"\n",
                     NULL, NULL, &c, &error));
    assert_string_equal(c.server.bind_address, "[::1]:0");
    assert_int_equal(c.server.allowed_hosts.count, 2);
    assert_string_equal(c.server.allowed_hosts.items[1], "b");
    assert_int_equal(c.server.max_value_bytes, 5);
    assert_true(c.server.max_inflight_bytes == UINT64_C(3) << 30);
    assert_true(c.database.bloom_false_positive_rate == 1);
    assert_false(c.database.enable_compression);
    assert_int_equal(c.database.durability, VELOCITY_DURABILITY_OS);
    assert_int_equal(c.performance.background_threads, 3);
    assert_int_equal(c.logging.format, LOGGER_FORMAT_JSON);
    config_free(&c);
}

static void a_flag_beats_the_environment_which_beats_the_file(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char data_dir[] = "VELOCITY_SERVER_DATA_DIR=/from/environment", bind[] = "VELOCITY_SERVER_BIND_ADDRESS=127.0.0.1:2";
    char *environment[] = {data_dir, bind, NULL};
    struct config_flag flag = {"server.bind_address", "127.0.0.1:3", "bind"};
    assert_true(load("[server]\nbind_address = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\nhttp_threads = 7\n",
                     environment, &flag, &c, &error));
    assert_string_equal(c.server.bind_address, "127.0.0.1:3");
    assert_string_equal(c.server.data_dir, "/from/environment");
    assert_int_equal(c.server.http_threads, 7);
    assert_int_equal(c.origins[config_find("server", "bind_address") - config_keys].source, CONFIG_FLAG);
    assert_int_equal(c.origins[config_find("server", "data_dir") - config_keys].source, CONFIG_ENVIRONMENT);
    assert_int_equal(c.origins[config_find("server", "http_threads") - config_keys].source, CONFIG_FILE);
    assert_int_equal(c.origins[config_find("server", "http_threads") - config_keys].line, 4);
    assert_int_equal(c.origins[config_find("server", "max_connections") - config_keys].source, CONFIG_DEFAULT);
    config_free(&c);
}

static void every_default_is_a_value_that_its_own_variable_accepts(void **state) {
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        struct config c;
        struct config_error error;
        char entry[256], name[128];
        config_variable(&config_keys[i], name, sizeof name);
        (void)snprintf(entry, sizeof entry, "%s=%s", name, config_keys[i].preset);
        char *environment[] = {entry, NULL};
        if (!load("", environment, NULL, &c, &error)) fail_msg("%s", error.text);
        assert_int_equal(c.origins[i].source, CONFIG_ENVIRONMENT);
        config_free(&c);
        (void)remove_file(NULL);
    }
}

static void an_error_in_the_file_names_file_line_and_key(void **state) {
    (void)state;
    assert_refused("[server]\n\nport = 1\n", ":3: ", "unknown key server.port");
    assert_refused("[tls]\nenabled = true\n", ":1: ", "unknown section [tls]");
    assert_refused("[server.deep]\nx = 1\n", ":1: ", "unknown key server.deep");
    assert_refused("x = 1\n", ":1: ", "unknown key \"x\"");
    assert_refused("[server]\nmax_connections = \"many\"\n",
                   ":2: ", "server.max_connections must be a whole number from 1 to");
    assert_refused("[server]\nmax_connections = 0\n", ":2: ", "server.max_connections");
    assert_refused("[server]\nmax_connections = -1\n", ":2: ", "server.max_connections");
    assert_refused("[server]\nmax_connections = 1.5\n", ":2: ", "server.max_connections");
    assert_refused("[server]\ndata_dir = 7\n", ":2: ", "server.data_dir must be a text");
    assert_refused("[server]\ndata_dir = \"a\\u0000b\"\n", ":2: ", "server.data_dir must be a text");
    assert_refused("[server]\nallowed_hosts = [\"a\", 7]\n", ":2: ", "server.allowed_hosts must be a list of texts");
    assert_refused("[database]\nenable_compression = \"yes\"\n", ":2: ", "must be true or false");
    assert_refused("[database]\nmemtable_bytes = \"1 KiB\"\n", ":2: ", "from 64 KiB to 4 GiB");
    assert_refused("[database]\nmemtable_bytes = \"64 MB\"\n", ":2: ", "database.memtable_bytes");
    assert_refused("[database]\nbloom_false_positive_rate = 0.7\n", ":2: ", "0.0001 to 0.5, or 1");
    assert_refused("[database]\nbloom_false_positive_rate = nan\n", ":2: ", "bloom_false_positive_rate");
    assert_refused("[database]\ndurability = \"never\"\n", ":2: ", "one of \"always\", \"interval\", \"os\"");
    assert_refused("[database]\ncompression = \"snappy\"\n", ":2: ", "this version does not offer it");
    assert_refused("[server]\nhttp_threads = 1\nhttp_threads = 2\n", ":3: ", "not valid TOML");
    assert_refused("[server\n", ":1: ", "not valid TOML");
    assert_refused("[server]\nport = 1\n[tls]\n[a]\n", ":2: ", "server.port"); /* the first one of several */
}

static void a_conflict_between_settings_is_told_where_one_of_them_stands(void **state) {
    (void)state;
    assert_refused("[server]\nmax_value_bytes = \"512 MiB\"\nmax_inflight_bytes = \"16 MiB\"\n",
                   ":3: ", "max_inflight_bytes must be at least");
    assert_refused("[server]\nbind_address = \"nowhere\"\n",
                   ":2: ", "server.bind_address must be an address and a port");
}

static void an_address_that_others_can_reach_is_refused_wherever_it_comes_from(void **state) {
    (void)state;
    static const char *const open_addresses[] = {"0.0.0.0:2005", "192.0.2.1:2005", "[::]:2005", "[2001:db8::1]:80",
                                                 "[::ffff:192.0.2.1]:80"};
    for (size_t i = 0; i < sizeof open_addresses / sizeof *open_addresses; i++) {
        struct config c;
        struct config_error error;
        struct config_flag flag = {"server.bind_address", open_addresses[i], "bind"};
        assert_false(load("", NULL, &flag, &c, &error));
        assert_non_null(strstr(error.text, "--bind: server.bind_address is reachable from other machines"));
        assert_int_not_equal(error.source, CONFIG_FLAG); /* not wrong usage, but a bad configuration */
        (void)remove_file(NULL);
    }
}

static void a_bad_variable_or_flag_is_named(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char entry[] = "VELOCITY_DATABASE_MAX_OPEN_FILES=lots";
    char *environment[] = {entry, NULL};
    assert_false(load("", environment, NULL, &c, &error));
    assert_int_equal(error.source, CONFIG_ENVIRONMENT);
    assert_non_null(strstr(error.text, "VELOCITY_DATABASE_MAX_OPEN_FILES: database.max_open_files must be"));
    (void)remove_file(NULL);
    struct config_flag flag = {"server.bind_address", "x", "bind"};
    assert_false(load("", NULL, &flag, &c, &error));
    assert_int_equal(error.source, CONFIG_FLAG);
    assert_non_null(strstr(error.text, "--bind: server.bind_address must be"));
}

static void count_warning(void *arg, const char *line) {
    assert_non_null(strstr(line, "VELOCITY_SERVER_PROT"));
    ++*(int *)arg;
}

static void an_unknown_variable_only_warns(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    int warnings = 0;
    char typo[] = "VELOCITY_SERVER_PROT=1", other[] = "HOME=/";
    char *environment[] = {typo, other, NULL};
    write_file("");
    struct config_request request = {
        .path = file_path, .environment = environment, .warn = count_warning, .warn_arg = &warnings};
    assert_true(config_load(&request, &c, &error));
    assert_int_equal(warnings, 1);
    config_free(&c);
}

static void a_file_that_was_asked_for_must_be_there(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    struct config_request request = {.path = "/nonexistent/velocity.toml"};
    assert_false(config_load(&request, &c, &error));
    assert_non_null(strstr(error.text, "/nonexistent/velocity.toml: can't read the configuration"));
}

static void a_file_beyond_the_limit_is_refused(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    write_file("");
    assert_int_equal(truncate(file_path, CONFIG_MAX_FILE_BYTES + 1), 0);
    struct config_request request = {.path = file_path};
    assert_false(config_load(&request, &c, &error));
    assert_non_null(strstr(error.text, "too large"));
}

static void the_documentation_has_every_key_and_its_default(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    config_document(out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < config_key_count; i++) {
        char row[128];
        (void)snprintf(row, sizeof row, "| `%s` | `", config_keys[i].name);
        const char *found = strstr(text, row);
        assert_non_null(found);
        found = strstr(found, config_keys[i].preset);
        assert_non_null(found);
    }
    free(text);
}

static void what_is_printed_as_in_force_loads_again(void **state) {
    (void)state;
    struct config c, again;
    struct config_error error;
    char *text = NULL;
    size_t size = 0;
    assert_true(load("[server]\ndata_dir = 'odd \"\\ name'\nallowed_hosts = [\"a\"]\n[logging]\nlevel = \"error\"\n",
                     NULL, NULL, &c, &error));
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    config_print(&c, out);
    assert_int_equal(fclose(out), 0);
    (void)remove_file(NULL);
    assert_true(load(text, NULL, NULL, &again, &error));
    assert_string_equal(again.server.data_dir, "odd \"\\ name");
    assert_string_equal(again.server.allowed_hosts.items[0], "a");
    assert_int_equal(again.logging.level, LOGGER_LEVEL_ERROR);
    free(text);
    config_free(&c);
    config_free(&again);
}

#define TEST(name) cmocka_unit_test_teardown(name, remove_file)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_empty_file_gives_the_defaults),
        TEST(every_kind_of_value_is_read_from_the_file),
        TEST(a_flag_beats_the_environment_which_beats_the_file),
        TEST(every_default_is_a_value_that_its_own_variable_accepts),
        TEST(an_error_in_the_file_names_file_line_and_key),
        TEST(a_conflict_between_settings_is_told_where_one_of_them_stands),
        TEST(an_address_that_others_can_reach_is_refused_wherever_it_comes_from),
        TEST(a_bad_variable_or_flag_is_named),
        TEST(an_unknown_variable_only_warns),
        TEST(a_file_that_was_asked_for_must_be_there),
        TEST(a_file_beyond_the_limit_is_refused),
        TEST(the_documentation_has_every_key_and_its_default),
        TEST(what_is_printed_as_in_force_loads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
