/* config_users_test.c - the users of the file: both forms, who they may be, and that nothing of a password is told. */
#include "server/auth.h"
#include "server/json_write.h"
#include "tests/server/config_file.h"

#define HASH "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"

static void both_forms_of_a_user_are_read_and_sorted_by_name(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(config_file_load("[users]\nwriter = \"" HASH "\"\nadmin = \"" HASH "\"\n"
                                 "inline = {password = \"" HASH "\", role = \"monitor\"}\ndotted.role = \"read\"\n"
                                 "dotted.password = \"" HASH "\"\n"
                                 "[users.\"b.o@b-1\"]\npassword = \"" HASH "\"\nrole = \"admin\"\n"
                                 "databases = [\"shop\", \"a_b-c\"]\nprefixes = [\"user:\", \"\"]\n",
                                 NULL, NULL, &c, &error));
    static const struct {
        const char *name;
        unsigned role;
        unsigned line;
    } expected[] = {{"admin", ROLE_ADMIN, 3},
                    {"b.o@b-1", ROLE_ADMIN, 7},
                    {"dotted", ROLE_READ, 5},
                    {"inline", ROLE_MONITOR, 4},
                    {"writer", ROLE_WRITE, 2}};
    assert_int_equal(c.user_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_string_equal(c.users[i].name, expected[i].name);
        assert_int_equal(c.users[i].role, expected[i].role);
        assert_int_equal(c.users[i].line, expected[i].line);
        assert_string_equal(c.users[i].password, HASH);
    }
    assert_int_equal(c.users[1].databases.count, 2);
    assert_string_equal(c.users[1].databases.items[0], "shop");
    assert_int_equal(c.users[1].prefixes.count, 2);
    assert_string_equal(c.users[1].prefixes.items[0], "user:");
    assert_int_equal(c.users[0].databases.count, 0);
    config_free(&c);
}

static void what_is_wrong_with_a_user_is_told_with_its_line(void **state) {
    (void)state;
    assert_refused("[users]\n_x = \"" HASH "\"\n", ":2: ", "users._x: a name has up to 64 letters");
    assert_refused("[users]\n\"a b\" = \"" HASH "\"\n", ":2: ", "a name has");
    assert_refused("[users]\n\"a\\u0000\" = \"" HASH "\"\n", ":2: ", "a name has");
    assert_refused("[users]\n\"\" = \"" HASH "\"\n", ":2: ", "a name has");
    assert_refused("[users]\nbob = 7\n", ":2: ", "users.bob: the password must be a hash");
    assert_refused("[users]\nbob = \"$argon2i$v=19$x\"\n", ":2: ", "the password must be a hash");
    assert_refused("\n[users.bob]\nrole = \"read\"\n", ":2: ", "users.bob has no password");
    assert_refused("[users.bob]\n", ":1: ", "users.bob has no password");
    assert_refused("[users.bob]\npassword = \"" HASH "\"\nrole = \"root\"\n", ":3: ", "users.bob.role must be one of");
    assert_refused("[users.bob]\nrole = 1\n", ":2: ", "users.bob.role must be one of");
    assert_refused("[users.bob]\ndatabases = [\"Shop\"]\n", ":2: ", "users.bob.databases must be a list");
    assert_refused("[users.bob]\ndatabases = \"shop\"\n", ":2: ", "users.bob.databases must be a list");
    assert_refused("[users.bob]\ndatabases = []\n", ":2: ", "without it: all");
    assert_refused("[users.bob]\nprefixes = []\n", ":2: ", "without it: all");
    assert_refused("[users.bob]\nprefixes = [1]\n", ":2: ", "users.bob.prefixes must be a list");
    assert_refused("[users.bob]\nprefixes = {}\n", ":2: ", "unknown section [users.bob.prefixes]");
    assert_refused("[users.bob]\ncolour = \"red\"\n", ":2: ", "unknown key users.bob.colour");
    assert_refused("[users.a.b]\npassword = \"" HASH "\"\n", ":1: ", "unknown section [users.a.b]");
    assert_refused("users = 7\n", ":1: ", "unknown key \"users\"");
    assert_refused("[[users]]\n", ":1: ", "unknown key \"users\"");
    assert_refused("[users]\nbob = \"" HASH "\"\n[users.bob]\nrole = \"read\"\n", ":3: ", "not valid TOML");
}

static void a_password_in_plain_is_refused_and_not_told(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_false(config_file_load("[users]\nbob = \"hunter2hunter2\"\n", NULL, NULL, &c, &error));
    assert_null(strstr(error.text, "hunter2"));
}

static void a_user_named_like_the_first_is_another(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    assert_true(config_file_load("[users]\nbob = \"" HASH "\"\nbobby = \"" HASH "\"\nBob = \"" HASH "\"\n", NULL, NULL,
                                 &c, &error));
    assert_int_equal(c.user_count, 3);
    config_free(&c);
}

/* `count` users; the caller frees the text. */
static char *many_users(unsigned count) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fprintf(out, "[users]\n");
    for (unsigned i = 0; i < count; i++) fprintf(out, "u%u = \"%s\"\n", i, HASH);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void so_many_users_and_no_more_stand_in_a_file(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    char *text = many_users(CONFIG_MAX_USERS);
    assert_true(config_file_load(text, NULL, NULL, &c, &error));
    assert_int_equal(c.user_count, CONFIG_MAX_USERS);
    config_free(&c);
    free(text);
    (void)config_file_remove(NULL);
    text = many_users(CONFIG_MAX_USERS + 1);
    assert_false(config_file_load(text, NULL, NULL, &c, &error));
    assert_non_null(strstr(error.text, "more than 1000"));
    free(text);
}

static void the_json_shows_settings_with_their_sources_and_no_secret(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    struct json_writer w = {0};
    char password[] = "VELOCITY_ADMIN_PASSWORD=correct horse", data_dir[] = "VELOCITY_SERVER_DATA_DIR=a\"b";
    char *environment[] = {password, data_dir, NULL};
    struct config_flag flag = {"server.bind_address", "127.0.0.1:3", "bind"};
    assert_true(config_file_load("[users.bob]\npassword = \"" HASH "\"\nrole = \"read\"\ndatabases = [\"shop\"]\n"
                                 "[tls]\nenabled = true\n[server]\nallowed_hosts = [\"h\"]\n",
                                 environment, &flag, &c, &error));
    config_write_json(&c, &w);
    json_append(&w, "", 1);
    assert_false(w.failed);
    static const char *const expected[] = {
        ("\"key\":\"server.bind_address\",\"value\":\"127.0.0.1:3\",\"source\":\"flag\",\"option\":\"bind\","
         "\"reloadable\":false,\"restart_pending\":false}"),
        "\"key\":\"server.data_dir\",\"value\":\"a\\\"b\",\"source\":\"environment\",\"reloadable\":false",
        "\"key\":\"server.allowed_hosts\",\"value\":[\"h\"],\"source\":\"file\",\"line\":8,\"reloadable\":true",
        "\"key\":\"tls.enabled\",\"value\":true,\"source\":\"file\",\"line\":6",
        "\"key\":\"server.max_connections\",\"value\":20000,\"source\":\"default\"",
        "\"key\":\"database.bloom_false_positive_rate\",\"value\":0.001,",
        "\"key\":\"database.compression\",\"value\":\"adaptive\",",
        "\"key\":\"security.audit_logging\",\"value\":true,",
        "\"key\":\"addons.service.watch_config\",\"value\":true,",
        "\"key\":\"admin_password\",\"value\":\"(redacted)\",\"source\":\"environment\"",
        "\"users\":[{\"name\":\"bob\",\"role\":\"read\",\"databases\":[\"shop\"],\"prefixes\":[]}]}",
    };
    for (size_t i = 0; i < COUNT(expected); i++)
        if (!strstr(w.data, expected[i])) fail_msg("no %s in %s", expected[i], w.data);
    assert_null(strstr(w.data, "argon2"));
    assert_null(strstr(w.data, "correct horse"));
    json_writer_free(&w);
    config_free(&c);
}

static void without_a_file_the_json_says_null(void **state) {
    (void)state;
    struct config c;
    struct config_error error;
    struct json_writer w = {0};
    assert_true(config_file_load("", NULL, NULL, &c, &error));
    free(c.file);
    c.file = NULL;
    config_write_json(&c, &w);
    json_append(&w, "", 1);
    assert_non_null(strstr(w.data, "{\"file\":null,\"settings\":[{"));
    assert_null(strstr(w.data, "admin_password"));
    json_writer_free(&w);
    config_free(&c);
}

#define TEST(name) cmocka_unit_test_teardown(name, config_file_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(both_forms_of_a_user_are_read_and_sorted_by_name),
        TEST(what_is_wrong_with_a_user_is_told_with_its_line),
        TEST(a_password_in_plain_is_refused_and_not_told),
        TEST(a_user_named_like_the_first_is_another),
        TEST(so_many_users_and_no_more_stand_in_a_file),
        TEST(the_json_shows_settings_with_their_sources_and_no_secret),
        TEST(without_a_file_the_json_says_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
