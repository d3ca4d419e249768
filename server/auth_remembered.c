/*
 * auth_remembered.c - see auth_remembered.h. A table of sets of four: a digest can stand in one set only, and takes the
 * place of the one in it that ends first. The digests need no compare in constant time: nobody without the key can
 * choose one.
 */
#include "server/auth_remembered.h"

#include "engine/env.h"
#include "server/auth.h"

enum { WAYS = 4, SETS = REMEMBERED_ENTRIES / WAYS };

struct entry {
    uint8_t digest[DIGEST_BYTES];
    uint64_t number;
    int64_t ends_ms; /* 0: free */
};

struct remembered {
    pthread_mutex_t mutex; /* guards the entries */
    uint8_t key[DIGEST_BYTES];
    struct entry sets[SETS][WAYS];
};

struct remembered *remembered_new(void) {
    struct remembered *r = env_alloc_zeroed(sizeof *r);
    if (!r) return NULL;
    if (env_random(env_posix(), r->key, sizeof r->key) != VELOCITY_OK) {
        env_free(r);
        return NULL;
    }
    (void)pthread_mutex_init(&r->mutex, NULL);
    return r;
}

void remembered_free(struct remembered *r) {
    if (!r) return;
    (void)pthread_mutex_destroy(&r->mutex);
    explicit_bzero(r, sizeof *r);
    env_free(r);
}

bool remembered_digest(const struct remembered *r, velocity_slice user, velocity_slice password,
                       uint8_t out[DIGEST_BYTES]) {
    uint8_t bytes[AUTH_NAME_MAX + 1 + AUTH_PASSWORD_MAX];
    if (user.size > AUTH_NAME_MAX || password.size > AUTH_PASSWORD_MAX) return false;
    memcpy(bytes, user.data, user.size);
    bytes[user.size] = 0;
    if (password.size) memcpy(bytes + user.size + 1, password.data, password.size);
    bool made = digest_keyed(r->key, velocity_bytes(bytes, user.size + 1 + password.size), out);
    explicit_bzero(bytes, sizeof bytes);
    return made;
}

static struct entry *set_of(struct remembered *r, const uint8_t digest[DIGEST_BYTES]) {
    uint32_t word;
    memcpy(&word, digest, sizeof word);
    return r->sets[word % SETS];
}

uint64_t remembered_find(struct remembered *r, const uint8_t digest[DIGEST_BYTES], int64_t now_ms) {
    const struct entry *set = set_of(r, digest);
    uint64_t number = 0;
    pthread_mutex_lock(&r->mutex);
    for (int i = 0; i < WAYS; i++)
        if (set[i].ends_ms > now_ms && memcmp(set[i].digest, digest, DIGEST_BYTES) == 0) number = set[i].number;
    pthread_mutex_unlock(&r->mutex);
    return number;
}

void remembered_add(struct remembered *r, const uint8_t digest[DIGEST_BYTES], uint64_t number, int64_t now_ms) {
    struct entry *set = set_of(r, digest);
    pthread_mutex_lock(&r->mutex);
    struct entry *place = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(set[i].digest, digest, DIGEST_BYTES) == 0) {
            place = &set[i];
            break;
        }
        if (set[i].ends_ms < place->ends_ms) place = &set[i];
    }
    memcpy(place->digest, digest, DIGEST_BYTES);
    place->number = number;
    place->ends_ms = now_ms + REMEMBERED_MS;
    pthread_mutex_unlock(&r->mutex);
}
