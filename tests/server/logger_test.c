/* logger_test.c - one event is one line, whatever it holds and whoever writes at the same time. */
#include "server/logger.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int make_path(void **state) {
    (void)state;
    strcpy(path, "/tmp/velocity-log-XXXXXX");
    int descriptor = mkstemp(path);
    return descriptor < 0 || close(descriptor) != 0 || unlink(path) != 0;
}

static int remove_path(void **state) {
    (void)state;
    (void)unlink(path);
    return 0;
}

/* The file's content; the caller frees it. */
static char *read_log(void) {
    static const size_t limit = 1u << 20;
    char *text = calloc(1, limit);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    assert_non_null(file);
    assert_true(fread(text, 1, limit - 1, file) < limit - 1);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void logfmt_quotes_what_would_be_ambiguous(void **state) {
    (void)state;
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_LOGFMT);
    assert_non_null(log);
    logger_event(log, LOGGER_LEVEL_WARNING, "odd", logger_text("plain", "a:b/c"), logger_text("spaced", "a b"),
                 logger_text("empty", ""), logger_text("line", "a\nb\"c=\x01"), logger_number("n", UINT64_MAX));
    logger_close(log);
    char *text = read_log();
    assert_non_null(strstr(text, "Z level=warning event=odd plain=a:b/c spaced=\"a b\" empty=\"\" "
                                 "line=\"a\\nb\\\"c=\\u0001\" n=18446744073709551615\n"));
    assert_int_equal(strncmp(text, "time=2", 6), 0);
    free(text);
}

static void json_lines_are_objects(void **state) {
    (void)state;
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_JSON);
    assert_non_null(log);
    logger_event(log, LOGGER_LEVEL_INFO, "ready", logger_text("address", "a\\b"), logger_number("n", 7));
    logger_close(log);
    char *text = read_log();
    assert_int_equal(strncmp(text, "{\"time\":\"2", 10), 0);
    assert_non_null(strstr(text, "Z\",\"level\":\"info\",\"event\":\"ready\",\"address\":\"a\\\\b\",\"n\":7}\n"));
    free(text);
}

static void a_level_keeps_less_important_events_out(void **state) {
    (void)state;
    struct logger *log = logger_open(path, LOGGER_LEVEL_WARNING, LOGGER_FORMAT_LOGFMT);
    assert_non_null(log);
    logger_event(log, LOGGER_LEVEL_INFO, "left_out");
    logger_event(log, LOGGER_LEVEL_ERROR, "kept");
    assert_false(logger_wants(log, LOGGER_LEVEL_DEBUG));
    logger_close(log);
    char *text = read_log();
    assert_null(strstr(text, "left_out"));
    assert_non_null(strstr(text, "level=error event=kept\n"));
    free(text);
}

static void level_and_format_can_change_between_two_lines(void **state) {
    (void)state;
    struct logger *log = logger_open(path, LOGGER_LEVEL_ERROR, LOGGER_FORMAT_LOGFMT);
    assert_non_null(log);
    logger_event(log, LOGGER_LEVEL_DEBUG, "before", logger_number("n", 1));
    logger_configure(log, LOGGER_LEVEL_DEBUG, LOGGER_FORMAT_JSON);
    assert_true(logger_wants(log, LOGGER_LEVEL_DEBUG));
    logger_event(log, LOGGER_LEVEL_DEBUG, "after", logger_number("n", 2));
    logger_close(log);
    char *text = read_log();
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "\"level\":\"debug\",\"event\":\"after\",\"n\":2}\n"));
    free(text);
}

static void a_text_that_is_too_long_is_cut_and_the_line_stays_whole(void **state) {
    (void)state;
    static char giant[3 * LOGGER_MAX_LINE_BYTES];
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_JSON);
    assert_non_null(log);
    memset(giant, 1, sizeof giant - 1); /* six bytes each when escaped */
    logger_event(log, LOGGER_LEVEL_INFO, "long", logger_text("a", giant), logger_text("b", "left out, too"));
    memset(giant, 'x', sizeof giant - 1);
    logger_event(log, LOGGER_LEVEL_INFO, "cut", logger_text("a", giant), logger_text("b", "kept"));
    logger_close(log);
    char *text = read_log();
    assert_non_null(strstr(text, "\"event\":\"long\"}\n"));
    assert_non_null(strstr(text, "xxx\",\"b\":\"kept\"}\n"));
    free(text);
}

static void a_cut_falls_between_characters(void **state) {
    (void)state;
    static char text[LOGGER_MAX_TEXT_BYTES + 64];
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_JSON);
    assert_non_null(log);
    memset(text, 'x', sizeof text - 1);
    memcpy(text + LOGGER_MAX_TEXT_BYTES - 1, "\xe2\x82\xac", 3);
    logger_event(log, LOGGER_LEVEL_INFO, "cut", logger_text("a", text));
    logger_close(log);
    char *read = read_log();
    assert_null(strchr(read, '\xe2'));
    assert_non_null(strstr(read, "xx\"}\n"));
    free(read);
}

static void a_moved_log_is_begun_anew(void **state) {
    (void)state;
    char moved[80];
    struct stat info;
    (void)snprintf(moved, sizeof moved, "%s.1", path);
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_LOGFMT);
    assert_non_null(log);
    logger_event(log, LOGGER_LEVEL_INFO, "before");
    assert_int_equal(rename(path, moved), 0);
    assert_true(logger_reopen(log));
    logger_event(log, LOGGER_LEVEL_INFO, "after");
    logger_close(log);
    assert_int_equal(unlink(moved), 0);
    char *text = read_log();
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "event=after\n"));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0077, 0); /* nobody else's business */
    free(text);
}

#define WRITERS 4
#define EVENTS  200

static void *write_events(void *arg) {
    struct logger *log = arg;
    for (unsigned i = 0; i < EVENTS; i++) {
        logger_event(log, LOGGER_LEVEL_INFO, "tick", logger_number("i", i), logger_text("end", "END"));
        if (i % 50 == 0 && !logger_reopen(log)) return log;
        logger_configure(log, i % 2 ? LOGGER_LEVEL_INFO : LOGGER_LEVEL_DEBUG, LOGGER_FORMAT_LOGFMT);
    }
    return NULL;
}

static void lines_of_several_threads_never_mix_not_even_while_the_file_is_reopened(void **state) {
    (void)state;
    pthread_t threads[WRITERS];
    size_t lines = 0;
    struct logger *log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_LOGFMT);
    assert_non_null(log);
    for (size_t i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_events, log), 0);
    for (size_t i = 0; i < WRITERS; i++) {
        void *failed = log;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    logger_close(log);
    char *text = read_log();
    for (char *line = text; *line; lines++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_int_equal(strncmp(line, "time=", 5), 0);
        assert_int_equal(memcmp(end - 8, " end=END", 8), 0);
        line = end + 1;
    }
    assert_int_equal(lines, WRITERS * EVENTS);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_path, remove_path)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(logfmt_quotes_what_would_be_ambiguous),
        TEST(json_lines_are_objects),
        TEST(a_level_keeps_less_important_events_out),
        TEST(level_and_format_can_change_between_two_lines),
        TEST(a_text_that_is_too_long_is_cut_and_the_line_stays_whole),
        TEST(a_cut_falls_between_characters),
        TEST(a_moved_log_is_begun_anew),
        TEST(lines_of_several_threads_never_mix_not_even_while_the_file_is_reopened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
