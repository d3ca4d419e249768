/*
 * item_parse.h - what JSON says of a key and its value, read into what is stored: an item as exports write it, and the
 * members that it shares with the operations of a batch. Strict: a member that is unknown or given twice is an error.
 */
#ifndef VELOCITY_HTTP_ITEM_PARSE_H
#define VELOCITY_HTTP_ITEM_PARSE_H

#include "server/json.h"
#include "server/scratch.h"
#include "server/store.h"

/* The one reason that is not the document's fault. */
#define ITEM_NO_MEMORY "no memory"

/* What is read borrows the document and `scratch`. Each function answers false where something is wrong: `reason` says
 * what. A value that is not there has raw.data NULL. */
struct item_reader {
    struct scratch *scratch;
    uint64_t max_value_bytes;
    const char *reason; /* static */
};

/* Sets the reason; false. */
bool item_reader_fail(struct item_reader *reader, const char *reason);
/* members[i] is that of names[i], *seen the set of those that are there; `what` is the reason where it is no object. */
bool item_take_members(struct item_reader *reader, struct json_value value, const char *what, const char *const *names,
                       size_t count, struct json_value *members, uint64_t *seen);
bool item_take_string(struct item_reader *reader, struct json_value value, velocity_slice *out);
/* One of the two must be there. */
bool item_take_key(struct item_reader *reader, struct json_value key, struct json_value key64, velocity_slice *out);
/* One of the two; where neither is there *out stays as it is. A ttl counts from now. */
bool item_take_expiry(struct item_reader *reader, struct json_value ttl, struct json_value at, int64_t *out);

struct item_content {
    struct json_value value, text, base64; /* one of them */
    struct json_value type;                /* as the kind of content says where it is not there */
};
/* As it is stored: under VALUE_OTHER behind its type's name. */
bool item_take_content(struct item_reader *reader, const struct item_content *content, uint32_t *flags,
                       velocity_slice *out);

/* One line of NDJSON: a put of the item, which may have a ttl in place of its expiry. Its version and size are passed
 * over. */
bool item_parse(velocity_slice line, uint64_t max_value_bytes, struct scratch *scratch, struct store_operation *out,
                const char **reason);

#endif
