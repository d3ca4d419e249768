/* basic.c - the everyday calls: put, get, delete, look through a range. Keys and values are any bytes. */
#include "example.h"

static void show(velocity *db, const char *key) {
    velocity_value value;
    velocity_status status = velocity_get(db, velocity_str(key), &value);
    if (status == VELOCITY_NOT_FOUND) { /* an answer, not a failure */
        printf("%s is not there\n", key);
        return;
    }
    MUST(status);
    printf("%s = %.*s\n", key, (int)value.size, (const char *)value.data);
    velocity_value_release(&value); /* it may pin a block of the cache until then */
}

int main(int argc, char **argv) {
    velocity *db;
    MUST(velocity_open(argc > 1 ? argv[1] : "basic.db", NULL, &db));

    MUST(velocity_put(db, velocity_str("fruit:apple"), velocity_str("green")));
    MUST(velocity_put(db, velocity_str("fruit:cherry"), velocity_str("red")));
    MUST(velocity_put(db, velocity_str("fruit:lemon"), velocity_str("yellow")));
    MUST(velocity_put(db, velocity_str("tree:oak"), velocity_str("tall")));
    MUST(velocity_put(db, velocity_str("fruit:apple"), velocity_str("red"))); /* the newest counts */
    show(db, "fruit:apple");

    MUST(velocity_delete(db, velocity_str("fruit:cherry")));
    show(db, "fruit:cherry");

    /* Entries come in the order of their keys; a range may be bounded by a prefix, a start, an end. */
    velocity_range range = velocity_range_default();
    range.prefix = velocity_str("fruit:");
    velocity_iterator *it = velocity_iterator_new(db, &range);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
        velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
        printf("%.*s: %.*s\n", (int)key.size, (const char *)key.data, (int)value.size, (const char *)value.data);
    }
    MUST(velocity_iterator_status(it)); /* did it end, or fail? */
    velocity_iterator_free(it);

    MUST(velocity_close(db));
    return 0;
}
