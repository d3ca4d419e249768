/* format_reader.c - CURRENT, manifest and logs by FORMAT.md; tables are format_table.c's. See format_reader.h. */
#include "format_reader.h"

#include "testing.h"

#include <xxhash.h>

/* ---- words ---------------------------------------------------------------------------------------------------------
 */

uint64_t format_number(const uint8_t *from, int bytes) {
    uint64_t number = 0;
    for (int i = bytes; i-- > 0;) number = number << 8 | from[i];
    return number;
}

const uint8_t *format_take(struct format_bytes *b, uint64_t bytes) {
    assert_true((uint64_t)(b->end - b->at) >= bytes);
    b->at += bytes;
    return b->at - bytes;
}

uint64_t format_varint(struct format_bytes *b) {
    uint64_t number = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t byte = *format_take(b, 1);
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return number;
    }
    fail_msg("a varint is too long");
    return 0;
}

static uint32_t crc(uint32_t state, const uint8_t *data, size_t size) { /* bit by bit, without the final complement */
    while (size--) {
        state ^= *data++;
        for (int bit = 0; bit < 8; bit++) state = state >> 1 ^ (state & 1 ? 0x82f63b78u : 0);
    }
    return state;
}

uint32_t format_checksum(uint64_t seed, uint64_t offset, const uint8_t *data, size_t size) {
    uint8_t place[16];
    for (int i = 0; i < 8; i++) {
        place[i] = (uint8_t)(seed >> 8 * i);
        place[8 + i] = (uint8_t)(offset >> 8 * i);
    }
    return ~crc(crc(0xffffffff, place, 16), data, size);
}

uint64_t format_load(struct format_database *db, const char *name, int kind, uint8_t **data, size_t *size) {
    static const uint8_t zeros[4];
    *data = file_bytes(path_in(db->folder, name), size);
    const uint8_t *h = *data;
    assert_true(*size >= 128);
    assert_memory_equal(h, "VELOCITY", 8);
    assert_int_equal(format_number(h + 124, 4), ~crc(0xffffffff, h, 124));
    assert_int_equal(h[8], kind);
    assert_int_equal(h[9], 1);
    assert_int_equal(format_number(h + 10, 2), 128);
    assert_memory_equal(h + 12, zeros, 4);
    format_take_key(db, h);
    assert_memory_equal(h + 120, zeros, 4);
    if (kind == 5)
        memcpy(db->id, h + 16, 16);
    else
        assert_memory_equal(h + 16, db->id, 16);
    uint64_t number = 0;
    if (kind != 5) number = strtoull(name + strcspn(name, "0123456789"), NULL, 10);
    assert_int_equal(format_number(h + 32, 8), number);
    return XXH3_64bits(h + 40, 16);
}

void format_add(struct format_database *db, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                size_t value_bytes, uint64_t sequence, uint32_t flags, uint8_t kind) {
    if (db->count == db->capacity) {
        db->capacity = db->capacity * 2 + 64;
        db->entries = realloc(db->entries, db->capacity * sizeof *db->entries);
        assert_non_null(db->entries);
    }
    assert_in_range(key_bytes, 1, 65535);
    assert_true(kind == 1 || (kind == 2 && value_bytes == 0) || kind == 3);
    if (kind == 3) {
        int order = memcmp(key, value, key_bytes < value_bytes ? key_bytes : value_bytes);
        assert_true(value_bytes <= 65535 && (order < 0 || (order == 0 && key_bytes < value_bytes)));
        db->range_deletes++;
    }
    struct format_entry *e = &db->entries[db->count++];
    *e = (struct format_entry){.key_bytes = key_bytes, .value_bytes = value_bytes, .sequence = sequence};
    e->flags = flags;
    e->kind = kind;
    e->order = db->count;
    e->key = malloc(key_bytes + value_bytes);
    e->value = e->key + key_bytes;
    memcpy(e->key, key, key_bytes);
    memcpy(e->value, value, value_bytes);
}

void format_expires(struct format_database *db, int64_t at_ms) {
    struct format_entry *e = &db->entries[db->count - 1];
    e->expires_at_ms = at_ms;
    assert_true(at_ms == 0 || (at_ms > 0 && e->kind != 2));
}

/* ---- manifest ------------------------------------------------------------------------------------------------------
 */

enum { TABLES_MAX = 1000, SEALS_MAX = 16, RETAINED_MAX = 1000, VALUES_MAX = 1000 };

struct state {
    uint64_t next_number, min_log, last_sequence, resume_sequence, start_log, weak_writes, clock_ms;
    struct format_table tables[TABLES_MAX];
    struct {
        uint64_t number, end;
    } seals[SEALS_MAX];
    struct format_values values[VALUES_MAX];
    struct {
        uint64_t number, end, after, last;
    } retained[RETAINED_MAX];
    size_t table_count, seal_count, retained_count, value_count;
};

static void add_table(struct state *s, struct format_bytes *b) {
    assert_true(s->table_count < TABLES_MAX);
    struct format_table *t = &s->tables[s->table_count++];
    t->level = *format_take(b, 1);
    t->number = format_varint(b);
    t->uid = format_take(b, 16);
    t->file_bytes = format_varint(b);
    t->raw_bytes = format_varint(b);
    t->entries = format_varint(b);
    t->tombstones = format_varint(b);
    t->min_sequence = format_varint(b);
    t->max_sequence = format_varint(b);
    t->one_version = *format_take(b, 1);
    t->smallest_bytes = format_varint(b);
    t->smallest = format_take(b, t->smallest_bytes);
    t->largest_bytes = format_varint(b);
    t->largest = format_take(b, t->largest_bytes);
    t->uses = b->at;
    for (uint64_t uses = format_varint(b), before = 0; uses; uses--) {
        uint64_t number = format_varint(b);
        assert_true(number > before && format_varint(b) > 0);
        before = number;
    }
    t->uses_bytes = (size_t)(b->at - t->uses);
    assert_true(t->level <= 6);
}

static void add_values(struct state *s, struct format_bytes *b) {
    assert_true(s->value_count < VALUES_MAX);
    struct format_values *v = &s->values[s->value_count++];
    *v = (struct format_values){.number = format_varint(b)};
    v->uid = format_take(b, 16);
    v->file_bytes = format_varint(b);
    v->records = format_varint(b);
}

static void remove_values(struct state *s, uint64_t number) {
    size_t i = 0;
    while (i < s->value_count && s->values[i].number != number) i++;
    assert_true(i < s->value_count);
    s->values[i] = s->values[--s->value_count];
}

static void remove_table(struct state *s, uint64_t level, uint64_t number) {
    size_t i = 0;
    while (i < s->table_count && (s->tables[i].level != level || s->tables[i].number != number)) i++;
    assert_true(i < s->table_count);
    s->tables[i] = s->tables[--s->table_count];
}

static void apply_record(struct state *s, struct format_bytes b) {
    while (b.at < b.end) {
        uint8_t tag = *format_take(&b, 1);
        if (tag == 5) {
            add_table(s, &b);
        } else if (tag == 6) {
            uint64_t level = *format_take(&b, 1);
            remove_table(s, level, format_varint(&b));
        } else if (tag == 4) {
            assert_true(s->seal_count < SEALS_MAX);
            s->seals[s->seal_count].number = format_varint(&b);
            s->seals[s->seal_count++].end = format_varint(&b);
        } else if (tag == 10) {
            add_values(s, &b);
        } else if (tag == 11) {
            remove_values(s, format_varint(&b));
        } else if (tag == 13) {
            assert_true(s->retained_count < RETAINED_MAX);
            s->retained[s->retained_count].number = format_varint(&b);
            s->retained[s->retained_count].end = format_varint(&b);
            s->retained[s->retained_count].after = format_varint(&b);
            s->retained[s->retained_count++].last = format_varint(&b);
        } else {
            uint64_t *const numbers[] = {
                [1] = &s->next_number, [2] = &s->min_log,  [3] = &s->last_sequence, [7] = &s->resume_sequence,
                [8] = &s->start_log,   [9] = &s->clock_ms, [12] = &s->weak_writes}; /* 0 or 1: as a varint */
            assert_true(tag < sizeof numbers / sizeof *numbers && numbers[tag]);
            uint64_t clock_ms = s->clock_ms;
            *numbers[tag] = format_varint(&b);
            assert_true(s->clock_ms >= clock_ms);
        }
    }
}

/* The payload's bytes where a valid record begins; 0: there is none. */
static uint64_t record_at(const uint8_t *data, size_t size, size_t at, uint64_t seed) {
    if (size - at < 8) return 0;
    uint64_t n = format_number(data + at, 4);
    if (n == 0 || n > size - at - 8) return 0;
    uint32_t first = format_checksum(seed, at, data + at, 4);
    return format_checksum(first, at, data + at + 8, n) == format_number(data + at + 4, 4) ? n : 0;
}

static void read_manifest(struct format_database *db, struct state *s, uint8_t **data) {
    uint8_t *current;
    size_t size;
    char name[32];
    (void)format_load(db, "CURRENT", 5, &current, &size);
    assert_int_equal(size, 128);
    (void)snprintf(name, sizeof name, "MANIFEST-%08llu", (unsigned long long)format_number(current + 112, 8));
    free(current);
    uint64_t seed = format_load(db, name, 3, data, &size);
    size_t at = 128;
    for (uint64_t n; (n = record_at(*data, size, at, seed)); at += 8 + n, db->records++) {
        uint8_t *payload = *data + at + 8;
        apply_record(s, (struct format_bytes){payload, payload + format_decrypt(db, at, *data + at, 4, payload, n)});
    }
    assert_true(db->records > 0);
    for (; at < size; at++) assert_int_equal(record_at(*data, size, at, seed), 0);
}

/* ---- logs ----------------------------------------------------------------------------------------------------------
 */

struct log_image {
    uint8_t *data;
    size_t size;
    uint64_t seed, number;
};

/* The bytes of a valid group, with padding; 0: there is none. */
static uint64_t group_at(const struct format_database *db, const struct log_image *log, uint64_t at) {
    const uint8_t *g = log->data + at;
    if (at + 64 > log->size) return 0;
    uint64_t n = format_number(g + 8, 4);
    if (memcmp(g + 16, db->id, 8) != 0 || format_number(g + 24, 8) != log->number || format_number(g + 32, 8) != at ||
        n > log->size - at - 64 || XXH3_64bits_withSeed(g + 8, 56 + n, log->seed) != format_number(g, 8))
        return 0;
    return (64 + n + 7) / 8 * 8;
}

/* The operations of a group; `add`: they are entries of the database. */
static void read_group(struct format_database *db, uint8_t *g, bool add) {
    uint64_t n = format_decrypt(db, format_number(g + 32, 8), g + 8, 56, g + 64, format_number(g + 8, 4));
    struct format_bytes b = {g + 64, g + 64 + n};
    uint64_t first = format_number(g + 40, 8), count = format_number(g + 12, 4);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t meta = *format_take(&b, 1);
        uint64_t key_bytes = format_varint(&b), value_bytes = format_varint(&b);
        assert_int_equal(meta & 0x80, 0);
        assert_true(i + 1 < count || meta & 0x40); /* batches end with their group at the latest */
        uint32_t flags = meta & 0x10 ? (uint32_t)format_number(format_take(&b, 4), 4) : 0;
        int64_t expires = meta & 0x20 ? (int64_t)format_number(format_take(&b, 8), 8) : 0;
        const uint8_t *key = format_take(&b, key_bytes);
        const uint8_t *value = format_take(&b, value_bytes);
        if (!add) continue;
        format_add(db, key, key_bytes, value, value_bytes, first + i, flags, meta & 0x0f);
        format_expires(db, expires);
    }
    assert_ptr_equal(b.at, b.end);
    if (!add) return;
    uint64_t time_ms = format_number(g + 48, 8);
    assert_true(time_ms >= db->group_ms);
    db->group_ms = time_ms;
    if (time_ms > db->clock_ms) db->clock_ms = time_ms;
}

/* False: the replay ends. */
static bool replay_log(struct format_database *db, const struct log_image *log, uint64_t sealed_end, uint64_t *next) {
    uint64_t at = 128;
    for (uint64_t bytes; sealed_end ? at < sealed_end : at < log->size; at += bytes) {
        bytes = group_at(db, log, at);
        if (sealed_end) assert_true(bytes > 0);
        if (bytes == 0) break;
        uint64_t first = format_number(log->data + at + 40, 8);
        if (sealed_end && at == 128 && first > *next) *next = first;
        if (first != *next) return false;
        assert_true(format_number(log->data + at + 56, 8) < first);
        read_group(db, log->data + at, true);
        db->groups++;
        *next = first + format_number(log->data + at + 12, 4);
    }
    return true;
}

static void read_logs(struct format_database *db, const struct state *s) {
    uint64_t next = s->last_sequence + 1;
    size_t count = files_ending(db->folder, ".log", NULL);
    bool more = true;
    for (size_t i = 0; i < count && more; i++) { /* names of one length: in the order of their numbers */
        char name[64];
        files_sorted(db->folder, ".log", i, name);
        struct log_image log = {.number = strtoull(name, NULL, 10)};
        uint64_t sealed_end = 0;
        for (size_t k = 0; k < s->seal_count; k++)
            if (s->seals[k].number == log.number) sealed_end = s->seals[k].end;
        if (log.number < s->min_log || (log.number < s->start_log && !sealed_end)) continue;
        if (log.number == s->start_log) next = s->resume_sequence;
        log.seed = format_load(db, name, 1, &log.data, &log.size);
        more = replay_log(db, &log, sealed_end, &next);
        db->sealed_logs += sealed_end > 0;
        free(log.data);
    }
}

/* Of the retained logs those count that are there, from the oldest on behind which none is missing. */
static void read_retained(struct format_database *db, const struct state *s) {
    for (size_t i = s->retained_count; i-- > 0;) {
        char name[32];
        (void)snprintf(name, sizeof name, "%08llu.log", (unsigned long long)s->retained[i].number);
        if (files_ending(db->folder, name, NULL) == 0) break;
        assert_true(s->retained[i].number < s->min_log);
        if (i) assert_true(s->retained[i - 1].last <= s->retained[i].after);
        struct log_image log = {.number = s->retained[i].number};
        log.seed = format_load(db, name, 1, &log.data, &log.size);
        uint64_t next = s->retained[i].after + 1, at = 128;
        for (uint64_t bytes; at < s->retained[i].end; at += bytes) {
            bytes = group_at(db, &log, at);
            assert_true(bytes > 0);
            assert_int_equal(format_number(log.data + at + 40, 8), next);
            read_group(db, log.data + at, false);
            next += format_number(log.data + at + 12, 4);
        }
        assert_int_equal(at, s->retained[i].end);
        assert_int_equal(next, s->retained[i].last + 1);
        db->retained_operations += next - 1 - s->retained[i].after;
        db->retained_logs++;
        free(log.data);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------
 */

static int by_key_newest_first(const void *a, const void *b) {
    const struct format_entry *x = a, *y = b;
    size_t shared = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    int order = memcmp(x->key, y->key, shared);
    if (order == 0 && x->key_bytes != y->key_bytes) order = x->key_bytes < y->key_bytes ? -1 : 1;
    if (order == 0) order = x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
    return order;
}

void format_read(struct format_database *db, const char *folder) {
    uint8_t *manifest;
    struct state *s = calloc(1, sizeof *s);
    *db = (struct format_database){.folder = folder};
    read_manifest(db, s, &manifest);
    db->values = s->values;
    db->value_count = s->value_count;
    format_read_values(db, s->values, s->value_count);
    for (size_t i = 0; i < s->table_count; i++) {
        assert_true(s->tables[i].number < s->next_number);
        format_read_table(db, &s->tables[i]);
    }
    for (size_t i = 0; i < s->value_count; i++) {
        assert_true(s->values[i].used > 0 && s->values[i].used <= s->values[i].file_bytes - 128);
        free(s->values[i].data);
    }
    db->values = NULL;
    db->clock_ms = s->clock_ms;
    read_logs(db, s);
    read_retained(db, s);
    if (db->count) qsort(db->entries, db->count, sizeof *db->entries, by_key_newest_first);
    free(manifest);
    free(s);
}

void format_free(struct format_database *db) {
    for (size_t i = 0; i < db->count; i++) free(db->entries[i].key);
    free(db->entries);
}
