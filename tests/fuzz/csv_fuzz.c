/*
 * csv_fuzz.c - any bytes as comma-separated values: every row that comes out is whole, it ends, and gone on with behind
 * any row it brings the same rows.
 */
#include "cli/rows.h"
#include "server/json.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static void look(const struct row *row) {
    if (strcmp(row->type, ROWS_TYPE_JSON) == 0) CHECK(json_valid(row->value, NULL));
    if (strcmp(row->type, ROWS_TYPE_TEXT) == 0) CHECK(utf8_valid(row->value));
}

/* A sum of what comes, in its order. */
static uint64_t sum_of(struct rows *rows, uint64_t *count) {
    struct row row;
    uint64_t sum = 0;
    for (*count = 0;; ++*count) {
        enum row_result result = rows->next(rows, &row);
        if (result == ROW_END || result == ROW_FAILED) return sum * 31 + result;
        sum = sum * 31 + result;
        if (result == ROW_SKIPPED) continue;
        look(&row);
        for (size_t i = 0; i < row.key.size; i++) sum = sum * 31 + ((const uint8_t *)row.key.data)[i];
        for (size_t i = 0; i < row.value.size; i++) sum = sum * 31 + ((const uint8_t *)row.value.data)[i];
    }
}

static void go_on(const struct rows_options *options, uint64_t behind) {
    struct rows *one, *other;
    struct row row;
    char message[ROWS_MESSAGE_BYTES];
    uint64_t count, other_count;
    CHECK(rows_open_csv(options, &one, message) && rows_open_csv(options, &other, message));
    for (uint64_t i = 0; i < behind; i++) (void)one->next(one, &row);
    CHECK(other->seek(other, behind));
    CHECK(sum_of(one, &count) == sum_of(other, &other_count) && count == other_count);
    one->close(one);
    other->close(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd = -1;
    static char path[32];
    char message[ROWS_MESSAGE_BYTES];
    struct rows_options options = {.path = path};
    struct rows *rows;
    uint64_t count;
    if (fd < 0) {
        fd = memfd_create("table", 0);
        CHECK(fd >= 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (!rows_open_csv(&options, &rows, message)) return 0;
    (void)sum_of(rows, &count);
    rows->close(rows);
    if (count) go_on(&options, count / 2);
    return 0;
}
