/*
 * rows_redis.c - the keys of a running Redis server, by SCAN: what is there all the time is shown, at least once; what
 * comes or goes meanwhile may be. Values as rows_rdb.c makes them.
 *
 * A position is the cursor of the page that a row stands on: to go on, the page is read once more.
 */
#include "cli/redis_link.h"
#include "cli/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_KEYS 256 /* asked for; Redis may give some more */
#define PAGE_MAX  65536
#define WORDS_MAX 6

struct page_key {
    size_t begin, size; /* in page */
    char type[16];
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
    struct json_writer bulk, json;
    const char *skipped;
};

static bool fail(struct redis_rows *r, const char *why) {
    (void)snprintf(r->rows.message, sizeof r->rows.message, "%.200s", why);
    return false;
}

static bool read_reply(struct redis_rows *r, struct redis_reply *out) {
    if (!redis_read(&r->link, out, &r->bulk)) return fail(r, r->link.message);
    return out->kind != REDIS_ERROR || fail(r, out->text);
}

static bool read_array(struct redis_rows *r, int64_t *count) {
    struct redis_reply reply;
    if (!read_reply(r, &reply)) return false;
    *count = reply.number;
    return reply.kind == REDIS_ARRAY || fail(r, "Redis does not answer as Redis does");
}

static bool read_text(struct redis_rows *r) {
    struct redis_reply reply;
    return read_reply(r, &reply) && (reply.kind == REDIS_BULK || fail(r, "Redis does not answer as Redis does"));
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
    r->keys[r->count++] = (struct page_key){.begin = r->page.size, .size = r->bulk.size};
    json_append(&r->page, r->bulk.data, r->bulk.size);
    return !r->page.failed || fail(r, "no memory for a page of keys");
}

/* Of all keys of the page at once: what they are, and how long they live. */
static bool look_at_keys(struct redis_rows *r) {
    static const char *const type[] = {"TYPE", NULL}, *const ttl[] = {"PTTL", NULL};
    struct redis_reply reply;
    for (size_t i = 0; i < r->count; i++) {
        ask(r, type, 2, key_of(r, &r->keys[i]));
        ask(r, ttl, 2, key_of(r, &r->keys[i]));
    }
    for (size_t i = 0; i < r->count; i++) {
        if (!read_reply(r, &reply)) return false;
        (void)snprintf(r->keys[i].type, sizeof r->keys[i].type, "%.15s", reply.text);
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
        return *r->rows.message ? false : fail(r, "Redis does not answer as Redis does");
    memcpy(r->next_cursor, r->bulk.data, r->bulk.size);
    r->next_cursor[r->bulk.size] = 0;
    json_writer_clear(&r->page);
    r->count = r->at = 0;
    if (!read_array(r, &count)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!read_text(r) || !add_key(r)) return false;
    return look_at_keys(r);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void write_name(struct redis_rows *r) {
    if (!utf8_valid(bulk_of(r))) r->skipped = "a field or member of it is not UTF-8";
    json_write_string(&r->json, bulk_of(r));
    json_append(&r->json, ":", 1);
    r->json.comma = false;
}

static bool read_elements(struct redis_rows *r) {
    int64_t count;
    json_begin_array(&r->json);
    if (!read_array(r, &count)) return false;
    for (int64_t i = 0; i < count; i++) {
        if (!read_text(r)) return false;
        rows_write_text(&r->json, bulk_of(r));
    }
    json_end_array(&r->json);
    return true;
}

static bool read_pairs(struct redis_rows *r, bool scores) {
    int64_t count;
    json_begin_object(&r->json);
    if (!read_array(r, &count)) return false;
    for (int64_t i = 0; i + 1 < count; i += 2) {
        if (!read_text(r)) return false;
        write_name(r);
        if (!read_text(r)) return false;
        if (scores) {
            json_append(&r->bulk, "", 1);
            json_write_double(&r->json, strtod(r->bulk.data, NULL));
        } else {
            rows_write_text(&r->json, bulk_of(r));
        }
    }
    json_end_object(&r->json);
    return true;
}

/* *gone: it is no longer there. */
static bool read_value(struct redis_rows *r, const struct page_key *key, bool *gone) {
    static const char *const get[] = {"GET", NULL}, *const list[] = {"LRANGE", NULL, "0", "-1"},
                             *const set[] = {"SMEMBERS", NULL}, *const hash[] = {"HGETALL", NULL},
                             *const zset[] = {"ZRANGE", NULL, "0", "-1", "WITHSCORES"};
    struct redis_reply reply;
    velocity_slice name = key_of(r, key);
    *gone = strcmp(key->type, "none") == 0;
    r->skipped = NULL;
    json_writer_clear(&r->json);
    if (*gone) return true;
    if (strcmp(key->type, "string") == 0) {
        ask(r, get, 2, name);
        if (!read_reply(r, &reply)) return false;
        *gone = reply.kind == REDIS_NULL;
        return true;
    }
    if (strcmp(key->type, "list") == 0) return ask(r, list, 4, name), read_elements(r);
    if (strcmp(key->type, "set") == 0) return ask(r, set, 2, name), read_elements(r);
    if (strcmp(key->type, "hash") == 0) return ask(r, hash, 2, name), read_pairs(r, false);
    if (strcmp(key->type, "zset") == 0) return ask(r, zset, 5, name), read_pairs(r, true);
    r->skipped = strcmp(key->type, "stream") == 0 ? "it is a stream, which has no counterpart"
                                                  : "it belongs to a module of Redis";
    return true;
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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
        key = &r->keys[r->at++];
        rows->done++;
        if (!read_value(r, key, &gone)) return ROW_FAILED;
    }
    bool text = strcmp(key->type, "string") == 0;
    out->key = key_of(r, key);
    out->value = text ? bulk_of(r) : velocity_bytes(r->json.data, r->json.size);
    out->type = text ? rows_type_of(out->value) : ROWS_TYPE_JSON;
    if (key->ttl_ms >= 0) out->expires_at_ms = now_ms() + key->ttl_ms;
    if (!r->skipped) return ROW_READ;
    (void)snprintf(rows->message, sizeof rows->message, "%s", r->skipped);
    return ROW_SKIPPED;
}

static bool redis_seek(struct rows *rows, uint64_t position) {
    struct redis_rows *r = (struct redis_rows *)rows;
    (void)snprintf(r->cursor, sizeof r->cursor, "%" PRIu64, position);
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

bool rows_open_redis(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    static const char *const size[] = {"DBSIZE"};
    struct redis_rows *r = calloc(1, sizeof *r);
    struct redis_reply reply;
    if (!r) {
        (void)snprintf(message, ROWS_MESSAGE_BYTES, "no memory");
        return false;
    }
    r->rows = (struct rows){.next = redis_next, .seek = redis_seek, .close = redis_rows_close};
    r->match = options->match;
    r->cursor[0] = '0';
    bool good = redis_open(&r->link, options->url) || fail(r, r->link.message);
    if (good) {
        ask(r, size, 1, velocity_bytes("", 0));
        good = read_reply(r, &reply);
    }
    if (good) {
        if (!r->match) r->rows.total = (uint64_t)reply.number;
        *out = &r->rows;
        return true;
    }
    (void)snprintf(message, ROWS_MESSAGE_BYTES, "%s", r->rows.message);
    redis_rows_close(&r->rows);
    return false;
}
