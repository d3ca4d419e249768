/*
 * json.h - THE JSON scanner (RFC 8259, strict), for all fronts.
 *
 * Two steps. json_valid()/json_parse() look at every byte of a document once: the grammar, UTF-8, nesting to
 * JSON_MAX_DEPTH, nothing after the value but white space. A json_reader then walks what json_parse() accepted,
 * skipping from value to value; values are raw slices of the document, so nothing is reparsed, rounded or copied.
 *
 *     struct json_value root, item; struct json_member m; struct json_reader r; struct json_error e;
 *     if (!json_parse(body, &root, &e)) return problem(..., e.reason, e.offset);
 *     if (root.type != JSON_OBJECT) ...
 *     for (json_read(&r, root); json_next_member(&r, &m);)
 *         switch (json_field(&m, names, 2, &seen)) { case 0: ... case FIELD_UNKNOWN: ... }
 *     for (json_read(&r, array); json_next_element(&r, &item);) ...
 *
 * Nothing here allocates, recurses or keeps state elsewhere; all functions are thread-safe. Slices live as long as the
 * document. A lone surrogate escape ("\ud800") is grammatical, so such documents are valid and can be stored; it has no
 * bytes, so json_string() refuses it.
 */
#ifndef VELOCITY_SERVER_JSON_H
#define VELOCITY_SERVER_JSON_H

#include "engine/velocity.h"
#include "server/fields.h"

#define JSON_MAX_DEPTH 512 /* arrays and objects around a value */

struct json_error {
    size_t offset;      /* of the byte that can't be; the document's size where it ends too early */
    const char *reason; /* static, lower case, no full stop */
};

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
    enum json_type type;
    velocity_slice raw; /* without white space around it; strings with their quotes */
};

struct json_member {
    velocity_slice name; /* between the quotes, escapes and all */
    struct json_value value;
};

struct json_reader {
    const unsigned char *at, *end;
    bool first;
};

/* True: exactly one JSON value, perhaps in white space. False: *error (may be NULL) says where and why. */
bool json_valid(velocity_slice document, struct json_error *error);
/* The same, and the value. */
bool json_parse(velocity_slice document, struct json_value *out, struct json_error *error);

/* The type of the value that begins with this byte. */
enum json_type json_type_of(unsigned char first);

/* Begins to walk an array or object that came out of json_parse() or of a reader. Any other type reads as empty. */
void json_read(struct json_reader *reader, struct json_value container);
/* Next element of an array, or member of an object. False at the end. */
bool json_next_element(struct json_reader *reader, struct json_value *out);
bool json_next_member(struct json_reader *reader, struct json_member *out);

/*
 * A walk that goes into values without passing over them before, so that each byte is looked at once however deep it
 * goes: the next member's name and the type of its value, on which the reader then stands. One of the two must follow:
 * json_pass takes the value whole; json_enter, of an array or object, goes into it, and what comes next are its own
 * members or elements. At their end json_leave goes on behind it.
 */
bool json_next_name(struct json_reader *reader, velocity_slice *name, enum json_type *type);
void json_pass(struct json_reader *reader, struct json_value *out);
void json_enter(struct json_reader *reader);
void json_leave(struct json_reader *reader);

/* Has the name no escape? Then it is its own bytes. */
bool json_name_is_plain(velocity_slice name);
/*
 * The bytes of a name: borrowed where it is plain, else in `buffer`, which has name.size bytes. A lone surrogate has
 * the three bytes of its code point, which are in no UTF-8: two names have the same bytes exactly where they are the
 * same.
 */
velocity_slice json_name_bytes(velocity_slice name, char *buffer);

/*
 * Which of names[0..count) the member is, escapes in its name resolved; see field_index(). Names hold ASCII only and
 * are at most JSON_FIELD_BYTES long.
 */
#define JSON_FIELD_BYTES 32
int json_field(const struct json_member *member, const char *const *names, size_t count, uint64_t *seen);

/* How large a buffer json_string() needs: 0 where the string has no escape and is borrowed from the document. */
size_t json_string_buffer_bytes(struct json_value string);
/*
 * A string's bytes (UTF-8; may hold NULs), borrowed from the document or written to `buffer`, which has
 * json_string_buffer_bytes() bytes. False: not a string, or it holds a lone surrogate.
 */
bool json_string(struct json_value string, char *buffer, velocity_slice *out);

/* Numbers that are written as integers ("1.0" and "1e2" are not) and fit. False leaves *out unchanged. */
bool json_i64(struct json_value number, int64_t *out);
bool json_u64(struct json_value number, uint64_t *out);
/* JSON_TRUE and JSON_FALSE. */
bool json_bool(struct json_value value, bool *out);

#endif
