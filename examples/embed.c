/* embed.c - the whole of it: open, put, get, close. README.md shows the same lines. */
#include "engine/velocity.h"

#include <stdio.h>

static int fail(void) {
    fprintf(stderr, "%s\n", velocity_error_message());
    return 1;
}

int main(int argc, char **argv) {
    velocity *db;
    velocity_value value;
    if (velocity_open(argc > 1 ? argv[1] : "greetings", NULL, &db) != VELOCITY_OK) return fail();
    if (velocity_put(db, velocity_str("user:1"), velocity_str("hello")) != VELOCITY_OK) return fail();
    if (velocity_get(db, velocity_str("user:1"), &value) != VELOCITY_OK) return fail();
    printf("%.*s, version %llu\n", (int)value.size, (const char *)value.data, (unsigned long long)value.sequence);
    velocity_value_release(&value);
    return velocity_close(db) == VELOCITY_OK ? 0 : fail();
}
