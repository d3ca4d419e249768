/*
 * rows_redis.c - the keys of a running Redis server, by SCAN: what is there all the time is shown, at least once; what
 * comes or goes meanwhile may be. Values as rows_rdb.c makes them; that single fields of a hash expire is not seen.
 *
 *     SCAN --> page of keys --> TYPE, PTTL of all of them --> values, AHEAD of them asked for before the first is read
 *
 * A position is the cursor of the page that a row stands on: to go on, the page is read once more. Cursors hold for one
 * run of a server.
 */
#include "cli/redis_link.h"
#include "cli/rows.h"
#include "server/timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_KEYS     256 /* asked for; Redis may give some more */
#define PAGE_MAX      65536
#define WORDS_MAX     6
#define AHEAD         32    /* values that are under way: more would not be faster, and wait in Redis's memory */
#define KEY_MAX_BYTES 16384 /* no server takes a longer one: not all of it is kept */
#define KEY_SHOWN     64

enum kind { KIND_GONE, KIND_STRING, KIND_LIST, KIND_SET, KIND_HASH, KIND_ZSET, KIND_STREAM, KIND_OTHER };

struct page_key {
    size_t begin, size; /* in page */
    bool too_long;      /* that is only its beginning */
    enum kind kind;
    int64_t ttl_ms; /* negative: none */
};

struct redis_rows {
    struct rows rows;
    struct redis_link link;
    const char *match;
    char cursor[24], next_cursor[24];
    bool began;
    struct json_writer page; /* the page's keys, one behind the other */
    struct page_key *keys;
    size_t count, at, capacity;
    size_t asked;       /* of the page's keys: their values are under way */
    int64_t scanned_ms; /* when their times to live were asked for */
    struct json_writer bulk, json;
    const char *skipped; /* why the row at hand can't be stored; NULL: it can */
    char error[160];
};

static const char no_redis[] = "Redis does not answer as Redis does";

static bool fail(struct redis_rows *r, const char *why) {
    (void)snprintf(r->rows.message, sizeof r->rows.message, "%.200s", why);
    return false;
}

/* What Redis says instead of an answer. */
static bool fail_by(struct redis_rows *r, const char *text) {
    (void)redis_refusal(&r->link, text);
    return fail(r, r->link.message);
}

static bool read_reply(struct redis_rows *r, struct redis_reply *out) {
    if (!redis_read(&r->link, out, &r->bulk)) return fail(r, r->link.message);
    return out->kind != REDIS_ERROR || fail_by(r, out->text);
}

static bool read_array(struct redis_rows *r, int64_t *count) {
    struct redis_reply reply;
    if (!read_reply(r, &reply)) return false;
    *count = reply.number;
    return reply.kind == REDIS_ARRAY || fail(r, no_redis);
}

static bool read_text(struct redis_rows *r) {
    struct redis_reply reply;
    return read_reply(r, &reply) && (reply.kind == REDIS_BULK || fail(r, no_redis));
}

static velocity_slice bulk_of(const struct redis_rows *r) {
    return velocity_bytes(r->bulk.data ? r->bulk.data : "", r->bulk.size);
}

static velocity_slice key_of(const struct redis_rows *r, const struct page_key *key) {
    return velocity_bytes(r->page.data + key->begin, key->size);
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

static void ask(struct redis_rows *r, const char *const *words, size_t count, velocity_slice key) {
    velocity_slice slices[WORDS_MAX];
    for (size_t i = 0; i < count; i++) slices[i] = words[i] ? velocity_str(words[i]) : key;
    redis_command(&r->link, count, slices);
}

static bool add_key(struct redis_rows *r) {
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : PAGE_KEYS;
        struct page_key *keys = capacity <= PAGE_MAX ? realloc(r->keys, capacity * sizeof *keys) : NULL;
        if (!keys) return fail(r, "no memory for a page of keys");
        r->keys = keys;
        r->capacity = capacity;
    }
    bool too_long = r->bulk.size > KEY_MAX_BYTES;
    size_t size = too_long ? KEY_SHOWN : r->bulk.size;
    r->keys[r->count++] = (struct page_key){.begin = r->page.size, .size = size, .too_long = too_long};
    json_append(&r->page, r->bulk.data, size);
    return !r->page.failed || fail(r, "no memory for a page of keys");
}

static enum kind kind_of(const char *type) {
    static const char *const names[] = {
        [KIND_GONE] = "none", [KIND_STRING] = "string", [KIND_LIST] = "list",    [KIND_SET] = "set",
        [KIND_HASH] = "hash", [KIND_ZSET] = "zset",     [KIND_STREAM] = "stream"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(type, names[i]) == 0) return (enum kind)i;
    return KIND_OTHER;
}

/* Of all keys of the page at once: what they are, and how long they live. */
static bool look_at_keys(struct redis_rows *r) {
    static const char *const type[] = {"TYPE", NULL}, *const ttl[] = {"PTTL", NULL};
    struct redis_reply reply;
    r->scanned_ms = timestamp_now();
    for (size_t i = 0; i < r->count; i++) {
        if (r->keys[i].too_long) continue;
        ask(r, type, 2, key_of(r, &r->keys[i]));
        ask(r, ttl, 2, key_of(r, &r->keys[i]));
    }
    for (size_t i = 0; i < r->count; i++) {
        if (r->keys[i].too_long) continue;
        if (!read_reply(r, &reply)) return false;
        r->keys[i].kind = kind_of(reply.text);
        if (!read_reply(r, &reply)) return false;
        r->keys[i].ttl_ms = reply.kind == REDIS_INTEGER ? reply.number : -1;
    }
    return true;
}

static bool read_page(struct redis_rows *r) {
    const char *const words[] = {"SCAN", r->cursor, "COUNT", "256", "MATCH", r->match};
    int64_t two, count;
    ask(r, words, r->match ? 6 : 4, velocity_bytes("", 0));
    if (!read_array(r, &two) || two != 2 || !read_text(r) || r->bulk.size >= sizeof r->next_cursor)
        return *r->rows.message ? false : fail(r, no_redis);
    memcpy(r->next_cursor, r->bulk.data, r->bulk.size);
    r->next_cursor[r->bulk.size] = 0;
    json_writer_clear(&r->page);
    r->count = r->at = r->asked = 0;
    if (!read_array(r, &count)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!read_text(r) || !add_key(r)) return false;
    return look_at_keys(r);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Instead of a value. Where it concerns this key alone (another type by now, no right to read it) the key is skipped;
 * where Redis can't answer at all, or is a cluster whose other node has the key, that ends the import. */
static bool take_error(struct redis_rows *r, const char *text) {
    static const char *const own[] = {"WRONGTYPE ", "NOPERM "};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strncmp(text, own[i], strlen(own[i])) != 0) continue;
        (void)snprintf(r->error, sizeof r->error, "Redis does not give it: %s", text);
        r->skipped = r->error;
        return true;
    }
    return fail_by(r, text);
}

static void write_name(struct redis_rows *r) {
    if (!utf8_valid(bulk_of(r))) r->skipped = "a field or member of it is not UTF-8";
    json_write_string(&r->json, bulk_of(r));
    json_append(&r->json, ":", 1);
    r->json.comma = false;
}

/* The first reply of a value that has several. True, and *count below 0: it is gone, or can't be had. */
static bool begin_value(struct redis_rows *r, int64_t *count) {
    struct redis_reply reply;
    *count = -1;
    if (!redis_read(&r->link, &reply, &r->bulk)) return fail(r, r->link.message);
    if (reply.kind == REDIS_ERROR) return take_error(r, reply.text);
    if (reply.kind != REDIS_ARRAY) return fail(r, no_redis);
    if (reply.number > 0) *count = reply.number; /* none of these is ever empty */
    return true;
}

static bool read_elements(struct redis_rows *r, bool *gone) {
    int64_t count;
    json_begin_array(&r->json);
    if (!begin_value(r, &count)) return false;
    *gone = count < 0 && !r->skipped;
    for (int64_t i = 0; i < count; i++) {
        if (!read_text(r)) return false;
        rows_write_text(&r->json, bulk_of(r));
    }
    json_end_array(&r->json);
    return true;
}

static bool write_score(struct redis_rows *r) {
    char *end;
    json_append(&r->bulk, "", 1);
    if (r->bulk.failed) return fail(r, "no memory for a value of its size");
    rows_write_number(&r->json, strtod(r->bulk.data, &end));
    return (r->bulk.size > 1 && end == r->bulk.data + r->bulk.size - 1) || fail(r, "a score that is no number");
}

static bool read_pairs(struct redis_rows *r, bool scores, bool *gone) {
    int64_t count;
    json_begin_object(&r->json);
    if (!begin_value(r, &count)) return false;
    *gone = count < 0 && !r->skipped;
    if (count > 0 && count % 2) return fail(r, no_redis);
    for (int64_t i = 0; i < count; i += 2) {
        if (!read_text(r)) return false;
        write_name(r);
        if (!read_text(r)) return false;
        if (!scores)
            rows_write_text(&r->json, bulk_of(r));
        else if (!write_score(r))
            return false;
    }
    json_end_object(&r->json);
    return true;
}

static bool read_string(struct redis_rows *r, bool *gone) {
    struct redis_reply reply;
    if (!redis_read(&r->link, &reply, &r->bulk)) return fail(r, r->link.message);
    if (reply.kind == REDIS_ERROR) return take_error(r, reply.text);
    *gone = reply.kind == REDIS_NULL;
    return *gone || reply.kind == REDIS_BULK || fail(r, no_redis);
}

/* What is asked for a value of that kind; NULL: nothing. */
static const char *const *words_for(const struct page_key *key, size_t *count) {
    static const char *const get[] = {"GET", NULL}, *const list[] = {"LRANGE", NULL, "0", "-1"},
                             *const set[] = {"SMEMBERS", NULL}, *const hash[] = {"HGETALL", NULL},
                             *const zset[] = {"ZRANGE", NULL, "0", "-1", "WITHSCORES"};
    *count = 2;
    if (key->too_long) return NULL;
    switch (key->kind) {
    case KIND_STRING: return get;
    case KIND_LIST: *count = 4; return list;
    case KIND_SET: return set;
    case KIND_HASH: return hash;
    case KIND_ZSET: *count = 5; return zset;
    case KIND_GONE:
    case KIND_STREAM:
    case KIND_OTHER: break;
    }
    return NULL;
}

static void ask_ahead(struct redis_rows *r) {
    size_t end = r->count - r->at < AHEAD ? r->count : r->at + AHEAD, count;
    if (r->asked > r->at + AHEAD / 2) return; /* several commands go in one packet */
    for (; r->asked < end; r->asked++) {
        const char *const *words = words_for(&r->keys[r->asked], &count);
        if (words) ask(r, words, count, key_of(r, &r->keys[r->asked]));
    }
}

/* *gone: it is no longer there. */
static bool read_value(struct redis_rows *r, const struct page_key *key, bool *gone) {
    *gone = false;
    r->skipped = NULL;
    json_writer_clear(&r->json);
    if (key->too_long) r->skipped = "its key is longer than 16 KiB";
    if (r->skipped) return true;
    switch (key->kind) {
    case KIND_GONE: *gone = true; return true;
    case KIND_STRING: return read_string(r, gone);
    case KIND_LIST:
    case KIND_SET: return read_elements(r, gone);
    case KIND_HASH: return read_pairs(r, false, gone);
    case KIND_ZSET: return read_pairs(r, true, gone);
    case KIND_STREAM: r->skipped = "it is a stream, which has no counterpart"; return true;
    case KIND_OTHER: r->skipped = "it belongs to a module of Redis"; return true;
    }
    return true;
}

static enum row_result redis_next(struct rows *rows, struct row *out) {
    struct redis_rows *r = (struct redis_rows *)rows;
    bool gone = true;
    const struct page_key *key = NULL;
    *out = (struct row){0};
    *rows->message = 0;
    while (gone) {
        while (r->at == r->count) {
            if (r->began && strcmp(r->next_cursor, "0") == 0) return ROW_END;
            if (r->began) memcpy(r->cursor, r->next_cursor, sizeof r->cursor);
            r->began = true;
            if (!read_page(r)) return ROW_FAILED;
            rows->position = strtoull(r->cursor, NULL, 10);
        }
        ask_ahead(r);
        key = &r->keys[r->at++];
        rows->done++;
        if (!read_value(r, key, &gone)) return ROW_FAILED;
    }
    bool text = key->kind == KIND_STRING;
    out->key = key_of(r, key);
    out->value = text ? bulk_of(r) : velocity_bytes(r->json.data, r->json.size);
    out->type = text ? rows_type_of(out->value) : ROWS_TYPE_JSON;
    if (key->ttl_ms >= 0 && __builtin_add_overflow(r->scanned_ms, key->ttl_ms, &out->expires_at_ms))
        out->expires_at_ms = 0; /* beyond all time */
    if (!r->skipped && !text && r->json.failed) r->skipped = "it is too large as JSON";
    if (!r->skipped) return ROW_READ;
    (void)snprintf(rows->message, sizeof rows->message, "%s", r->skipped);
    return ROW_SKIPPED;
}

static bool redis_seek(struct rows *rows, uint64_t position) {
    struct redis_rows *r = (struct redis_rows *)rows;
    (void)snprintf(r->cursor, sizeof r->cursor, "%" PRIu64, position);
    rows->position = position;
    return true;
}

static void redis_rows_close(struct rows *rows) {
    struct redis_rows *r = (struct redis_rows *)rows;
    redis_close(&r->link);
    json_writer_free(&r->page);
    json_writer_free(&r->bulk);
    json_writer_free(&r->json);
    free(r->keys);
    free(r);
}

/* What stands behind "name:" in INFO's text. False: it is not there. */
static bool find_info(const struct redis_rows *r, const char *name, char *out, size_t size) {
    velocity_slice text = bulk_of(r);
    const char *end = (const char *)text.data + text.size, *at = memmem(text.data, text.size, name, strlen(name));
    size_t used = 0;
    if (!at) return false;
    for (at += strlen(name); at<end && * at> ' ' && *at < 0x7f && used + 1 < size;) out[used++] = *at++;
    out[used] = 0;
    return used > 0;
}

/* Which run of which server it is, and whether it is all of it. Who may not ask that may go on all the same. */
static bool ask_about(struct redis_rows *r) {
    static const char *const server[] = {"INFO", "server"}, *const cluster[] = {"INFO", "cluster"};
    struct redis_reply reply;
    char enabled[8];
    ask(r, server, 2, velocity_bytes("", 0));
    ask(r, cluster, 2, velocity_bytes("", 0));
    if (!redis_read(&r->link, &reply, &r->bulk)) return fail(r, r->link.message);
    if (reply.kind == REDIS_BULK) (void)find_info(r, "\nrun_id:", r->rows.id, sizeof r->rows.id);
    if (!redis_read(&r->link, &reply, &r->bulk)) return fail(r, r->link.message);
    bool part = reply.kind == REDIS_BULK && find_info(r, "cluster_enabled:", enabled, sizeof enabled);
    if (part && strcmp(enabled, "1") == 0)
        r->rows.remark = "this Redis is one node of a cluster, and has some of its keys: import from each master";
    return true;
}

static bool ask_size(struct redis_rows *r) {
    static const char *const size[] = {"DBSIZE"};
    struct redis_reply reply;
    ask(r, size, 1, velocity_bytes("", 0));
    if (!read_reply(r, &reply)) return false;
    if (reply.kind != REDIS_INTEGER || reply.number < 0) return fail(r, no_redis);
    if (!r->match) r->rows.total = (uint64_t)reply.number;
    return true;
}

bool rows_open_redis(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    struct redis_rows *r = calloc(1, sizeof *r);
    if (!r) {
        (void)snprintf(message, ROWS_MESSAGE_BYTES, "no memory");
        return false;
    }
    r->rows = (struct rows){.next = redis_next, .seek = redis_seek, .close = redis_rows_close, .repeats = true};
    r->match = options->match;
    r->cursor[0] = '0';
    r->json.limit_bytes = ROWS_JSON_MAX_BYTES;
    bool good = redis_open(&r->link, options->url) || fail(r, r->link.message);
    if (good && ask_size(r) && ask_about(r)) {
        *out = &r->rows;
        return true;
    }
    (void)snprintf(message, ROWS_MESSAGE_BYTES, "%s", r->rows.message);
    redis_rows_close(&r->rows);
    return false;
}
