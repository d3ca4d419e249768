/* auth_table.c - see auth_table.h. */
#include "server/auth_table.h"

#include "engine/env.h"

#define FIRST_CAPACITY 16

void secret_free(struct secret *secret) {
    if (!secret) return;
    principal_release(secret->principal);
    scope_free(&secret->scope);
    explicit_bzero(secret, sizeof *secret);
    env_free(secret);
}

static size_t home_of(const struct secret_table *table, const uint8_t *digest) {
    uint64_t word;
    memcpy(&word, digest, sizeof word);
    return (size_t)word & (table->capacity - 1);
}

static size_t after(const struct secret_table *table, size_t slot) {
    return (slot + 1) & (table->capacity - 1);
}

/* The compare need not take constant time: what it would tell is about SHA-256 of a guess at 256 random bits. */
static struct secret *find(const struct secret_table *table, const uint8_t *digest, size_t size) {
    if (table->capacity == 0) return NULL;
    for (size_t i = home_of(table, digest); table->slots[i]; i = after(table, i))
        if (memcmp(table->slots[i]->digest, digest, size) == 0) return table->slots[i];
    return NULL;
}

struct secret *secret_table_find(const struct secret_table *table, const uint8_t digest[DIGEST_BYTES]) {
    return find(table, digest, DIGEST_BYTES);
}

struct secret *secret_table_find_id(const struct secret_table *table, const char *id) {
    uint8_t bytes[SECRET_ID_BYTES];
    return hex_read(velocity_str(id), bytes, sizeof bytes) ? find(table, bytes, sizeof bytes) : NULL;
}

void secret_table_insert(struct secret_table *table, struct secret *secret) {
    size_t i = home_of(table, secret->digest);
    while (table->slots[i]) i = after(table, i);
    table->slots[i] = secret;
    table->counts[secret->kind]++;
}

bool secret_table_enlarge(const struct secret_table *table, size_t more, struct secret_table *larger) {
    size_t wanted = secret_table_count(table) + more, capacity = table->capacity ? table->capacity : FIRST_CAPACITY;
    *larger = (struct secret_table){0};
    while (capacity < 2 * wanted) capacity *= 2;
    if (capacity == table->capacity) return true;
    larger->slots = env_alloc_zeroed(capacity * sizeof *larger->slots);
    if (!larger->slots) return false;
    larger->capacity = capacity;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i]) secret_table_insert(larger, table->slots[i]);
    return true;
}

void secret_table_remove(struct secret_table *table, const struct secret *secret) {
    size_t hole = home_of(table, secret->digest), mask = table->capacity - 1;
    while (table->slots[hole] != secret) hole = after(table, hole);
    table->counts[secret->kind]--;
    /* Those behind move up, if their home is not between the hole and them: no probe may meet a gap. */
    for (size_t i = after(table, hole); table->slots[i]; i = after(table, i)) {
        size_t home = home_of(table, table->slots[i]->digest);
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        table->slots[hole] = table->slots[i];
        hole = i;
    }
    table->slots[hole] = NULL;
}

void secret_table_free(struct secret_table *table) {
    for (size_t i = 0; i < table->capacity; i++) secret_free(table->slots[i]);
    env_free(table->slots);
    *table = (struct secret_table){0};
}
