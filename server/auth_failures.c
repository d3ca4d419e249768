/*
 * auth_failures.c - see auth_failures.h.
 *
 * Two tables of a fixed size, one of pairs and one of addresses, so that a flood of addresses (guessing secrets is
 * cheap) cannot push pairs out (each failure of which costs a hash). An entry does not hold whom it is about but 128
 * bits of a digest with a secret seed: nothing of a stranger's choice decides how much memory is used, or where an
 * entry goes.
 *
 *     buckets[key] -> entry -> entry        oldest <-> ... <-> newest: by the last failure
 *
 * An entry's window begins with its first failure and is as long as a ban. Reaching the limit within it bans, and the
 * count begins anew; what comes while the ban lasts counts for nothing.
 */
#include "server/auth_failures.h"

#include "engine/env.h"
#include "server/auth.h"
#include "server/auth_digest.h"

#include <arpa/inet.h>

enum { SEED_BYTES = 16, KEY_WORDS = 2, NONE = 0 /* entries are numbered from 1 */ };

struct entry {
    uint64_t key[KEY_WORDS];
    int64_t window_ends_ms;
    int64_t banned_until_ms; /* 0: not banned */
    uint32_t count;
    uint32_t next;         /* of its bucket */
    uint32_t older, newer; /* by the last failure */
};

struct table {
    uint32_t buckets[FAILURES_TABLE_ENTRIES];
    struct entry entries[FAILURES_TABLE_ENTRIES + 1];
    uint32_t used, oldest, newest;
};

enum { PAIRS, ADDRESSES, TABLES };

struct failures {
    pthread_mutex_t mutex; /* guards all but the seed */
    uint8_t seed[SEED_BYTES];
    uint32_t max_failures;
    int64_t ban_ms;
    int64_t last_ban_ends_ms; /* of all */
    uint64_t failures, bans;
    struct table tables[TABLES];
};

struct failures *failures_new(void) {
    struct failures *f = env_alloc_zeroed(sizeof *f);
    if (!f) return NULL;
    if (env_random(env_posix(), f->seed, sizeof f->seed) != VELOCITY_OK) {
        env_free(f);
        return NULL;
    }
    (void)pthread_mutex_init(&f->mutex, NULL);
    return f;
}

void failures_free(struct failures *f) {
    if (!f) return;
    (void)pthread_mutex_destroy(&f->mutex);
    explicit_bzero(f->seed, sizeof f->seed);
    env_free(f);
}

void failures_configure(struct failures *f, uint32_t max_failures, uint32_t ban_seconds) {
    pthread_mutex_lock(&f->mutex);
    f->max_failures = ban_seconds ? max_failures : 0;
    f->ban_ms = (int64_t)ban_seconds * 1000;
    pthread_mutex_unlock(&f->mutex);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

#define ADDRESS_BYTES 16

/* What counts as one address. A text that is no address (there is none that a peer has) counts as itself. */
static void address_bytes(const char *text, uint8_t out[ADDRESS_BYTES]) {
    uint8_t digest[DIGEST_BYTES];
    struct in6_addr v6;
    struct in_addr v4;
    memset(out, 0, ADDRESS_BYTES);
    if (inet_pton(AF_INET, text, &v4) == 1) {
        out[10] = out[11] = 0xFF; /* as IPv6 writes it: ::ffff:0:0/96 (RFC 4291, section 2.5.5.2) */
        memcpy(out + 12, &v4, 4);
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(out, &v6, IN6_IS_ADDR_V4MAPPED(&v6) ? 16 : 8);
    } else {
        digest_of(velocity_str(text), digest);
        memcpy(out, digest, ADDRESS_BYTES);
    }
}

static void key_of(const struct failures *f, const char *address, velocity_slice user, uint64_t key[KEY_WORDS]) {
    uint8_t bytes[SEED_BYTES + 1 + ADDRESS_BYTES + AUTH_NAME_MAX + 1] = {0}, digest[DIGEST_BYTES];
    size_t size = SEED_BYTES + 1 + ADDRESS_BYTES;
    memcpy(bytes, f->seed, SEED_BYTES);
    bytes[SEED_BYTES] = (uint8_t)((address ? 1 : 0) | (user.data ? 2 : 0));
    if (address) address_bytes(address, bytes + SEED_BYTES + 1);
    /* Nobody has a name that long: those who try one are counted together. */
    size_t name_bytes = user.data ? (user.size <= AUTH_NAME_MAX ? user.size : AUTH_NAME_MAX + 1) : 0;
    if (name_bytes) memcpy(bytes + size, user.data, name_bytes);
    digest_of(velocity_bytes(bytes, size + name_bytes), digest);
    memcpy(key, digest, KEY_WORDS * sizeof *key);
}

/* ---- one table -------------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(struct table *t, const uint64_t key[KEY_WORDS]) {
    return &t->buckets[key[0] % FAILURES_TABLE_ENTRIES];
}

static uint32_t find(struct table *t, const uint64_t key[KEY_WORDS]) {
    uint32_t i = *bucket_of(t, key);
    while (i != NONE && memcmp(t->entries[i].key, key, sizeof t->entries[i].key) != 0) i = t->entries[i].next;
    return i;
}

static void leave_order(struct table *t, uint32_t i) {
    const struct entry *e = &t->entries[i];
    *(e->older ? &t->entries[e->older].newer : &t->oldest) = e->newer;
    *(e->newer ? &t->entries[e->newer].older : &t->newest) = e->older;
}

static void become_newest(struct table *t, uint32_t i) {
    struct entry *e = &t->entries[i];
    e->older = t->newest;
    e->newer = NONE;
    *(t->newest ? &t->entries[t->newest].newer : &t->oldest) = i;
    t->newest = i;
}

/* A place for a new entry: a fresh one, or the oldest one's. */
static uint32_t take_place(struct table *t) {
    if (t->used < FAILURES_TABLE_ENTRIES) return ++t->used;
    uint32_t i = t->oldest, *link = bucket_of(t, t->entries[i].key);
    while (*link != i) link = &t->entries[*link].next;
    *link = t->entries[i].next;
    leave_order(t, i);
    return i;
}

static uint32_t find_or_add(struct table *t, const uint64_t key[KEY_WORDS]) {
    uint32_t i = find(t, key);
    if (i != NONE) {
        leave_order(t, i);
    } else {
        i = take_place(t);
        uint32_t *bucket = bucket_of(t, key);
        t->entries[i] = (struct entry){.next = *bucket};
        memcpy(t->entries[i].key, key, sizeof t->entries[i].key);
        *bucket = i;
    }
    become_newest(t, i);
    return i;
}

/* ---- counting --------------------------------------------------------------------------------------------------- */

/* True: a ban begins. */
static bool count(struct failures *f, struct table *t, const uint64_t key[KEY_WORDS], uint64_t limit, int64_t now_ms) {
    struct entry *e = &t->entries[find_or_add(t, key)];
    if (e->banned_until_ms > now_ms) return false;
    if (now_ms >= e->window_ends_ms) {
        e->count = 0;
        e->window_ends_ms = now_ms + f->ban_ms;
    }
    if (++e->count < limit) return false;
    e->count = 0;
    e->window_ends_ms = e->banned_until_ms = now_ms + f->ban_ms;
    if (f->last_ban_ends_ms < e->banned_until_ms) f->last_ban_ends_ms = e->banned_until_ms;
    f->bans++;
    return true;
}

uint32_t failures_add(struct failures *f, const char *address, velocity_slice user, int64_t now_ms) {
    uint64_t pair[KEY_WORDS], alone[KEY_WORDS];
    if (user.data) key_of(f, address, user, pair);
    if (address) key_of(f, address, velocity_bytes(NULL, 0), alone);
    bool banned = false;
    pthread_mutex_lock(&f->mutex);
    f->failures++;
    if (f->max_failures) {
        uint64_t limit = f->max_failures;
        if (user.data) banned |= count(f, &f->tables[PAIRS], pair, limit, now_ms);
        if (address) banned |= count(f, &f->tables[ADDRESSES], alone, limit * FAILURES_ADDRESS_FACTOR, now_ms);
    }
    uint32_t seconds = banned ? (uint32_t)(f->ban_ms / 1000) : 0;
    pthread_mutex_unlock(&f->mutex);
    return seconds;
}

void failures_forget(struct failures *f, const char *address, velocity_slice user) {
    uint64_t key[KEY_WORDS];
    key_of(f, address, user, key);
    pthread_mutex_lock(&f->mutex);
    struct table *t = &f->tables[PAIRS];
    uint32_t i = find(t, key);
    if (i != NONE) t->entries[i].count = 0;
    pthread_mutex_unlock(&f->mutex);
}

static int64_t banned_until(struct table *t, const uint64_t key[KEY_WORDS]) {
    uint32_t i = find(t, key);
    return i == NONE ? 0 : t->entries[i].banned_until_ms;
}

uint32_t failures_banned(struct failures *f, const char *address, velocity_slice user, int64_t now_ms) {
    uint64_t key[KEY_WORDS];
    int64_t until = 0;
    pthread_mutex_lock(&f->mutex);
    /* Most of the time nobody is banned, and there is nothing to look for. */
    if (f->max_failures && now_ms < f->last_ban_ends_ms) {
        if (user.data) {
            key_of(f, address, user, key);
            until = banned_until(&f->tables[PAIRS], key);
        }
        if (address) {
            key_of(f, address, velocity_bytes(NULL, 0), key);
            int64_t of_address = banned_until(&f->tables[ADDRESSES], key);
            if (until < of_address) until = of_address;
        }
    }
    pthread_mutex_unlock(&f->mutex);
    return until > now_ms ? (uint32_t)((until - now_ms + 999) / 1000) : 0;
}

void failures_stats(struct failures *f, int64_t now_ms, struct failures_stats *out) {
    pthread_mutex_lock(&f->mutex);
    *out = (struct failures_stats){.failures = f->failures, .bans = f->bans};
    for (int i = 0; i < TABLES && now_ms < f->last_ban_ends_ms; i++)
        for (uint32_t k = 1; k <= f->tables[i].used; k++)
            out->banned_now += f->tables[i].entries[k].banned_until_ms > now_ms;
    pthread_mutex_unlock(&f->mutex);
}
