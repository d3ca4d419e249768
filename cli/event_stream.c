/* event_stream.c - see event_stream.h. */
#include "cli/event_stream.h"

#include <stdio.h>
#include <string.h>

static bool dispatch(struct event_stream *s) {
    bool more = true;
    memcpy(s->id, s->next_id, sizeof s->id);
    if (s->has_data)
        more = s->event(s->arg, *s->name ? s->name : "message", s->id, velocity_bytes(s->data.data, s->data.size));
    json_writer_clear(&s->data);
    s->has_data = false;
    *s->name = 0;
    return more;
}

static void keep(char *out, size_t room, velocity_slice value) {
    if (value.size >= room || (value.size && memchr(value.data, 0, value.size))) return;
    memcpy(out, value.data, value.size);
    out[value.size] = 0;
}

/* A line without its end. */
static bool take_line(struct event_stream *s) {
    const char *line = s->line.data;
    size_t size = s->line.size;
    if (size == 0) return dispatch(s);
    const char *colon = memchr(line, ':', size);
    size_t name = colon ? (size_t)(colon - line) : size, at = colon ? name + 1 : size;
    if (at < size && line[at] == ' ') at++;
    velocity_slice value = velocity_bytes(line + at, size - at);
    if (name == 2 && memcmp(line, "id", 2) == 0) keep(s->next_id, sizeof s->next_id, value);
    if (name == 5 && memcmp(line, "event", 5) == 0) keep(s->name, sizeof s->name, value);
    if (name == 4 && memcmp(line, "data", 4) == 0) {
        if (s->has_data) json_append(&s->data, "\n", 1);
        json_append(&s->data, value.data, value.size);
        s->has_data = true;
    }
    json_writer_clear(&s->line);
    return !s->data.failed;
}

bool event_stream_take(struct event_stream *s, const char *bytes, size_t size) {
    const char *end = bytes + size;
    while (bytes < end) {
        if (s->after_cr && *bytes == '\n') bytes++; /* CR LF is one end of a line, in two pieces */
        s->after_cr = false;
        const char *p = bytes;
        while (p < end && *p != '\n' && *p != '\r') p++;
        json_append(&s->line, bytes, (size_t)(p - bytes));
        if (s->line.failed) return false;
        if (p == end) break;
        s->after_cr = *p == '\r';
        bytes = p + 1;
        if (!take_line(s)) return false;
    }
    return true;
}

void event_stream_restart(struct event_stream *s) {
    json_writer_clear(&s->line);
    json_writer_clear(&s->data);
    s->has_data = s->after_cr = false;
    *s->name = 0;
    memcpy(s->next_id, s->id, sizeof s->next_id);
}

void event_stream_free(struct event_stream *s) {
    json_writer_free(&s->line);
    json_writer_free(&s->data);
}
