/*
 * batches.c - several writes at once, all or none, and only if nothing changed meanwhile: money moves from one account
 * to another and is neither lost nor made, whoever else writes and whenever the power fails.
 */
#include "example.h"

#include <string.h>

struct account {
    long cents;
    uint64_t version; /* of the key: the sequence of the write that put it */
};

static struct account read_account(velocity *db, const char *key) {
    velocity_value value;
    char text[32] = "";
    MUST(velocity_get(db, velocity_str(key), &value));
    memcpy(text, value.data, value.size < sizeof text ? value.size : sizeof text - 1);
    struct account account = {strtol(text, NULL, 10), value.sequence};
    velocity_value_release(&value);
    return account;
}

static void put_cents(velocity_batch *batch, const char *key, long cents) {
    char text[32];
    (void)snprintf(text, sizeof text, "%ld", cents);
    velocity_batch_put(batch, velocity_str(key), velocity_str(text), NULL);
}

/* CONFLICT: an account changed after it was read. Nothing was written. */
static velocity_status try_transfer(velocity *db, velocity_batch *batch, long cents, bool disturb) {
    struct account from = read_account(db, "account:ada"), to = read_account(db, "account:bob");
    velocity_batch_clear(batch);
    velocity_batch_require(batch, velocity_str("account:ada"), from.version);
    velocity_batch_require(batch, velocity_str("account:bob"), to.version);
    put_cents(batch, "account:ada", from.cents - cents);
    put_cents(batch, "account:bob", to.cents + cents);
    if (disturb)
        MUST(velocity_put(db, velocity_str("account:bob"), velocity_str("700"))); /* somebody else was faster */
    return velocity_write(db, batch, NULL, NULL);
}

int main(int argc, char **argv) {
    velocity *db;
    velocity_batch *batch = velocity_batch_new();
    MUST(velocity_open(argc > 1 ? argv[1] : "batches.db", NULL, &db));
    if (!batch) return 1;

    /* Created only if neither is there yet. */
    velocity_batch_require(batch, velocity_str("account:ada"), VELOCITY_ABSENT);
    velocity_batch_require(batch, velocity_str("account:bob"), VELOCITY_ABSENT);
    put_cents(batch, "account:ada", 1000);
    put_cents(batch, "account:bob", 500);
    uint64_t sequence;
    MUST(velocity_write(db, batch, NULL, &sequence));
    printf("created, versions %llu and %llu\n", (unsigned long long)sequence - 1, (unsigned long long)sequence);

    velocity_status status;
    for (int attempt = 1; (status = try_transfer(db, batch, 250, attempt == 1)) == VELOCITY_CONFLICT; attempt++) {
        uint64_t current;
        size_t condition = velocity_batch_conflict(batch, &current);
        printf("attempt %d: condition %zu failed, the key is at version %llu now: again\n", attempt, condition,
               (unsigned long long)current);
    }
    MUST(status);
    printf("ada has %ld, bob has %ld\n", read_account(db, "account:ada").cents, read_account(db, "account:bob").cents);
    velocity_batch_free(batch);
    MUST(velocity_close(db));
    return 0;
}
