/*
 * rows.h - what an import reads, whatever it comes from: rows, one after another.
 *
 *     rows_ndjson.c   items, as an export writes them         rows_sqlite.c   a table of a SQLite database
 *     rows_csv.c      comma-separated values (RFC 4180)       rows_redis.c    a Redis server
 *                                                             rows_rdb.c      a Redis dump
 *
 * A row that can't be stored is skipped and says why; a source that can't go on fails. Every source can begin again
 * behind a row that it has shown (`position`), so that an import that was ended can go on.
 *
 * Threads: one.
 */
#ifndef VELOCITY_CLI_ROWS_H
#define VELOCITY_CLI_ROWS_H

#include "server/json_write.h"

#define ROWS_MESSAGE_BYTES 256
#define ROWS_ID_BYTES      80
/* A row that is larger as JSON is skipped: no server takes it. */
#define ROWS_JSON_MAX_BYTES ((size_t)1 << 30)

struct row {
    velocity_slice key;    /* lives until the next call, like all of it */
    velocity_slice value;  /* data NULL: `item` has it */
    velocity_slice item;   /* a whole item as JSON, key and all: passed on as it is; empty: none */
    const char *type;      /* a media type; JSON's is checked by the server */
    int64_t expires_at_ms; /* 0: never */
};

enum row_result {
    ROW_READ,
    ROW_SKIPPED, /* message says why; key is set where there is one */
    ROW_END,
    ROW_FAILED, /* message says why */
};

struct rows {
    enum row_result (*next)(struct rows *rows, struct row *out);
    /* Goes on behind the row that had this position. False: message says why not. */
    bool (*seek)(struct rows *rows, uint64_t position);
    void (*close)(struct rows *rows); /* and frees it */
    uint64_t position;                /* behind the last row: a number of the source's own; at first before them all */
    bool repeats;                     /* a position is where several rows begin: after seek they all come again */
    uint64_t done, total;             /* for progress; total 0: not known */
    char id[ROWS_ID_BYTES];           /* positions hold while it is the same, without spaces; "": none */
    const char *remark;               /* of the source as a whole, to be told once; NULL: none */
    char message[ROWS_MESSAGE_BYTES];
};

/* What the options of an import say of its source. */
struct rows_options {
    const char *path;         /* of the file; NULL: standard input, where the source can read that */
    const char *table;        /* sqlite */
    const char *key_column;   /* csv, sqlite; NULL: the first one */
    const char *value_column; /* csv, sqlite: only that one is the value; NULL: all others, as a JSON object */
    const char *url;          /* redis: "redis://[user:password@]host[:port][/database]" */
    const char *match;        /* redis: keys that match this pattern; NULL: all */
    int64_t redis_database;   /* rdb: rows of that one; negative: of the first that has any */
};

/* "csv", "sqlite" or "redis", where a file's name or a URL says so, else "ndjson"; NULL: a stream without a name. */
const char *rows_format_of(const char *name);

/* False: `message` says why. */
bool rows_open_ndjson(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);
bool rows_open_csv(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);
bool rows_open_sqlite(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);
bool rows_open_redis(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);
bool rows_open_rdb(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);

#define ROWS_TYPE_JSON  "application/json"
#define ROWS_TYPE_TEXT  "text/plain; charset=utf-8"
#define ROWS_TYPE_BYTES "application/octet-stream"

/* What bytes of unknown kind are called: text where they are UTF-8. */
const char *rows_type_of(velocity_slice value);
/* A double; one that is not finite, which JSON has no number for, as the text "inf", "-inf" or "nan". */
void rows_write_number(struct json_writer *w, double number);
/* A text of a JSON value; bytes that are no UTF-8 as {"base64":"..."}. */
void rows_write_text(struct json_writer *w, velocity_slice text);

#endif
