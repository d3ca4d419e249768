/*
 * rows_redis_test.c - a Redis that says what the test wants it to: what it gives becomes rows, and what it says instead
 * ends the import with its reason, or skips one key.
 */
#include "cli/rows.h"
#include "server/timestamp.h"
#include "tests/server/cmocka_all.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* All that a connection is sent, whatever it asks; its requests are put into `asked`. */
struct fake {
    int listener;
    const char *script;
    size_t size;
    char asked[65536];
    size_t asked_bytes;
    char url[64];
    pthread_t thread;
};

static void *serve(void *arg) {
    struct fake *fake = arg;
    int fd = accept(fake->listener, NULL, NULL);
    if (fd < 0) return NULL;
    for (size_t sent = 0; sent < fake->size;) {
        ssize_t size = send(fd, fake->script + sent, fake->size - sent, MSG_NOSIGNAL);
        if (size < 0) break; /* the other side has had enough */
        sent += (size_t)size;
    }
    (void)shutdown(fd, SHUT_WR);
    for (ssize_t got; fake->asked_bytes < sizeof fake->asked - 1; fake->asked_bytes += (size_t)got)
        if ((got = recv(fd, fake->asked + fake->asked_bytes, sizeof fake->asked - 1 - fake->asked_bytes, 0)) <= 0)
            break;
    (void)close(fd);
    return NULL;
}

static struct fake *start(const char *script, const char *user) {
    struct fake *fake = calloc(1, sizeof *fake);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    fake->script = script;
    fake->size = strlen(script);
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listener, 1), 0);
    assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(fake->url, sizeof fake->url, "redis://%s127.0.0.1:%u", user, ntohs(address.sin_port));
    assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
    return fake;
}

static void finish(struct fake *fake) {
    assert_int_equal(pthread_join(fake->thread, NULL), 0);
    (void)close(fake->listener);
    free(fake);
}

/* What a fresh connection asks: DBSIZE, INFO server, INFO cluster. */
#define HELLO ":3\r\n$13\r\n\r\nrun_id:abcd\r\n$19\r\n\r\ncluster_enabled:0\r\n"
/* One page with these keys, the last one. */
#define PAGE(count, keys) "*2\r\n$1\r\n0\r\n*" #count "\r\n" keys

static void check(const char *script, const char *expected, const char *message) {
    struct fake *fake = start(script, "");
    struct rows_options options = {.url = fake->url};
    struct rows *rows = NULL;
    struct row row;
    char why[ROWS_MESSAGE_BYTES] = "", found[1024] = "";
    size_t used = 0;
    enum row_result result = ROW_FAILED;
    if (rows_open_redis(&options, &rows, why)) {
        while ((result = rows->next(rows, &row)) == ROW_READ || result == ROW_SKIPPED) {
            used += (size_t)snprintf(found + used, sizeof found - used, "%.*s", (int)row.key.size,
                                     (const char *)row.key.data);
            if (result == ROW_READ)
                used += (size_t)snprintf(found + used, sizeof found - used, "=%.*s ", (int)row.value.size,
                                         (const char *)row.value.data);
            else
                used += (size_t)snprintf(found + used, sizeof found - used, "!(%s) ", rows->message);
        }
        (void)snprintf(why, sizeof why, "%s", rows->message);
    }
    (void)snprintf(found + used, sizeof found - used, result == ROW_END ? "." : "?");
    assert_string_equal(found, expected);
    if (message && !strstr(why, message)) fail_msg("\"%s\" does not say \"%s\"", why, message);
    if (rows) rows->close(rows);
    finish(fake);
}

static void each_type_becomes_a_value_or_is_skipped(void **state) {
    (void)state;
    check(HELLO PAGE(7, "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n") /* no comma */
          "+string\r\n:-1\r\n+list\r\n:-1\r\n+set\r\n:-1\r\n+hash\r\n:-1\r\n+zset\r\n:-1\r\n+stream\r\n:-1\r\n+ReJSON-"
          "RL\r\n:-1\r\n"
          "$3\r\nx\r\n\r\n*2\r\n$1\r\n1\r\n$1\r\n\xFF\r\n*1\r\n$0\r\n\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
          "*4\r\n$1\r\nm\r\n$3\r\n1.5\r\n$1\r\nn\r\n$4\r\n-inf\r\n",
          "a=x\r\n b=[\"1\",{\"base64\":\"/w==\"}] c=[\"\"] d={\"f\":\"v\"} e={\"m\":1.5,\"n\":\"-inf\"} "
          "f!(it is a stream, which has no counterpart) g!(it belongs to a module of Redis) .",
          NULL);
}

static void what_has_gone_meanwhile_is_no_row(void **state) {
    (void)state;
    check(
        HELLO PAGE(4, "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n") "+none\r\n:-2\r\n+string\r\n:-1\r\n+list\r\n:-"
                                                                      "1\r\n+string\r\n:-1\r\n$-1\r\n*0\r\n$1\r\nx\r\n",
        "d=x .", NULL);
}

static void a_key_that_is_another_type_by_now_is_skipped(void **state) {
    (void)state;
    check(HELLO PAGE(2, "$1\r\na\r\n$1\r\nb\r\n") "+list\r\n:-1\r\n+string\r\n:-1\r\n"
                                                  "-WRONGTYPE Operation against a key\r\n$1\r\nx\r\n",
          "a!(Redis does not give it: WRONGTYPE Operation against a key) b=x .", NULL);
}

static void what_redis_says_instead_ends_it_with_that_reason(void **state) {
    (void)state;
    check("-LOADING Redis is loading the dataset in memory\r\n", "?", "LOADING Redis is loading");
    check("-NOAUTH Authentication required.\r\n", "?", "REDISCLI_AUTH");
    check(HELLO "-NOPERM no permission for 'scan'\r\n", "?", "NOPERM");
    check(HELLO PAGE(1, "$1\r\na\r\n") "+string\r\n:-1\r\n-MOVED 3999 10.0.0.1:6379\r\n", "?", "each master");
    check(HELLO PAGE(1, "$1\r\na\r\n") "+string\r\n:-1\r\n-LOADING again\r\n", "?", "LOADING");
}

static void what_is_no_redis_is_told_from_one(void **state) {
    (void)state;
    static const char *const after[] = {
        "HTTP/1.1 400 Bad Request\r\n",                         /* another server */
        "$5\r\nabc",                                            /* cut */
        "*2\r\n$1\r\n0\r\n*1\r\n$99999999999999\r\n",           /* a text of 90 TiB */
        "*2\r\n$1\r\n0\r\n*1\r\n$600000000\r\n",                /* more than Redis has */
        "*2\r\n$1\r\n0\r\n*9223372036854775807\r\n$1\r\na\r\n", /* keys without end, of which one comes */
        "*2\r\n$99\r\n0\r\n",                                   /* a cursor that is none */
        "*3\r\n$1\r\n0\r\n",
        PAGE(1, "$1\r\na\r\n") "+hash\r\n:-1\r\n*3\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n", /* a field without a value */
        PAGE(1, "$1\r\na\r\n") "+zset\r\n:-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",            /* a score that is none */
        PAGE(1, "$1\r\na\r\n") "+list\r\n:-1\r\n$1\r\nf\r\n",                             /* a text for a list */
        PAGE(1, "$1\r\na\r\n") "+string\r\n:-1\r\n$1\r\nfg\r\n",                          /* longer than it says */
    };
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        char script[512];
        (void)snprintf(script, sizeof script, "%s%s", HELLO, after[i]);
        check(script, "?", NULL);
    }
}

static void times_to_live_count_from_when_they_were_asked_for(void **state) {
    (void)state;
    struct fake *fake = start(
        HELLO PAGE(
            2,
            "$1\r\na\r\n$1\r\nb\r\n") "+string\r\n:60000\r\n+string\r\n:9223372036854775807\r\n$1\r\nx\r\n$1\r\ny\r\n",
        "");
    struct rows_options options = {.url = fake->url};
    struct rows *rows;
    struct row row;
    char why[ROWS_MESSAGE_BYTES];
    int64_t before = timestamp_now();
    assert_true(rows_open_redis(&options, &rows, why));
    assert_int_equal(rows->next(rows, &row), ROW_READ);
    assert_in_range(row.expires_at_ms, before + 60000, timestamp_now() + 60000);
    assert_int_equal(rows->next(rows, &row), ROW_READ);
    assert_int_equal(row.expires_at_ms, 0);
    assert_string_equal(rows->id, "abcd");
    rows->close(rows);
    finish(fake);
}

static void a_node_of_a_cluster_says_so(void **state) {
    (void)state;
    struct fake *fake = start(":3\r\n-NOPERM no\r\n$18\r\ncluster_enabled:1\n\r\n", "");
    struct rows_options options = {.url = fake->url};
    struct rows *rows;
    char why[ROWS_MESSAGE_BYTES];
    assert_true(rows_open_redis(&options, &rows, why));
    assert_non_null(strstr(rows->remark, "each master"));
    assert_string_equal(rows->id, "");
    rows->close(rows);
    finish(fake);
}

static void names_and_passwords_of_a_url_are_unescaped(void **state) {
    (void)state;
    struct fake *fake = start("+OK\r\n" HELLO, "us%65r:p%40%2Fs%25@");
    struct rows_options options = {.url = fake->url};
    struct rows *rows;
    char why[ROWS_MESSAGE_BYTES];
    assert_true(rows_open_redis(&options, &rows, why));
    rows->close(rows);
    assert_int_equal(pthread_join(fake->thread, NULL), 0);
    assert_non_null(strstr(fake->asked, "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$5\r\np@/s%\r\n"));
    (void)close(fake->listener);
    free(fake);
    static const char *const bad[] = {"redis://a:%4@localhost", "redis://a:%zz@localhost",
                                      "rediss://localhost",     "http://x",
                                      "redis://a@localhost",    "redis://a:%00@localhost"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.url = bad[i];
        *why = 0;
        assert_false(rows_open_redis(&options, &rows, why));
        assert_true(*why);
    }
}

int main(void) {
    (void)unsetenv("REDISCLI_AUTH");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_becomes_a_value_or_is_skipped),
        cmocka_unit_test(what_has_gone_meanwhile_is_no_row),
        cmocka_unit_test(a_key_that_is_another_type_by_now_is_skipped),
        cmocka_unit_test(what_redis_says_instead_ends_it_with_that_reason),
        cmocka_unit_test(what_is_no_redis_is_told_from_one),
        cmocka_unit_test(times_to_live_count_from_when_they_were_asked_for),
        cmocka_unit_test(a_node_of_a_cluster_says_so),
        cmocka_unit_test(names_and_passwords_of_a_url_are_unescaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
