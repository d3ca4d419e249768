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
#define SILENT_S         45 /* three heartbeats, where --timeout says nothing else */
#define FIRST_PAUSE_MS   250
#define LONGEST_PAUSE_MS 15000
#define KEY_BYTES        (4 * 16384) /* of the longest key, as text */

struct watch {
    bool json;
    uint64_t left;     /* events to show */
    uint32_t silent_s; /* as http_exchange has it */
    bool failed;       /* standard output can't be written to */
    bool odd;          /* what came is no event */
    uint32_t pause_ms;
    char key[KEY_BYTES], end[KEY_BYTES];
};

/* "put", key, and what it holds; or the bounds of a range. In one line. */
static bool print_text(struct watch *w, const char *name, const char *id, struct json_value item) {
    struct json_value key;
    char version[EVENT_ID_BYTES];
    bool range = strcmp(name, "range_delete") == 0;
    document_text(item, "version", version, sizeof version);
    if (!*version) (void)snprintf(version, sizeof version, "%s", id);
    document_clean(version, strlen(version));
    document_text(item, range ? "start" : document_member(item, "key", &key) ? "key" : "key64", w->key, sizeof w->key);
    document_text(item, "end", w->end, sizeof w->end);
    if (printf("%s\t%s\t%s", version, name, w->key) < 0) return false;
    bool good = range ? !*w->end || printf("\t%s", w->end) >= 0 : print_held(item);
    return good && putchar('\n') != EOF;
}

static bool show_event(void *arg, const char *name, const char *id, velocity_slice data) {
    struct watch *w = arg;
    struct json_value item;
    bool known = strcmp(name, "put") == 0 || strcmp(name, "delete") == 0 || strcmp(name, "range_delete") == 0;
    w->pause_ms = FIRST_PAUSE_MS; /* it works */
    if (!known) return true;
    w->odd = !json_parse(data, &item, NULL);
    if (w->odd) return false;
    bool good =
        w->json ? printf("{\"event\":\"%s\",\"item\":", name) >= 0 && document_print_line(item.raw) && puts("}") != EOF
                : print_text(w, name, id, item);
    w->failed = !good || fflush(stdout) != 0;
    return !w->failed && --w->left > 0;
}

static bool take_piece(void *arg, const char *bytes, size_t size) {
    return event_stream_take(arg, bytes, size);
}

/* A server that was never heard of ends it; one that was may come back, and one that drains may have a successor. */
static int watch_once(struct http_client *client, const char *path, struct event_stream *events,
                      struct http_exchange *x) {
    const struct watch *w = events->arg;
    char last[EVENT_ID_BYTES + 32];
    *x = (struct http_exchange){.method = "GET",
                                .path = path,
                                .fields = {"Accept: text/event-stream, application/problem+json"},
                                .write = take_piece,
                                .arg = events,
                                .endless = true,
                                .silent_s = w->silent_s};
    if (*events->id) {
        (void)snprintf(last, sizeof last, "Last-Event-ID: %s", events->id);
        x->fields[1] = last;
    }
    event_stream_restart(events);
    int code = http_client_exchange(client, x, true);
    if (code && (x->broken || x->later)) code = *events->id ? EXIT_DONE : http_client_complain(client, x);
    http_reply_free(&x->reply);
    return code;
}

/* It ended by what it showed, or could not show. */
static int judge_end(const struct watch *w, const struct event_stream *events) {
    if (w->failed) return complain_of_output();
    if (w->odd) return complain(EXIT_FAILED, "what comes is no event: is it a server of Velocity?");
    if (events->line.failed || events->data.failed)
        return complain(EXIT_FAILED, "no memory, or an event has more than %zu MiB", EVENT_MAX_BYTES >> 20);
    return EXIT_DONE;
}

static int watch_on(struct http_client *client, const char *path, struct watch *w) {
    struct event_stream events = {.event = show_event,
                                  .arg = w,
                                  .line = {.limit_bytes = EVENT_MAX_BYTES},
                                  .data = {.limit_bytes = EVENT_MAX_BYTES}};
    struct http_exchange x;
    int code;
    for (;;) {
        code = watch_once(client, path, &events, &x);
        if (x.interrupted) code = judge_end(w, &events);
        if (code || x.interrupted) break;
        (void)usleep(w->pause_ms * 1000);
        w->pause_ms = w->pause_ms < LONGEST_PAUSE_MS / 2 ? w->pause_ms * 2 : LONGEST_PAUSE_MS;
    }
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
        w->silent_s = command_value(command, arguments, "timeout") ? 0 : SILENT_S;
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
