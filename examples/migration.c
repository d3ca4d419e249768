/*
 * migration.c - moving data to a new layout while the database is in use: "user/<name>" with "<age> <city>" becomes
 * "u:<name>:age" and "u:<name>:city".
 *
 * Each step moves a few keys in one batch, with the condition that none of them changed since it was read: a concurrent
 * write is never lost, and a crash leaves every user in the one form or the other. A mark says that it is done, so the
 * program can be started any number of times.
 */
#include "example.h"

#include <string.h>

enum { STEP = 10, NAME_BYTES = 64, TEXT_BYTES = 128 };

static const char old_prefix[] = "user/", done_mark[] = "schema:2";

static void add(velocity_batch *batch, const char *name, const char *field, const char *text) {
    char key[TEXT_BYTES];
    (void)snprintf(key, sizeof key, "u:%s:%s", name, field);
    velocity_batch_put(batch, velocity_str(key), velocity_str(text), NULL);
}

static void copy_text(char *to, size_t size, velocity_slice from) {
    size_t bytes = from.size < size ? from.size : size - 1;
    memcpy(to, from.data, bytes);
    to[bytes] = '\0';
}

static void convert(velocity_batch *batch, velocity_slice key, velocity_slice value, uint64_t version) {
    char name[NAME_BYTES], text[TEXT_BYTES];
    size_t skip = sizeof old_prefix - 1;
    copy_text(name, sizeof name, velocity_bytes((const char *)key.data + skip, key.size - skip));
    copy_text(text, sizeof text, value);
    char *city = strchr(text, ' ');
    if (city) *city++ = '\0';
    velocity_batch_require(batch, key, version);
    velocity_batch_delete(batch, key);
    add(batch, name, "age", text);
    add(batch, name, "city", city ? city : "");
}

/* Moves up to STEP users. Answers how many it found; CONFLICT leaves them for the next step. */
static size_t move_some(velocity *db, velocity_batch *batch) {
    velocity_range range = velocity_range_default();
    range.prefix = velocity_str(old_prefix);
    velocity_batch_clear(batch);
    size_t found = 0;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    for (; velocity_iterator_valid(it) && found < STEP; velocity_iterator_next(it), found++)
        convert(batch, velocity_iterator_key(it), velocity_iterator_value(it), velocity_iterator_sequence(it));
    MUST(velocity_iterator_status(it));
    velocity_iterator_free(it);
    velocity_status status = velocity_write(db, batch, NULL, NULL);
    if (status != VELOCITY_CONFLICT) MUST(status);
    return found;
}

int main(int argc, char **argv) {
    velocity *db;
    char key[32], value[32];
    MUST(velocity_open(argc > 1 ? argv[1] : "migration.db", NULL, &db));
    for (int i = 0; i < 25; i++) {
        (void)snprintf(key, sizeof key, "user/n%02d", i);
        (void)snprintf(value, sizeof value, "%d Berlin", 20 + i);
        MUST(velocity_put(db, velocity_str(key), velocity_str(value)));
    }

    velocity_status done = velocity_contains(db, velocity_str(done_mark));
    if (done != VELOCITY_NOT_FOUND) MUST(done);
    velocity_batch *batch = velocity_batch_new();
    if (!batch) return 1;
    for (size_t moved; done == VELOCITY_NOT_FOUND && (moved = move_some(db, batch));)
        printf("moved %zu users\n", moved);
    velocity_batch_free(batch);
    MUST(velocity_put(db, velocity_str(done_mark), velocity_str("")));

    velocity_value age;
    MUST(velocity_get(db, velocity_str("u:n07:age"), &age));
    printf("n07 is %.*s\n", (int)age.size, (const char *)age.data);
    velocity_value_release(&age);
    MUST(velocity_close(db));
    return 0;
}
