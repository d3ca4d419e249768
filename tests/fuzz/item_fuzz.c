/*
 * item_fuzz.c - any bytes as a line of an import: an item that is taken keeps to the limits, and written as an export
 * writes it, it is one line that is taken again as the same item.
 */
#include "http/item.h"
#include "http/item_parse.h"
#include "server/json.h"
#include "tests/fuzz/fuzz.h"

#define VALUE_BYTES 2048 /* at most: smaller than an input can be */

static bool is_same(velocity_slice a, velocity_slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void write_again(const struct store_operation *taken) {
    struct json_writer line = {0};
    struct scratch scratch;
    unsigned char first[64];
    struct store_operation again;
    const char *reason = NULL;
    struct item item = {.key = taken->key, .version = 1, .expires_at_ms = taken->expires_at_ms, .one_line = true};
    CHECK(item_unpack(taken->flags, taken->value, &item.type, &item.value));
    CHECK(item.value.size <= VALUE_BYTES);
    item_write(&line, &item, true, UINT64_MAX);
    CHECK(!line.failed && !memchr(line.data, '\n', line.size) && !memchr(line.data, '\r', line.size));
    scratch_init(&scratch, first, sizeof first);
    CHECK(item_parse(velocity_bytes(line.data, line.size), VALUE_BYTES, &scratch, &again, &reason));
    CHECK(is_same(again.key, taken->key) && is_same(again.value, taken->value));
    CHECK(again.flags == taken->flags && again.expires_at_ms == taken->expires_at_ms);
    scratch_reset(&scratch);
    json_writer_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *line = fuzz_buffer(size);
    struct scratch scratch;
    unsigned char first[64];
    struct store_operation taken;
    const char *reason = NULL;
    if (size) memcpy(line, data, size);
    scratch_init(&scratch, first, sizeof first);
    if (item_parse(velocity_bytes(line, size), VALUE_BYTES, &scratch, &taken, &reason)) {
        CHECK(taken.action == STORE_PUT && taken.key.size >= 1 && taken.key.size <= 16384);
        write_again(&taken);
    } else {
        CHECK(reason && *reason);
    }
    scratch_reset(&scratch);
    free(line);
    return 0;
}
