/*
 * concurrency.c - one handle, any number of threads. Readers never wait for writers; writers that come together share
 * one sync of the disk; a snapshot sees one moment, however much is written after it.
 */
#include "example.h"

#include <pthread.h>

enum { WRITERS = 4, WRITES = 50 };

struct writer {
    velocity *db;
    int number;
};

static void *write_some(void *arg) {
    const struct writer *w = arg;
    char key[32];
    for (int i = 0; i < WRITES; i++) {
        (void)snprintf(key, sizeof key, "writer:%d:%03d", w->number, i);
        MUST(velocity_put(w->db, velocity_str(key), velocity_str("x"))); /* on disk when it returns */
    }
    return NULL;
}

/* What the snapshot shows (NULL: what there is now). An iterator belongs to one thread. */
static size_t count(velocity *db, const velocity_snapshot *snapshot) {
    velocity_range range = velocity_range_default();
    range.snapshot = snapshot;
    range.keys_only = true;
    size_t rows = 0;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) rows++;
    MUST(velocity_iterator_status(it));
    velocity_iterator_free(it);
    return rows;
}

int main(int argc, char **argv) {
    velocity *db;
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    MUST(velocity_open(argc > 1 ? argv[1] : "concurrency.db", NULL, &db));
    MUST(velocity_put(db, velocity_str("before"), velocity_str("x")));

    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    if (!snapshot) return 1;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){db, i};
        if (pthread_create(&threads[i], NULL, write_some, &writers[i])) return 1;
    }
    (void)count(db, NULL); /* meanwhile: some number or other */
    for (int i = 0; i < WRITERS; i++) (void)pthread_join(threads[i], NULL);

    printf("the snapshot shows %zu key, now there are %zu\n", count(db, snapshot), count(db, NULL));
    velocity_snapshot_free(snapshot); /* until then what it sees is kept, and takes room */

    velocity_stats stats = {.struct_size = sizeof stats};
    MUST(velocity_stats_get(db, &stats));
    printf("%llu writes, and no more syncs than that: %s\n", (unsigned long long)stats.writes,
           stats.syncs <= stats.writes ? "yes" : "no");
    MUST(velocity_close(db));
    return 0;
}
