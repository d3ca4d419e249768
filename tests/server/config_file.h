/*
 * config_file.h - a configuration file for a test: written, loaded, refused, removed.
 */
#ifndef VELOCITY_TESTS_CONFIG_FILE_H
#define VELOCITY_TESTS_CONFIG_FILE_H

#include "server/config.h"
#include "tests/server/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char config_file_path[64];

static inline void config_file_fill(const char *text) {
    int descriptor = open(config_file_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(descriptor), 0);
}

static inline void config_file_write(const char *text) {
    strcpy(config_file_path, "/tmp/velocity-config-XXXXXX");
    int descriptor = mkstemp(config_file_path);
    assert_true(descriptor >= 0);
    assert_int_equal(close(descriptor), 0);
    config_file_fill(text);
}

/* A teardown. */
static inline int config_file_remove(void **state) {
    (void)state;
    if (*config_file_path) (void)unlink(config_file_path);
    *config_file_path = '\0';
    return 0;
}

/* Loads `text` as the file; environment and flag may be NULL. */
static inline bool config_file_load(const char *text, char *const *environment, const struct config_flag *flag,
                                    struct config *config, struct config_error *error) {
    config_file_write(text);
    struct config_request request = {
        .path = config_file_path, .environment = environment, .flags = flag, .flag_count = flag ? 1 : 0};
    bool ok = config_load(&request, config, error);
    if (!ok) {
        assert_null(strchr(error->text, '\n'));
        assert_true(*error->text);
    }
    return ok;
}

/* The place is what stands behind the file's name: ":3: ". */
static inline void assert_refused(const char *text, const char *expected_place, const char *expected_words) {
    struct config config;
    struct config_error error;
    char place[128];
    assert_false(config_file_load(text, NULL, NULL, &config, &error));
    (void)snprintf(place, sizeof place, "%s%s", config_file_path, expected_place);
    if (!strstr(error.text, place) || !strstr(error.text, expected_words))
        fail_msg("\"%s\" should hold \"%s\" and \"%s\"", error.text, expected_place, expected_words);
    assert_int_equal(error.source, CONFIG_FILE);
    (void)config_file_remove(NULL);
}

#endif
