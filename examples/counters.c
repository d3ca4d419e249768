/*
 * counters.c - many threads add to one number: each addition reads what the one before it left, nobody has to begin
 * again, and additions that come at once share one wait for the disk.
 */
#include "example.h"

#include <pthread.h>
#include <string.h>

enum { THREADS = 4, VISITS = 250 };

/* What was there, plus one. Called when the batch's turn among all writes has come: see velocity_batch_compose. */
static velocity_status add_one(void *arg, velocity_instant *instant, velocity_batch *batch) {
    velocity_slice key = velocity_str(arg);
    velocity_value value;
    char text[24] = "";
    velocity_status status = velocity_instant_get(instant, key, &value);
    if (status != VELOCITY_OK && status != VELOCITY_NOT_FOUND) return status; /* nothing is written then */
    if (status == VELOCITY_OK) memcpy(text, value.data, value.size < sizeof text ? value.size : sizeof text - 1);
    velocity_value_release(&value);
    (void)snprintf(text, sizeof text, "%ld", strtol(text, NULL, 10) + 1);
    velocity_batch_put(batch, key, velocity_str(text), NULL);
    return VELOCITY_OK;
}

static void *visit(void *db) {
    static char key[] = "visits:home";
    velocity_batch *batch = velocity_batch_new();
    if (!batch) exit(1);
    velocity_batch_compose(batch, 1, sizeof key + 24, add_one, key); /* one put, of so many bytes at most */
    for (int i = 0; i < VISITS; i++) MUST(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    return NULL;
}

int main(int argc, char **argv) {
    velocity *db;
    velocity_value visits;
    pthread_t threads[THREADS];
    MUST(velocity_open(argc > 1 ? argv[1] : "counters.db", NULL, &db));
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, visit, db)) return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_join(threads[i], NULL)) return 1;
    MUST(velocity_get(db, velocity_str("visits:home"), &visits));
    printf("%.*s visits\n", (int)visits.size, (const char *)visits.data);
    velocity_value_release(&visits);
    MUST(velocity_close(db));
    return 0;
}
