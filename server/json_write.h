/*
 * json_write.h - writes JSON into one growing buffer.
 *
 *     struct json_writer w = {0};
 *     json_begin_object(&w);
 *     json_name(&w, "key"); json_write_string(&w, key);
 *     json_end_object(&w);
 *     if (w.failed) ... else send(w.data, w.size);
 *     json_writer_free(&w);
 *
 * The writer puts the commas; the caller sees to it that names and values alternate and that what is begun is ended.
 * Failure (memory, or beyond limit_bytes) sticks: later calls do nothing, so one look at `failed` at the end is enough.
 * One writer belongs to one thread at a time.
 */
#ifndef VELOCITY_SERVER_JSON_WRITE_H
#define VELOCITY_SERVER_JSON_WRITE_H

#include "engine/velocity.h"
#include "server/utf8.h"

/* All zero is an empty writer. */
struct json_writer {
    char *data;         /* malloc'd; NULL while nothing was written */
    size_t size;        /* bytes written */
    size_t capacity;    /* bytes allocated */
    size_t limit_bytes; /* of size; 0: none */
    bool comma;         /* the next value or name needs one */
    bool failed;        /* memory or limit */
};

void json_writer_free(struct json_writer *w);  /* and makes it empty; NULL is not allowed */
void json_writer_clear(struct json_writer *w); /* empty again, keeps its memory and limit */
/* Gives the caller the bytes (to free()) and makes the writer empty. NULL after a failure, or where nothing was
 * written. */
char *json_writer_take(struct json_writer *w, size_t *size);
/* Makes room for `bytes` more. False, and `failed`, where that can't be. */
bool json_writer_reserve(struct json_writer *w, size_t bytes);

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
/* A member's name: a C string that needs no escape. */
void json_name(struct json_writer *w, const char *name);

void json_write_null(struct json_writer *w);
void json_write_bool(struct json_writer *w, bool value);
void json_write_u64(struct json_writer *w, uint64_t value);
void json_write_i64(struct json_writer *w, int64_t value);
void json_write_double(struct json_writer *w,
                       double value); /* the shortest that reads back the same; not finite: null */
/* Any bytes; what is not UTF-8 becomes U+FFFD. Use json_write_key() and json_write_text() where bytes must survive. */
void json_write_string(struct json_writer *w, velocity_slice text);
/* The same piece by piece: no piece ends within a sequence of UTF-8. */
void json_begin_string(struct json_writer *w);
void json_append_string(struct json_writer *w, velocity_slice text);
void json_end_string(struct json_writer *w);
/* Between begin and end, in the string's place: each piece but the last has a multiple of three bytes. */
void json_append_base64(struct json_writer *w, velocity_slice bytes);
/* A number as a string ("42"), as versions are written: 64 bits do not fit a double. */
void json_write_u64_string(struct json_writer *w, uint64_t value);
/* A version; VELOCITY_ABSENT, which what a transaction has written itself has: null. */
void json_write_version(struct json_writer *w, uint64_t version);
/* A value that is JSON already, byte for byte. */
void json_write_raw(struct json_writer *w, velocity_slice json);
void json_write_base64(struct json_writer *w, velocity_slice bytes);

/* The member "key" where the key is UTF-8, else "key64" (base64url). */
void json_write_key(struct json_writer *w, velocity_slice key);
/* The member "text" where the bytes are UTF-8, else "base64". */
void json_write_text(struct json_writer *w, velocity_slice bytes);

/* Bytes as they are, no comma: for a newline between NDJSON lines. */
void json_append(struct json_writer *w, const void *bytes, size_t size);

#endif
