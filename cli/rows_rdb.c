/*
 * rows_rdb.c - a Redis dump (RDB, versions up to 12), without a Redis.
 *
 *     "REDIS" version | (opcode ... | expiry? type key value)* | 0xFF checksum
 *
 * Source: the comments of Redis's rdb.h and rdb.c. A string is a value; a list, set, sorted set or hash becomes JSON;
 * what has no such form (streams, values of modules, fields of a hash that expire by themselves) is passed over, with
 * its reason. The checksum over all of it comes at the end, when the rows are out: where it does not hold, the import
 * fails then.
 *
 * Keys of several databases of one dump would overwrite each other: only those of one are shown.
 *
 * A position is the offset behind a row; expiry and database number of a row stand before it, so `seek` reads on from
 * the beginning and shows nothing until then.
 */
#include "cli/rdb_file.h"
#include "cli/rdb_packed.h"
#include "cli/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION_MAX     12
#define CHECKED_VERSION 5 /* from which on there is a checksum */
#define CHECKSUM_BYTES  8

enum opcode {
    OP_SLOT_INFO = 0xF4,
    OP_FUNCTION = 0xF5,
    OP_MODULE_AUX = 0xF7,
    OP_IDLE = 0xF8,
    OP_FREQUENCY = 0xF9,
    OP_AUX = 0xFA,
    OP_RESIZE = 0xFB,
    OP_EXPIRE_MS = 0xFC,
    OP_EXPIRE_S = 0xFD,
    OP_SELECT = 0xFE,
    OP_END = 0xFF,
};

enum type {
    TYPE_STRING = 0,
    TYPE_LIST = 1,
    TYPE_SET = 2,
    TYPE_ZSET = 3,
    TYPE_HASH = 4,
    TYPE_ZSET_2 = 5,
    TYPE_MODULE_2 = 7,
    TYPE_HASH_ZIPMAP = 9,
    TYPE_LIST_ZIPLIST = 10,
    TYPE_SET_INTSET = 11,
    TYPE_ZSET_ZIPLIST = 12,
    TYPE_HASH_ZIPLIST = 13,
    TYPE_LIST_QUICKLIST = 14,
    TYPE_STREAM = 15,
    TYPE_HASH_LISTPACK = 16,
    TYPE_ZSET_LISTPACK = 17,
    TYPE_LIST_QUICKLIST_2 = 18,
    TYPE_STREAM_2 = 19,
    TYPE_SET_LISTPACK = 20,
    TYPE_STREAM_3 = 21,
    TYPE_HASH_EXPIRING_OLD = 22, /* of Redis 7.4's candidates, without the least moment */
    TYPE_HASH_LISTPACK_EXPIRING_OLD = 23,
    TYPE_HASH_EXPIRING = 24,
    TYPE_HASH_LISTPACK_EXPIRING = 25,
};

enum { QUICKLIST_PLAIN = 1, QUICKLIST_PACKED = 2 };

struct rdb {
    struct rows rows;
    struct rdb_file dump;
    uint64_t skip_to; /* after seek */
    int64_t expires_at_ms;
    int64_t database, wanted; /* the rows' that come; those of it are shown, negative: not known yet */
    int version;
    struct rdb_bytes key, value, element;
    struct json_writer json;
    const char *skipped; /* why the row at hand can't be stored; NULL: it can */
};

static velocity_slice slice_of(const struct rdb_bytes *b) {
    return velocity_bytes(b->data, b->size);
}

/* ---- values as JSON --------------------------------------------------------------------------------------------- */

/* A hash's field and a sorted set's member become names of an object, which are text. */
static void write_name(struct rdb *r, velocity_slice name) {
    struct json_writer *w = &r->json;
    if (!utf8_valid(name)) r->skipped = "a field or member of it is not UTF-8";
    json_write_string(w, name);
    json_append(w, ":", 1);
    w->comma = false;
}

/* Redis's numbers are doubles as text: "3", "1e+17", "inf". False: it is none. */
static bool write_score(struct rdb *r, velocity_slice text) {
    char copy[512], *end; /* a double that is written out has 310 digits */
    if (text.size == 0 || text.size >= sizeof copy) return rdb_fail(&r->dump, "a score that is no number");
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    rows_write_number(&r->json, strtod(copy, &end));
    return end == copy + text.size || rdb_fail(&r->dump, "a score that is no number");
}

enum shape { SHAPE_ARRAY, SHAPE_HASH, SHAPE_SCORES };

static void begin(struct rdb *r, enum shape shape) {
    if (shape == SHAPE_ARRAY)
        json_begin_array(&r->json);
    else
        json_begin_object(&r->json);
}

/* What became too large was read all the same: the next row stands behind it. */
static bool end(struct rdb *r, enum shape shape) {
    if (shape == SHAPE_ARRAY)
        json_end_array(&r->json);
    else
        json_end_object(&r->json);
    if (r->json.failed) r->skipped = "it is too large as JSON";
    return true;
}

static bool write_packed(struct rdb *r, enum packed_form form, enum shape shape, velocity_slice bytes) {
    struct packed p;
    velocity_slice element;
    if (!packed_begin(&p, form, bytes)) return rdb_fail(&r->dump, "a packed collection");
    while (packed_next(&p, &element)) {
        if (shape != SHAPE_ARRAY) {
            write_name(r, element);
            if (!packed_next(&p, &element)) return rdb_fail(&r->dump, "a packed collection"); /* of pairs */
        }
        if (shape != SHAPE_SCORES)
            rows_write_text(&r->json, element);
        else if (!write_score(r, element))
            return false;
    }
    return !p.damaged || rdb_fail(&r->dump, "a packed collection");
}

static bool read_packed(struct rdb *r, enum packed_form form, enum shape shape) {
    begin(r, shape);
    return rdb_read_string(&r->dump, &r->element) && write_packed(r, form, shape, slice_of(&r->element)) &&
           end(r, shape);
}

static bool read_elements(struct rdb *r, enum shape shape) {
    uint64_t count;
    begin(r, shape);
    if (!rdb_read_length(&r->dump, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!rdb_read_string(&r->dump, &r->element)) return false;
        if (shape == SHAPE_HASH) {
            write_name(r, slice_of(&r->element));
            if (!rdb_read_string(&r->dump, &r->element)) return false;
        }
        rows_write_text(&r->json, slice_of(&r->element));
    }
    return end(r, shape);
}

static const char expiring_field[] = "a field of it expires by itself, which has no counterpart";

/* Triplets: a field, its value, and when it expires, 0: never. */
static bool read_expiring_listpack(struct rdb *r, bool old) {
    uint64_t least;
    struct packed p;
    velocity_slice element;
    begin(r, SHAPE_HASH);
    if ((!old && !rdb_read_little(&r->dump, 8, &least)) || !rdb_read_string(&r->dump, &r->element)) return false;
    if (!packed_begin(&p, PACKED_LISTPACK, slice_of(&r->element))) return rdb_fail(&r->dump, "a packed collection");
    while (packed_next(&p, &element)) {
        write_name(r, element);
        if (!packed_next(&p, &element)) return rdb_fail(&r->dump, "a packed collection");
        rows_write_text(&r->json, element);
        if (!packed_next(&p, &element)) return rdb_fail(&r->dump, "a packed collection");
        if (element.size != 1 || *(const char *)element.data != '0') r->skipped = expiring_field;
    }
    return p.damaged ? rdb_fail(&r->dump, "a packed collection") : end(r, SHAPE_HASH);
}

/* The same, each as it is; when it expires comes first. */
static bool read_expiring_elements(struct rdb *r, bool old) {
    uint64_t least, count, expires;
    begin(r, SHAPE_HASH);
    if ((!old && !rdb_read_little(&r->dump, 8, &least)) || !rdb_read_length(&r->dump, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!rdb_read_length(&r->dump, &expires) || !rdb_read_string(&r->dump, &r->element)) return false;
        if (expires) r->skipped = expiring_field;
        write_name(r, slice_of(&r->element));
        if (!rdb_read_string(&r->dump, &r->element)) return false;
        rows_write_text(&r->json, slice_of(&r->element));
    }
    return end(r, SHAPE_HASH);
}

/* An old score: the length of its text, or one of three that are no numbers. */
static bool read_old_score(struct rdb *r, double *out) {
    static const double others[] = {NAN, INFINITY, -INFINITY};
    char text[256];
    uint64_t size;
    if (!rdb_read_little(&r->dump, 1, &size)) return false;
    if (size >= 253) {
        *out = others[size - 253];
        return true;
    }
    if (!rdb_read(&r->dump, text, size)) return false;
    text[size] = 0;
    char *end;
    *out = strtod(text, &end);
    return (size && end == text + size) || rdb_fail(&r->dump, "a score that is no number");
}

static bool read_binary_score(struct rdb *r, double *out) {
    uint64_t bits;
    if (!rdb_read_little(&r->dump, 8, &bits)) return false;
    memcpy(out, &bits, sizeof *out);
    return true;
}

static bool read_scores(struct rdb *r, bool binary) {
    uint64_t count;
    double score = 0;
    begin(r, SHAPE_SCORES);
    if (!rdb_read_length(&r->dump, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!rdb_read_string(&r->dump, &r->element)) return false;
        write_name(r, slice_of(&r->element));
        if (binary ? !read_binary_score(r, &score) : !read_old_score(r, &score)) return false;
        rows_write_number(&r->json, score);
    }
    return end(r, SHAPE_SCORES);
}

/* A list of packed nodes; in the second form a node may be one plain element. */
static bool read_quicklist(struct rdb *r, bool second) {
    uint64_t count, container = QUICKLIST_PACKED;
    begin(r, SHAPE_ARRAY);
    if (!rdb_read_length(&r->dump, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (second && !rdb_read_length(&r->dump, &container)) return false;
        if (container != QUICKLIST_PLAIN && container != QUICKLIST_PACKED)
            return rdb_fail(&r->dump, "a list of no known form");
        if (!rdb_read_string(&r->dump, &r->element)) return false;
        if (container == QUICKLIST_PLAIN)
            rows_write_text(&r->json, slice_of(&r->element));
        else if (!write_packed(r, second ? PACKED_LISTPACK : PACKED_ZIPLIST, SHAPE_ARRAY, slice_of(&r->element)))
            return false;
    }
    return end(r, SHAPE_ARRAY);
}

/* ---- what is passed over ---------------------------------------------------------------------------------------- */

/* Ids that were given and not acknowledged; `times`: with when and how often. */
static bool skip_pending(struct rdb *r, bool times) {
    uint64_t count;
    if (!rdb_read_length(&r->dump, &count)) return false;
    for (uint64_t i = 0; i < count; i++)
        if (!rdb_skip(&r->dump, times ? 16 + 8 : 16) || (times && !rdb_skip_lengths(&r->dump, 1))) return false;
    return true;
}

static bool skip_group(struct rdb *r, enum type type) {
    uint64_t consumers;
    if (!rdb_read_string(&r->dump, &r->element) || !rdb_skip_lengths(&r->dump, type == TYPE_STREAM ? 2 : 3) ||
        !skip_pending(r, true) || !rdb_read_length(&r->dump, &consumers))
        return false;
    for (uint64_t i = 0; i < consumers; i++)
        if (!rdb_read_string(&r->dump, &r->element) || !rdb_skip(&r->dump, type == TYPE_STREAM_3 ? 16 : 8) ||
            !skip_pending(r, false))
            return false;
    return true;
}

static bool skip_stream(struct rdb *r, enum type type) {
    uint64_t nodes, groups;
    r->skipped = "it is a stream, which has no counterpart";
    if (!rdb_read_length(&r->dump, &nodes)) return false;
    for (uint64_t i = 0; i < nodes; i++)
        if (!rdb_read_string(&r->dump, &r->element) || !rdb_read_string(&r->dump, &r->element)) return false;
    if (!rdb_skip_lengths(&r->dump, type == TYPE_STREAM ? 3 : 8) || !rdb_read_length(&r->dump, &groups)) return false;
    for (uint64_t i = 0; i < groups; i++)
        if (!skip_group(r, type)) return false;
    return true;
}

/* A module's own value: parts with their kinds, up to a mark. */
static bool skip_module(struct rdb *r) {
    uint64_t kind;
    r->skipped = "it belongs to a module of Redis";
    if (!rdb_skip_lengths(&r->dump, 1)) return false;
    for (;;) {
        if (!rdb_read_length(&r->dump, &kind)) return false;
        bool good = false;
        switch (kind) {
        case 0: return true;
        case 1:
        case 2: good = rdb_skip_lengths(&r->dump, 1); break;
        case 3: good = rdb_skip(&r->dump, 4); break;
        case 4: good = rdb_skip(&r->dump, 8); break;
        case 5: good = rdb_read_string(&r->dump, &r->element); break;
        default: return rdb_fail(&r->dump, "a module's value of no known form");
        }
        if (!good) return false;
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool read_value(struct rdb *r, uint64_t type) {
    json_writer_clear(&r->json);
    r->skipped = NULL;
    switch (type) {
    case TYPE_STRING: return rdb_read_string(&r->dump, &r->value);
    case TYPE_LIST:
    case TYPE_SET: return read_elements(r, SHAPE_ARRAY);
    case TYPE_HASH: return read_elements(r, SHAPE_HASH);
    case TYPE_ZSET: return read_scores(r, false);
    case TYPE_ZSET_2: return read_scores(r, true);
    case TYPE_LIST_ZIPLIST: return read_packed(r, PACKED_ZIPLIST, SHAPE_ARRAY);
    case TYPE_SET_INTSET: return read_packed(r, PACKED_INTSET, SHAPE_ARRAY);
    case TYPE_SET_LISTPACK: return read_packed(r, PACKED_LISTPACK, SHAPE_ARRAY);
    case TYPE_ZSET_ZIPLIST: return read_packed(r, PACKED_ZIPLIST, SHAPE_SCORES);
    case TYPE_ZSET_LISTPACK: return read_packed(r, PACKED_LISTPACK, SHAPE_SCORES);
    case TYPE_HASH_ZIPLIST: return read_packed(r, PACKED_ZIPLIST, SHAPE_HASH);
    case TYPE_HASH_LISTPACK: return read_packed(r, PACKED_LISTPACK, SHAPE_HASH);
    case TYPE_LIST_QUICKLIST: return read_quicklist(r, false);
    case TYPE_LIST_QUICKLIST_2: return read_quicklist(r, true);
    case TYPE_HASH_ZIPMAP:
        r->skipped = "it is a zipmap, of a Redis before 2.6";
        return rdb_read_string(&r->dump, &r->value);
    case TYPE_STREAM:
    case TYPE_STREAM_2:
    case TYPE_STREAM_3: return skip_stream(r, (enum type)type);
    case TYPE_MODULE_2: return skip_module(r);
    case TYPE_HASH_EXPIRING_OLD:
    case TYPE_HASH_EXPIRING: return read_expiring_elements(r, type == TYPE_HASH_EXPIRING_OLD);
    case TYPE_HASH_LISTPACK_EXPIRING_OLD:
    case TYPE_HASH_LISTPACK_EXPIRING: return read_expiring_listpack(r, type == TYPE_HASH_LISTPACK_EXPIRING_OLD);
    default: return rdb_fail(&r->dump, "a value of a type that is not known here");
    }
}

/* The checksum is of all that stands before it; 0: none was made. */
static bool read_end(struct rdb *r) {
    uint64_t expected, found = r->dump.checksum;
    if (r->version < CHECKED_VERSION) return true;
    if (!rdb_read_little(&r->dump, CHECKSUM_BYTES, &expected)) return false;
    return expected == 0 || expected == found ||
           rdb_fail(&r->dump, "its checksum does not hold: what it gave may be wrong, too");
}

static bool read_database(struct rdb *r) {
    uint64_t number;
    if (!rdb_read_length(&r->dump, &number)) return false;
    if (number > INT32_MAX) return rdb_fail(&r->dump, "a database of no possible number");
    r->database = (int64_t)number;
    return true;
}

static bool read_expiry(struct rdb *r, bool seconds) {
    uint64_t n;
    if (!rdb_read_little(&r->dump, seconds ? 4 : 8, &n)) return false;
    int64_t ms = seconds ? (int64_t)(int32_t)(uint32_t)n * 1000 : (int64_t)n;
    r->expires_at_ms = ms > 0 ? ms : 1; /* long ago; 0 would be never */
    return true;
}

/* Up to the next type of a value. *type OP_END: that was all. */
static bool read_opcodes(struct rdb *r, uint64_t *type) {
    r->expires_at_ms = 0;
    for (;;) {
        if (!rdb_read_little(&r->dump, 1, type)) return false;
        bool good = true;
        switch (*type) {
        case OP_END: return read_end(r);
        case OP_AUX: good = rdb_read_string(&r->dump, &r->element) && rdb_read_string(&r->dump, &r->element); break;
        case OP_FUNCTION: good = rdb_read_string(&r->dump, &r->element); break;
        case OP_RESIZE: good = rdb_skip_lengths(&r->dump, 2); break;
        case OP_SLOT_INFO: good = rdb_skip_lengths(&r->dump, 3); break;
        case OP_SELECT: good = read_database(r); break;
        case OP_IDLE: good = rdb_skip_lengths(&r->dump, 1); break;
        case OP_FREQUENCY: good = rdb_skip(&r->dump, 1); break;
        case OP_MODULE_AUX: good = skip_module(r); break;
        case OP_EXPIRE_MS:
        case OP_EXPIRE_S: good = read_expiry(r, *type == OP_EXPIRE_S); break;
        default: return true;
        }
        if (!good) return false;
    }
}

static enum row_result show(struct rdb *r, uint64_t type, struct row *out) {
    bool text = type == TYPE_STRING;
    *out = (struct row){.key = slice_of(&r->key), .expires_at_ms = r->expires_at_ms};
    out->value = text ? slice_of(&r->value) : velocity_bytes(r->json.data, r->json.size);
    out->type = text ? rows_type_of(out->value) : ROWS_TYPE_JSON;
    if (r->wanted < 0) r->wanted = r->database;
    if (r->database != r->wanted)
        (void)snprintf(r->rows.message, sizeof r->rows.message,
                       "it is in database %d of the dump: import that with --redis-database", (int)r->database);
    else if (r->skipped)
        (void)snprintf(r->rows.message, sizeof r->rows.message, "%s", r->skipped);
    return r->database == r->wanted && !r->skipped ? ROW_READ : ROW_SKIPPED;
}

static enum row_result rdb_next(struct rows *rows, struct row *out) {
    struct rdb *r = (struct rdb *)rows;
    uint64_t type;
    enum row_result result;
    do {
        if (r->dump.failed || !read_opcodes(r, &type)) return ROW_FAILED;
        if (type == OP_END) return ROW_END;
        if (!rdb_read_string(&r->dump, &r->key) || !read_value(r, type)) return ROW_FAILED;
        rows->position = rows->done = r->dump.offset;
        result = show(r, type, out);
    } while (r->dump.offset <= r->skip_to);
    return result;
}

static bool rdb_seek(struct rows *rows, uint64_t position) {
    struct rdb *r = (struct rdb *)rows;
    r->skip_to = position;
    return position <= r->dump.size || rdb_fail(&r->dump, "it is shorter than where it was left");
}

static void rdb_close(struct rows *rows) {
    struct rdb *r = (struct rdb *)rows;
    if (r->dump.file && r->dump.file != stdin) (void)fclose(r->dump.file);
    free(r->key.data);
    free(r->value.data);
    free(r->element.data);
    json_writer_free(&r->json);
    free(r);
}

static bool read_head(struct rdb *r) {
    char head[10] = "";
    if (!rdb_read(&r->dump, head, 9)) return false;
    r->version = atoi(head + 5);
    if (memcmp(head, "REDIS", 5) != 0) return rdb_fail(&r->dump, "it does not begin as a Redis dump does");
    if (r->version >= 1 && r->version <= VERSION_MAX) return true;
    r->dump.failed = true;
    (void)snprintf(r->rows.message, sizeof r->rows.message,
                   "the dump is of version %d; versions up to %d are known: import from the running Redis instead",
                   r->version, VERSION_MAX);
    return false;
}

/* Another dump under the same name has another size, or else another checksum. */
static void name_dump(struct rdb *r) {
    uint8_t tail[CHECKSUM_BYTES] = {0};
    if (pread(fileno(r->dump.file), tail, sizeof tail, (off_t)(r->dump.size - sizeof tail)) != (ssize_t)sizeof tail)
        return;
    int used = snprintf(r->rows.id, sizeof r->rows.id, "%" PRIu64 "-", r->dump.size);
    for (size_t i = 0; i < sizeof tail; i++) used += snprintf(r->rows.id + used, 3, "%02x", tail[i]);
}

bool rows_open_rdb(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    struct rdb *r = calloc(1, sizeof *r);
    struct stat info;
    const char *why = "no memory";
    if (!r) goto failed;
    r->rows = (struct rows){.next = rdb_next, .seek = rdb_seek, .close = rdb_close};
    r->dump.message = r->rows.message;
    r->dump.file = options->path ? fopen(options->path, "re") : NULL;
    why = options->path ? strerror(errno) : "a dump is read from a file: name it";
    if (!r->dump.file || fstat(fileno(r->dump.file), &info) != 0) goto failed;
    why = "a dump is read from a file, and this is none";
    if (!S_ISREG(info.st_mode)) goto failed;
    r->dump.size = r->rows.total = (uint64_t)info.st_size;
    r->wanted = options->redis_database;
    r->json.limit_bytes = ROWS_JSON_MAX_BYTES;
    why = r->rows.message;
    if (!read_head(r)) goto failed;
    name_dump(r);
    *out = &r->rows;
    return true;
failed:
    (void)snprintf(message, ROWS_MESSAGE_BYTES, "%s: %.200s", options->path ? options->path : "standard input", why);
    if (r) rdb_close(&r->rows);
    return false;
}
