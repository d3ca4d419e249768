/* config_test.c - the promises of the configuration: precedence, places of errors, ranges, documentation. */
#include "engine/velocity.h"
#include "server/audit.h"
#include "server/logger.h"

#include "tests/server/config_file.h"

static void an_empty_file_gives_the_defaults(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(config_file_load("", NULL, NULL, &c, &error));
    assert_string_equal(c.server.bind_address, "127.0.0.1:2005");
    assert_string_equal(c.server.data_dir, "./velocitydb");
    assert_int_equal(c.server.max_connections, 20000);
    assert_int_equal(c.server.max_value_bytes, 64 << 20);
    assert_int_equal(c.server.max_inflight_bytes, 256 << 20);
    assert_int_equal(c.server.allowed_hosts.count, 0);
    assert_int_equal(c.server.max_frame_bytes, 65 << 20);
    assert_string_equal(c.server.external_url, "");
    assert_false(c.server.allow_plaintext);
    assert_int_equal(c.tls.enabled, CONFIG_TLS_OFF);
    assert_int_equal(c.user_count, 0);
    assert_false(c.needs_users);
    assert_int_equal(c.database.compression, VELOCITY_COMPRESSION_ADAPTIVE);
    assert_int_equal(c.database.value_log_threshold, 4096);
    assert_int_equal(c.database.max_databases, 100);
    assert_true(c.security.audit_logging);
    assert_int_equal(c.security.audit_keys, AUDIT_KEYS_NAME);
    assert_string_equal(c.service.pid_file, "");
    assert_true(c.service.watch_config);
    assert_string_equal(c.admin_password, "");
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
    assert_true(
        config_file_load("[server]\nbind_address = \"[::1]:0\"\nallowed_hosts = [\"a.example\", \"b\"]\n"
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
    assert_true(
        config_file_load("[server]\nbind_address = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\nhttp_threads = 7\n",
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
        if (config_keys[i].flags & CONFIG_SECRET) continue; /* whose empty variable is none */
        config_variable(&config_keys[i], name, sizeof name);
        (void)snprintf(entry, sizeof entry, "%s=%s", name, config_keys[i].preset);
        char *environment[] = {entry, NULL};
        if (!config_file_load("", environment, NULL, &c, &error)) fail_msg("%s", error.text);
        assert_int_equal(c.origins[i].source, CONFIG_ENVIRONMENT);
        config_free(&c);
        (void)config_file_remove(NULL);
    }
}

static void an_error_in_the_file_names_file_line_and_key(void **state) {
    (void)state;
    assert_refused("[server]\n\nport = 1\n", ":3: ", "unknown key server.port");
    assert_refused("[sql]\nenabled = true\n", ":1: ", "unknown section [sql]; there are [server], [tls], ");
    assert_refused("[sql]\n", ":1: ", "[addons.service], [users]");
    assert_refused("[addons.backup]\nenabled = true\n", ":1: ", "unknown section [addons.backup]");
    assert_refused("[addons]\nenabled = true\n", ":2: ", "unknown key addons.enabled");
    assert_refused("[\"addons.service\"]\npid_file = \"x\"\n", ":1: ", "unknown section [addons?service]");
    assert_refused("[server.deep]\nx = 1\n", ":1: ", "unknown section [server.deep]");
    assert_refused("[server]\ndata_dir = {a = 1}\n", ":2: ", "server.data_dir must be a text");
    assert_refused("[server]\n\"data_dir\\u0000\" = \"x\"\n", ":2: ", "unknown key server.data_dir?");
    assert_refused("[\"\"]\nadmin_password = \"in the file\"\n", ":1: ", "unknown section []");
    assert_refused("admin_password = \"in the file\"\n", ":1: ", "unknown key \"admin_password\"");
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
    assert_refused("[=]\n", ":1: ", "not valid TOML");
    assert_refused("[server]\nport = 1\n[sql]\n[a]\n", ":2: ", "server.port"); /* the first one of several */
    assert_refused("[tls]\nenabled = \"yes\"\n", ":2: ", "one of \"auto\", true, false");
    assert_refused("[database]\ncompression = true\n", ":2: ", "database.compression must be one of");
    assert_refused("[database]\ndefault_max_disk_bytes = 1\n", ":2: ", "must be 0, or a size from 32 MiB");
    assert_refused("[security]\naudit_keys = \"none\"\n", ":2: ", "one of \"name\", \"hash\"");
}

static void a_conflict_between_settings_is_told_where_one_of_them_stands(void **state) {
    (void)state;
    assert_refused("[server]\nmax_value_bytes = \"512 MiB\"\nmax_inflight_bytes = \"16 MiB\"\n",
                   ":3: ", "max_inflight_bytes must be at least");
    assert_refused("[server]\nmax_value_bytes = \"512 MiB\"\n",
                   ":2: ", "server.max_value_bytes must be at most server.max_inflight_bytes");
    assert_refused("[server]\nbind_address = \"nowhere\"\n",
                   ":2: ", "server.bind_address must be an address and a port");
    assert_refused("[server]\nmax_frame_bytes = \"64 MiB\"\n", ":2: ", "at least 64 KiB more than server.max_value");
    assert_refused("[database]\nmemtable_bytes = \"1 GiB\"\n", ":2: ", "at most database.total_memtable_bytes");
    assert_refused("[database]\nmax_memtable_size = 1048576\n", ":2: ", "at most database.total_memtable_bytes");
    assert_refused("[tls]\ncert_path = \"c\"\n", ":2: ", "tls.cert_path needs tls.key_path");
    assert_refused("[tls]\nkey_path = \"k\"\n", ":2: ", "tls.key_path needs tls.cert_path");
    assert_refused("[server]\nbind_address = \"0.0.0.0:1\"\n[tls]\nenabled = false\n",
                   ":4: ", "tls.enabled must not be false");
}

static void what_names_a_place_in_the_network_is_checked(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_refused("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]\n",
                   ":2: ", "server.trusted_proxies must be");
    assert_refused("[server]\ncors_origins = [\"*\"]\n", ":2: ", "server.cors_origins must be");
    static const char *const no_origins[] = {"https://",
                                             "https://a/",
                                             "ftp://a",
                                             "https://A.example",
                                             "a",
                                             "https://a:",
                                             "https://a:1b",
                                             "https://[::1",
                                             "https://[]",
                                             "null",
                                             "https://a b",
                                             "https://a:443/",
                                             "https://u@a.example"};
    for (size_t i = 0; i < COUNT(no_origins); i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "[server]\nexternal_url = \"%s\"\n", no_origins[i]);
        assert_refused(text, ":2: ", "server.external_url must be");
    }
    assert_true(
        config_file_load("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nexternal_url = \"https://db.x:8443\"\n"
                         "cors_origins = [\"http://[::1]:80\", \"https://app.example\"]\n",
                         NULL, NULL, &c, &error));
    assert_int_equal(c.server.trusted_proxies.count, 2);
    config_free(&c);
}

static void derived_settings_are_derived_when_it_is_loaded(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(config_file_load(
        "[server]\nmax_value_bytes = \"2 MiB\"\n[database]\nmax_memtable_size = 1000\ncache_size = 512\n", NULL, NULL,
        &c, &error));
    assert_int_equal(c.server.max_frame_bytes, 3 << 20);
    assert_int_equal(c.database.memtable_bytes, 1000 * 1024);
    assert_int_equal(c.database.cache_bytes, 512 * 4096);
    assert_int_equal(c.origins[config_find("database", "cache_bytes") - config_keys].line, 5);
    config_free(&c);
}

static const char *const open_addresses[] = {"0.0.0.0:2005", "192.0.2.1:2005", "[::]:2005", "[2001:db8::1]:80",
                                             "[::ffff:192.0.2.1]:80"};

static void an_address_that_others_can_reach_needs_users_and_has_tls(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(open_addresses); i++) {
        struct config c;
        struct config_error error;
        struct config_flag flag = {"server.bind_address", open_addresses[i], "bind"};
        assert_true(config_file_load("", NULL, &flag, &c, &error));
        assert_true(c.needs_users);
        assert_int_equal(c.tls.enabled, CONFIG_TLS_ON);
        config_users_needed(&c, &error);
        assert_non_null(strstr(error.text, "--bind: server.bind_address is reachable from other machines"));
        assert_int_not_equal(error.source, CONFIG_FLAG); /* not wrong usage, but a bad configuration */
        config_free(&c);
        (void)config_file_remove(NULL);
        assert_true(config_file_load(
            "[users]\nbob = \"$argon2id$x\"\n[server]\nallow_plaintext = true\n[tls]\nenabled = false\n", NULL, &flag,
            &c, &error));
        assert_false(c.needs_users);
        assert_int_equal(c.tls.enabled, CONFIG_TLS_OFF);
        config_free(&c);
        (void)config_file_remove(NULL);
    }
}

static void a_bad_variable_or_flag_is_named(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char entry[] = "VELOCITY_DATABASE_MAX_OPEN_FILES=lots";
    char *environment[] = {entry, NULL};
    assert_false(config_file_load("", environment, NULL, &c, &error));
    assert_int_equal(error.source, CONFIG_ENVIRONMENT);
    assert_non_null(strstr(error.text, "VELOCITY_DATABASE_MAX_OPEN_FILES: database.max_open_files must be"));
    (void)config_file_remove(NULL);
    struct config_flag flag = {"server.bind_address", "x", "bind"};
    assert_false(config_file_load("", NULL, &flag, &c, &error));
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
    config_file_write("");
    struct config_request request = {
        .path = config_file_path, .environment = environment, .warn = count_warning, .warn_arg = &warnings};
    assert_true(config_load(&request, &c, &error));
    assert_int_equal(warnings, 1);
    config_free(&c);
}

static void a_section_with_a_dot_has_its_variables_too(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char pid_file[] = "VELOCITY_ADDONS_SERVICE_PID_FILE=/run/velocity.pid";
    char *environment[] = {pid_file, NULL};
    struct config_flag flag = {"addons.service.watch_config", "false", "watch-config"};
    assert_true(config_file_load("[addons.service]\npid_file = \"x\"\n", environment, &flag, &c, &error));
    assert_string_equal(c.service.pid_file, "/run/velocity.pid");
    assert_false(c.service.watch_config);
    config_free(&c);
}

static void a_client_s_token_is_no_unknown_variable(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    int warnings = 0;
    char token[] = "VELOCITY_TOKEN=vt_secret";
    char *environment[] = {token, NULL};
    config_file_write("");
    struct config_request request = {
        .path = config_file_path, .environment = environment, .warn = count_warning, .warn_arg = &warnings};
    assert_true(config_load(&request, &c, &error));
    assert_int_equal(warnings, 0);
    config_free(&c);
}

/* Loads with the variable, as text or as a file; answers what config_load does. */
static bool load_secret(const char *variable, const char *also, struct config *c, struct config_error *error) {
    char *environment[] = {strdup(variable), also ? strdup(also) : NULL, NULL};
    bool ok = config_file_load("[server]\nbind_address = \"0.0.0.0:1\"\n", environment, NULL, c, error);
    free(environment[0]);
    free(environment[1]);
    (void)config_file_remove(NULL);
    return ok;
}

static void a_secret_comes_from_its_variable_or_the_file_that_it_names(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char variable[128];
    assert_true(load_secret("VELOCITY_ADMIN_PASSWORD=correct horse", NULL, &c, &error));
    assert_string_equal(c.admin_password, "correct horse");
    assert_false(c.needs_users);
    config_free(&c);
    assert_true(load_secret("VELOCITY_ADMIN_PASSWORD=", NULL, &c, &error)); /* an empty one is none */
    assert_true(c.needs_users);
    config_free(&c);

    char path[] = "/tmp/velocity-secret-XXXXXX";
    int descriptor = mkstemp(path);
    assert_int_equal(write(descriptor, "from a file\r\n", 13), 13);
    (void)snprintf(variable, sizeof variable, "VELOCITY_ADMIN_PASSWORD_FILE=%s", path);
    assert_true(load_secret(variable, NULL, &c, &error));
    assert_string_equal(c.admin_password, "from a file");
    config_free(&c);
    assert_false(load_secret(variable, "VELOCITY_ADMIN_PASSWORD=correct horse", &c, &error));
    assert_non_null(strstr(error.text, "both"));
    assert_int_equal(pwrite(descriptor, "\0", 1, 3), 1);
    assert_false(load_secret(variable, NULL, &c, &error));
    assert_non_null(strstr(error.text, path));
    assert_int_equal(ftruncate(descriptor, 0), 0);
    assert_false(load_secret(variable, NULL, &c, &error));
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(unlink(path), 0);
    assert_false(load_secret(variable, NULL, &c, &error));
    assert_non_null(strstr(error.text, "VELOCITY_ADMIN_PASSWORD_FILE: can't read"));
}

static void a_bad_secret_is_refused_and_not_told(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_false(load_secret("VELOCITY_ADMIN_PASSWORD=hunter2", NULL, &c, &error));
    assert_non_null(strstr(error.text, "VELOCITY_ADMIN_PASSWORD: admin_password must have 8 to 1024 bytes"));
    assert_null(strstr(error.text, "hunter2"));
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
    config_file_write("");
    assert_int_equal(truncate(config_file_path, CONFIG_MAX_FILE_BYTES + 1), 0);
    struct config_request request = {.path = config_file_path};
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
        char row[256], section[64];
        if (config_keys[i].flags & CONFIG_SECRET)
            (void)snprintf(row, sizeof row, "| `VELOCITY_ADMIN_PASSWORD` |");
        else
            (void)snprintf(row, sizeof row, "| `%s` | `", config_keys[i].name);
        (void)snprintf(section, sizeof section, "## [%s]\n", config_keys[i].section);
        const char *found = strstr(text, *config_keys[i].section ? section : "## Secrets");
        assert_non_null(found);
        found = strstr(found, row);
        if (!found) fail_msg("no row for %s.%s", config_keys[i].section, config_keys[i].name);
        assert_non_null(strstr(found, config_keys[i].preset));
    }
    assert_null(strstr(text, "| `enabled` | `\"auto\"` | one of \"auto\", \"true\""));
    free(text);
}

static void what_is_printed_as_in_force_loads_again(void **state) {
    (void)state;
    struct config c, again;
    struct config_error error;
    char *text = NULL;
    size_t size = 0;
    assert_true(
        config_file_load("[server]\ndata_dir = 'odd \"\\ name'\nallowed_hosts = [\"a\"]\n[logging]\nlevel = \"error\"\n"
                         "[tls]\nenabled = true\n[users.bob]\npassword = \"$argon2id$secret\"\ndatabases = "
                         "[\"a\"]\nprefixes = [\"\\u007f\"]\n"
                         "[database]\nmax_memtable_size = 2000\nbloom_false_positive_rate = 0.123456789012\n",
                         NULL, NULL, &c, &error));
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    config_print(&c, out);
    assert_int_equal(fclose(out), 0);
    (void)config_file_remove(NULL);
    assert_true(config_file_load(text, NULL, NULL, &again, &error));
    assert_string_equal(again.server.data_dir, "odd \"\\ name");
    assert_string_equal(again.server.allowed_hosts.items[0], "a");
    assert_int_equal(again.logging.level, LOGGER_LEVEL_ERROR);
    assert_true(again.database.bloom_false_positive_rate == 0.123456789012);
    assert_int_equal(again.tls.enabled, CONFIG_TLS_ON);
    assert_int_equal(again.database.memtable_bytes, 2000 * 1024);
    assert_non_null(strstr(text, "# bob = (redacted), role write, databases [\"a\"]"));
    assert_null(strstr(text, "secret"));
    free(text);
    config_free(&c);
    config_free(&again);
}

#define TEST(name) cmocka_unit_test_teardown(name, config_file_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_empty_file_gives_the_defaults),
        TEST(every_kind_of_value_is_read_from_the_file),
        TEST(a_flag_beats_the_environment_which_beats_the_file),
        TEST(every_default_is_a_value_that_its_own_variable_accepts),
        TEST(an_error_in_the_file_names_file_line_and_key),
        TEST(a_conflict_between_settings_is_told_where_one_of_them_stands),
        TEST(what_names_a_place_in_the_network_is_checked),
        TEST(derived_settings_are_derived_when_it_is_loaded),
        TEST(an_address_that_others_can_reach_needs_users_and_has_tls),
        TEST(a_section_with_a_dot_has_its_variables_too),
        TEST(a_client_s_token_is_no_unknown_variable),
        TEST(a_secret_comes_from_its_variable_or_the_file_that_it_names),
        TEST(a_bad_secret_is_refused_and_not_told),
        TEST(a_bad_variable_or_flag_is_named),
        TEST(an_unknown_variable_only_warns),
        TEST(a_file_that_was_asked_for_must_be_there),
        TEST(a_file_beyond_the_limit_is_refused),
        TEST(the_documentation_has_every_key_and_its_default),
        TEST(what_is_printed_as_in_force_loads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
