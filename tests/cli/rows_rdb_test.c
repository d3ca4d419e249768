/*
 * rows_rdb_test.c - a Redis dump, type by type, as the rows that it becomes; cut at every byte, changed, and gone on
 * with behind every row.
 */
#include "cli/rdb_packed.h"
#include "cli/rows.h"
#include "tests/server/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DUMP_BYTES = 8192, ROWS_MAX = 64 };

struct dump {
    uint8_t bytes[DUMP_BYTES];
    size_t size;
};

static void add(struct dump *d, const void *bytes, size_t size) {
    assert_true(size <= sizeof d->bytes - d->size);
    memcpy(d->bytes + d->size, bytes, size);
    d->size += size;
}

static void add_byte(struct dump *d, int byte) {
    uint8_t b = (uint8_t)byte;
    add(d, &b, 1);
}

static void add_little(struct dump *d, uint64_t n, int bytes) {
    for (int i = 0; i < bytes; i++) add_byte(d, (int)(n >> (8 * i) & 0xFF));
}

/* A string of less than 64 bytes. */
static void add_bytes(struct dump *d, const void *bytes, size_t size) {
    assert_true(size < 64);
    add_byte(d, (int)size);
    add(d, bytes, size);
}

static void add_text(struct dump *d, const char *text) {
    add_bytes(d, text, strlen(text));
}

static void add_head(struct dump *d, const char *version) {
    add(d, "REDIS", 5);
    add(d, version, 4);
}

static void add_key(struct dump *d, int type, const char *key) {
    add_byte(d, type);
    add_text(d, key);
}

static void add_end(struct dump *d) {
    add_byte(d, 0xFF);
    add_little(d, rdb_checksum(0, velocity_bytes(d->bytes, d->size)), 8);
}

/* A listpack of texts of less than 64 bytes each. */
static void add_listpack(struct dump *d, size_t count, const char *const *texts) {
    uint8_t pack[64] = {0};
    size_t used = 6;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(texts[i]);
        assert_true(used + size + 3 < sizeof pack);
        pack[used++] = (uint8_t)(0x80 | size);
        memcpy(pack + used, texts[i], size);
        used += size;
        pack[used++] = (uint8_t)(size + 1);
    }
    pack[used++] = 0xFF;
    pack[0] = (uint8_t)used;
    pack[4] = (uint8_t)count;
    add_bytes(d, pack, used);
}

static struct rows *open_dump(const struct dump *d, int64_t database, char *message) {
    char path[] = "/tmp/velocity-rdb-XXXXXX";
    struct rows_options options = {.path = path, .redis_database = database};
    struct rows *rows = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, d->bytes, d->size) == (ssize_t)d->size && close(fd) == 0);
    (void)rows_open_rdb(&options, &rows, message);
    assert_int_equal(unlink(path), 0);
    return rows;
}

/* "key=value" of each row, "key!" where it is skipped, the end as "." and a failure as "?", with a space behind each.
 */
static void read_all(struct rows *rows, char *out, size_t size, uint64_t *positions) {
    size_t used = 0, count = 0;
    struct row row;
    for (;;) {
        enum row_result result = rows->next(rows, &row);
        if (result == ROW_END || result == ROW_FAILED) {
            (void)snprintf(out + used, size - used, result == ROW_END ? "." : "?");
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%.*s", (int)row.key.size, (const char *)row.key.data);
        if (result == ROW_READ)
            used +=
                (size_t)snprintf(out + used, size - used, "=%.*s", (int)row.value.size, (const char *)row.value.data);
        if (row.expires_at_ms) used += (size_t)snprintf(out + used, size - used, "@%lld", (long long)row.expires_at_ms);
        used += (size_t)snprintf(out + used, size - used, result == ROW_READ ? " " : "! ");
        assert_true(used < size && count < ROWS_MAX);
        if (positions) positions[count] = rows->position;
        count++;
    }
}

static void assert_rows(const struct dump *d, const char *expected) {
    char message[ROWS_MESSAGE_BYTES] = "", found[4096];
    struct rows *rows = open_dump(d, -1, message);
    if (!rows) fail_msg("%s", message);
    read_all(rows, found, sizeof found, NULL);
    if (strcmp(found, expected) != 0) print_message("%s\n", rows->message);
    assert_string_equal(found, expected);
    rows->close(rows);
}

/* One of everything that this reader knows. */
static void make_all(struct dump *d) {
    static const char *const ab[] = {"a", "b"}, *const score[] = {"m", "-inf"}, *const never[] = {"f", "v", "0"},
                             *const once[] = {"f", "v", "1893456000000"};
    static const uint8_t intset[] = {2, 0, 0, 0, 1, 0, 0, 0, 0xFE, 0xFF};
    static const uint8_t ziplist[] = {15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x02, 'z', 'y', 0xFF};
    double binary[] = {2.5, INFINITY};
    add_head(d, "0012");
    add_byte(d, 0xFA), add_text(d, "redis-ver"), add_text(d, "7.4.0");
    add_byte(d, 0xF5), add_text(d, "#!lua name=f");
    add_byte(d, 0xF7), add_byte(d, 1), add_byte(d, 2), add_byte(d, 2), add_byte(d, 3), add_little(d, 0, 4),
        add_byte(d, 0);
    add_byte(d, 0xFE), add_byte(d, 0);
    add_byte(d, 0xFB), add_byte(d, 30), add_byte(d, 2);
    add_byte(d, 0xF4), add_byte(d, 1), add_byte(d, 2), add_byte(d, 3);
    add_key(d, 0, "text"), add_text(d, "v");
    add_key(d, 0, "int"), add_byte(d, 0xC1), add_little(d, (uint16_t)-2, 2);
    add_key(d, 0, "lzf"), add_byte(d, 0xC3), add_byte(d, 5), add_byte(d, 10), add(d, "\0a\xE0\0\0", 5);
    add_byte(d, 0xFC), add_little(d, 1893456000000, 8), add_byte(d, 0xF8), add_byte(d, 9);
    add_key(d, 0, "ms"), add_text(d, "v");
    add_byte(d, 0xFD), add_little(d, 1893456000, 4), add_byte(d, 0xF9), add_byte(d, 9);
    add_key(d, 0, "s"), add_text(d, "v");
    add_key(d, 1, "list"), add_byte(d, 2), add_text(d, "a"), add_text(d, "\xFF");
    add_key(d, 2, "set"), add_byte(d, 1), add_text(d, "a");
    add_key(d, 4, "hash"), add_byte(d, 1), add_text(d, "f"), add_text(d, "v");
    add_key(d, 4, "odd"), add_byte(d, 1), add_text(d, "\xFF"), add_text(d, "v");
    add_key(d, 3, "zset"), add_byte(d, 2), add_text(d, "m"), add_text(d, "1.5"), add_text(d, "n"), add_byte(d, 254);
    add_key(d, 5, "zset2"), add_byte(d, 2);
    for (int i = 0; i < 2; i++) add_text(d, ab[i]), add(d, &binary[i], 8);
    add_key(d, 9, "zipmap"), add_text(d, "?");
    add_key(d, 10, "ziplist"), add_bytes(d, ziplist, sizeof ziplist);
    add_key(d, 11, "intset"), add_bytes(d, intset, sizeof intset);
    add_key(d, 16, "hashlp"), add_listpack(d, 2, ab);
    add_key(d, 17, "zsetlp"), add_listpack(d, 2, score);
    add_key(d, 18, "quick"), add_byte(d, 2), add_byte(d, 1), add_text(d, "plain"), add_byte(d, 2),
        add_listpack(d, 2, ab);
    add_key(d, 20, "setlp"), add_listpack(d, 2, ab);
    add_key(d, 25, "never"), add_little(d, 0, 8), add_listpack(d, 3, never);
    add_key(d, 25, "once"), add_little(d, 1893456000000, 8), add_listpack(d, 3, once);
    add_key(d, 24, "nevers"), add_little(d, 0, 8), add_byte(d, 1), add_byte(d, 0), add_text(d, "f"), add_text(d, "v");
    add_key(d, 24, "onces"), add_little(d, 1893456000000, 8), add_byte(d, 1), add_byte(d, 1), add_text(d, "f"),
        add_text(d, "v");
    add_key(d, 22, "old"), add_byte(d, 1), add_byte(d, 0), add_text(d, "f"), add_text(d, "v");
    add_key(d, 7, "module"), add_byte(d, 1), add_byte(d, 5), add_text(d, "x"), add_byte(d, 4), add_little(d, 0, 8),
        add_byte(d, 0);
    add_key(d, 21, "stream"), add_byte(d, 1), add_text(d, "0123456789abcdef"), add_listpack(d, 2, ab);
    for (int i = 0; i < 8; i++) add_byte(d, i);
    add_byte(d, 1), add_text(d, "group"), add_byte(d, 1), add_byte(d, 1), add_byte(d, 1); /* one group */
    add_byte(d, 1), add(d, "0123456789abcdef", 16), add_little(d, 5, 8), add_byte(d, 1);  /* one pending */
    add_byte(d, 1), add_text(d, "consumer"), add_little(d, 5, 8), add_little(d, 5, 8);    /* one consumer ... */
    add_byte(d, 1), add(d, "0123456789abcdef", 16);                                       /* ... has it */
    add_key(d, 0, "last"), add_text(d, "x");
    add_end(d);
}

static const char all[] =
    "text=v int=-2 lzf=aaaaaaaaaa ms=v@1893456000000 s=v@1893456000000 list=[\"a\",{\"base64\":\"/w==\"}] set=[\"a\"] "
    "hash={\"f\":\"v\"} odd! zset={\"m\":1.5,\"n\":\"inf\"} zset2={\"a\":2.5,\"b\":\"inf\"} zipmap! ziplist=[\"zy\"] "
    "intset=[\"-2\"] hashlp={\"a\":\"b\"} zsetlp={\"m\":\"-inf\"} quick=[\"plain\",\"a\",\"b\"] setlp=[\"a\",\"b\"] "
    "never={\"f\":\"v\"} once! nevers={\"f\":\"v\"} onces! old={\"f\":\"v\"} module! stream! last=x .";

static void each_type_becomes_a_value_or_is_skipped(void **state) {
    (void)state;
    struct dump d = {0};
    make_all(&d);
    assert_rows(&d, all);
}

static void a_dump_that_is_cut_anywhere_fails_there_behind_its_whole_rows(void **state) {
    (void)state;
    struct dump d = {0};
    make_all(&d);
    for (size_t size = d.size; size-- > 0;) {
        char message[ROWS_MESSAGE_BYTES] = "", found[4096];
        d.size = size;
        struct rows *rows = open_dump(&d, -1, message);
        if (rows) {
            read_all(rows, found, sizeof found, NULL);
            size_t shown = strlen(found) - 1;
            assert_int_equal(found[shown], '?');
            assert_memory_equal(found, all, shown);
            (void)snprintf(message, sizeof message, "%s", rows->message);
            rows->close(rows);
        }
        const char *at = strstr(message, "at byte ");
        assert_non_null(at);
        assert_true(strtoull(at + 8, NULL, 10) <= size);
    }
}

static void it_goes_on_behind_any_row(void **state) {
    (void)state;
    struct dump d = {0};
    char message[ROWS_MESSAGE_BYTES], found[4096];
    uint64_t positions[ROWS_MAX];
    make_all(&d);
    struct rows *rows = open_dump(&d, -1, message);
    char id[ROWS_ID_BYTES];
    strcpy(id, rows->id);
    read_all(rows, found, sizeof found, positions);
    rows->close(rows);
    const char *rest = all;
    for (size_t i = 0; *rest != '.'; i++) {
        rest = strchr(rest, ' ') + 1;
        rows = open_dump(&d, -1, message);
        assert_string_equal(rows->id, id);
        assert_true(rows->seek(rows, positions[i]));
        read_all(rows, found, sizeof found, NULL);
        assert_string_equal(found, rest);
        rows->close(rows);
    }
    d.bytes[d.size - 1] ^= 1;
    rows = open_dump(&d, -1, message);
    assert_string_not_equal(rows->id, id); /* it is another dump */
    assert_false(rows->seek(rows, d.size + 1));
    rows->close(rows);
}

static void a_changed_byte_shows_at_the_end_at_the_latest(void **state) {
    (void)state;
    struct dump d = {0};
    add_head(&d, "0011");
    add_key(&d, 0, "k"), add_text(&d, "value");
    add_end(&d);
    assert_rows(&d, "k=value .");
    d.bytes[13] ^= 1; /* in the value */
    assert_rows(&d, "k=walue ?");
    memset(d.bytes + d.size - 8, 0, 8); /* rdbchecksum no */
    assert_rows(&d, "k=walue .");
}

static void rows_of_other_databases_are_skipped(void **state) {
    (void)state;
    struct dump d = {0};
    char message[ROWS_MESSAGE_BYTES], found[256];
    add_head(&d, "0011");
    for (int i = 3; i < 5; i++) {
        add_byte(&d, 0xFE), add_byte(&d, i);
        add_key(&d, 0, "k"), add_byte(&d, 0xC0), add_byte(&d, i);
    }
    add_end(&d);
    assert_rows(&d, "k=3 k! .");
    struct rows *rows = open_dump(&d, 4, message);
    read_all(rows, found, sizeof found, NULL);
    assert_string_equal(found, "k! k=4 .");
    assert_non_null(strstr(rows->message, "database 3"));
    rows->close(rows);
}

/* Sizes that lie cost neither memory nor time. */
static void what_is_damaged_fails(void **state) {
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
    } tails[] = {
        {"\x00\x01k\x80\xFF\xFF\xFF\xFF", 8},                  /* a string of 4 GiB */
        {"\x00\x01k\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 12}, /* of 2^63 */
        {"\x00\x01k\x82", 4},                                  /* of an unknown form */
        {"\x00\x01k\xC3\x01\x80\x20\x00\x00\x00\x00", 11},     /* a byte that is to become 512 MiB */
        {"\x01\x01k\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 12}, /* a list of 2^64 - 1 */
        {"\x12\x01k\x01\x03\x01x", 7},                         /* a list of unknown nodes */
        {"\x03\x01k\x01\x01m\x01x", 8},                        /* a score that is no number */
        {"\x06\x01k\x00", 4},                                  /* a type of no release */
        {"\xFE\x80\xFF\xFF\xFF\xFF", 6},                       /* a database of no possible number */
    };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        struct dump d = {0};
        add_head(&d, "0011");
        add(&d, tails[i].bytes, tails[i].size);
        assert_rows(&d, "?");
    }
}

static void what_is_no_dump_of_a_known_version_is_refused(void **state) {
    (void)state;
    static const char *const heads[] = {"REDIS0013", "REDIS0000", "RODIS0011", "REDIS001", ""};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct dump d = {0};
        char message[ROWS_MESSAGE_BYTES] = "";
        add(&d, heads[i], strlen(heads[i]));
        assert_null(open_dump(&d, -1, message));
        assert_true(*message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_becomes_a_value_or_is_skipped),
        cmocka_unit_test(a_dump_that_is_cut_anywhere_fails_there_behind_its_whole_rows),
        cmocka_unit_test(it_goes_on_behind_any_row),
        cmocka_unit_test(a_changed_byte_shows_at_the_end_at_the_latest),
        cmocka_unit_test(rows_of_other_databases_are_skipped),
        cmocka_unit_test(what_is_damaged_fails),
        cmocka_unit_test(what_is_no_dump_of_a_known_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
