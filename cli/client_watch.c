/*
 * client_watch.c - velocity watch: what changes, as it happens. A connection that breaks is made again, from the last
 * version that was shown: nothing is lost or shown twice.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/event_stream.h"
#include "server/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENT_MAX_BYTES  ((size_t)64 << 20)
#define SILENT_S         45 /* three heartbeats */
#define FIRST_PAUSE_MS   250
#define LONGEST_PAUSE_MS 15000
#define TEXT_BYTES       (4 * 16384)

struct watch {
    bool json;
    uint64_t left; /* events to show */
    bool failed;   /* standard output can't be written to */
    uint32_t pause_ms;
    char key[TEXT_BYTES], value[TEXT_BYTES];
};

/* "put", key, and what it holds; or the bounds of a range. In one line. */
static bool print_text(struct watch *w, const char *name, const char *id, struct json_value item) {
    struct json_value member;
    bool range = strcmp(name, "range_delete") == 0;
    const char *first = range ? "start" : document_member(item, "key", &member) ? "key" : "key64";
    document_text(item, first, w->key, sizeof w->key);
    *w->value = 0;
    if (range)
        document_text(item, "end", w->value, sizeof w->value);
    else if (document_member(item, "text", &member))
        document_text(item, "text", w->value, sizeof w->value);
    else if (document_member(item, "base64", &member))
        document_text(item, "base64", w->value, sizeof w->value);
    if (printf("%s\t%s\t%s", id, name, w->key) < 0) return false;
    if (document_member(item, "value", &member))
        return putchar('\t') != EOF && print_bytes(member.raw.data, member.raw.size) && putchar('\n') != EOF;
    return printf("%s%s\n", *w->value ? "\t" : "", w->value) >= 0;
}

static bool show_event(void *arg, const char *name, const char *id, velocity_slice data) {
    struct watch *w = arg;
    struct json_value item;
    bool known = strcmp(name, "put") == 0 || strcmp(name, "delete") == 0 || strcmp(name, "range_delete") == 0;
    w->pause_ms = FIRST_PAUSE_MS; /* it works */
    if (!known || !json_parse(data, &item, NULL)) return true;
    bool good = w->json ? printf("{\"event\":\"%s\",\"item\":", name) >= 0 && print_bytes(data.data, data.size) &&
                              puts("}") != EOF
                        : print_text(w, name, id, item);
    w->failed = !good || fflush(stdout) != 0;
    return !w->failed && --w->left > 0;
}

static bool take_piece(void *arg, const char *bytes, size_t size) {
    return event_stream_take(arg, bytes, size);
}

static int watch_once(struct http_client *client, const char *path, struct event_stream *events,
                      struct http_exchange *x) {
    char last[EVENT_ID_BYTES + 32];
    *x = (struct http_exchange){.method = "GET",
                                .path = path,
                                .fields = {"Accept: text/event-stream, application/problem+json"},
                                .write = take_piece,
                                .arg = events,
                                .endless = true,
                                .silent_s = SILENT_S};
    if (*events->id) {
        (void)snprintf(last, sizeof last, "Last-Event-ID: %s", events->id);
        x->fields[1] = last;
    }
    event_stream_restart(events);
    int code = http_client_exchange(client, x, true);
    /* A server that drains says so, and another one may come. */
    bool later = x->reply.status == 503 || x->reply.status == 429;
    http_reply_free(&x->reply);
    x->broken = x->broken || later;
    return code;
}

static int watch_on(struct http_client *client, const char *path, struct watch *w) {
    struct event_stream events = {.event = show_event,
                                  .arg = w,
                                  .line = {.limit_bytes = EVENT_MAX_BYTES},
                                  .data = {.limit_bytes = EVENT_MAX_BYTES}};
    struct http_exchange x;
    int code;
    for (bool first = true;; first = false) {
        code = watch_once(client, path, &events, &x);
        if (w->failed) code = complain_of_output();
        if (events.line.failed || events.data.failed)
            code = complain(EXIT_FAILED, "an event has more than %zu MiB", EVENT_MAX_BYTES >> 20);
        if (x.interrupted || (code && (!x.broken || (first && !*events.id)))) break;
        (void)usleep(w->pause_ms * 1000);
        w->pause_ms = w->pause_ms < LONGEST_PAUSE_MS / 2 ? w->pause_ms * 2 : LONGEST_PAUSE_MS;
    }
    if (code && x.broken) code = complain(EXIT_FAILED, "no answer from the server; does it run?");
    event_stream_free(&events);
    return code;
}

int run_watch(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    struct watch *w = calloc(1, sizeof *w);
    uint64_t since;
    int code = w ? EXIT_DONE : complain(EXIT_FAILED, "no memory");
    if (!code && arguments->operand_count > 1)
        code = complain(EXIT_USAGE, "watch takes one prefix; see \"velocity help watch\"");
    if (!code) {
        *w = (struct watch){.left = UINT64_MAX, .pause_ms = FIRST_PAUSE_MS};
        w->json = command_value(command, arguments, "json");
        code = read_number("events", command_value(command, arguments, "events"), 1, UINT64_MAX, &w->left);
    }
    if (!code) code = read_number("since", command_value(command, arguments, "since"), 0, UINT64_MAX - 1, &since);
    path_begin(&path, command, arguments, "watch");
    if (arguments->operand_count) path_parameter(&path, "prefix", arguments->operands[0]);
    path_parameter(&path, "since", command_value(command, arguments, "since"));
    if (!code && !path_text(&path)) code = complain(EXIT_FAILED, "no memory");
    if (!code) code = connect_find(command, arguments, &connection);
    if (!code) code = watch_on(connection.client, path.data, w);
    connect_close(&connection);
    json_writer_free(&path);
    free(w);
    return code;
}
