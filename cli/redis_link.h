/*
 * redis_link.h - a connection to a Redis server: commands out, replies in (RESP 2, redis.io "Redis serialization
 * protocol specification"). Blocking, one thread.
 */
#ifndef VELOCITY_CLI_REDIS_LINK_H
#define VELOCITY_CLI_REDIS_LINK_H

#include "server/json_write.h"

#define REDIS_MESSAGE_BYTES 200
#define REDIS_BULK_MAX      ((size_t)512 << 20) /* Redis's own limit */

struct redis_link {
    int fd;
    char buffer[65536];
    size_t at, end; /* of what came and was not read */
    struct json_writer out;
    char message[REDIS_MESSAGE_BYTES];
};

enum redis_kind { REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_BULK, REDIS_NULL, REDIS_ARRAY };

struct redis_reply {
    enum redis_kind kind;
    int64_t number;    /* of an integer; of an array: its elements, which come next */
    char text[128];    /* of a status or error, cut */
    size_t bulk_bytes; /* of a bulk: in the caller's writer */
};

/* False: message says why. `url`: "redis://[[user]:password@]host[:port][/database]", user and password with percent
 * escapes. */
bool redis_open(struct redis_link *link, const char *url);
void redis_close(struct redis_link *link);

/* Puts a command into the queue; it is sent with the next redis_read. */
void redis_command(struct redis_link *link, size_t count, const velocity_slice *words);
/* What an error says, and what to do about it, into the message; answers false. */
bool redis_refusal(struct redis_link *link, const char *text);
/* The next reply. A bulk replaces what `bulk` holds. False: message says why. */
bool redis_read(struct redis_link *link, struct redis_reply *out, struct json_writer *bulk);

#endif
