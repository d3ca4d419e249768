/*
 * rdb_fuzz.c - any bytes as a Redis dump: every row that comes out is whole, JSON where it says so, and it ends. What
 * it allocates stays within what the input can hold (-malloc_limit_mb).
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd = -1;
    static char path[32];
    char message[ROWS_MESSAGE_BYTES];
    struct rows_options options = {.path = path, .redis_database = -1};
    struct rows *rows;
    struct row row;
    if (fd < 0) {
        fd = memfd_create("dump", 0);
        CHECK(fd >= 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (!rows_open_rdb(&options, &rows, message)) return 0;
    for (;;) {
        uint64_t before = rows->position;
        enum row_result result = rows->next(rows, &row);
        if (result == ROW_READ) look(&row);
        if (result == ROW_END || result == ROW_FAILED) break;
        CHECK(rows->position > before && rows->position <= size);
    }
    rows->close(rows);
    return 0;
}
