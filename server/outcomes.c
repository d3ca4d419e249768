/* outcomes.c - see outcomes.h. */
#include "server/outcomes.h"

#include <stdlib.h>

#define LEAST 256u
#define NONE  UINT32_MAX

struct record {
    uint8_t id[OUTCOME_ID_BYTES];
    uint64_t owner, version, ended_ms;
    char *message; /* NULL: none */
    void *key;     /* NULL: none */
    uint32_t key_size;
    uint32_t next; /* in its bucket */
    uint8_t end, status;
};

struct outcomes {
    struct record *ring;
    uint32_t *buckets; /* as many as the ring has places */
    uint32_t places, most, first, count;
    uint64_t keep_ms, key_bytes;
};

static uint32_t place(const struct outcomes *o, uint32_t index) {
    return (o->first + index) & (o->places - 1);
}

/* Ids are random: any of their bytes are a hash. */
static uint32_t *bucket(const struct outcomes *o, const uint8_t id[OUTCOME_ID_BYTES]) {
    uint32_t hash;
    memcpy(&hash, id, sizeof hash);
    return &o->buckets[hash & (o->places - 1)];
}

static void link_record(struct outcomes *o, uint32_t at) {
    uint32_t *head = bucket(o, o->ring[at].id);
    o->ring[at].next = *head;
    *head = at;
}

/* To twice the places, or to the first ones. False: no memory. */
static bool grow(struct outcomes *o) {
    uint32_t places = o->places ? 2 * o->places : o->most < LEAST ? o->most : LEAST;
    struct record *ring = malloc(places * sizeof *ring);
    uint32_t *buckets = malloc(places * sizeof *buckets);
    if (!ring || !buckets) {
        free(ring);
        free(buckets);
        return false;
    }
    for (uint32_t i = 0; i < o->count; i++) ring[i] = o->ring[place(o, i)];
    free(o->ring);
    free(o->buckets);
    o->ring = ring;
    o->buckets = memset(buckets, 0xff, places * sizeof *buckets); /* NONE */
    o->places = places;
    o->first = 0;
    for (uint32_t i = 0; i < o->count; i++) link_record(o, i);
    return true;
}

struct outcomes *outcomes_new(uint32_t most, uint64_t keep_ms) {
    struct outcomes *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->most = most;
    o->keep_ms = keep_ms;
    if (grow(o)) return o;
    free(o);
    return NULL;
}

static void drop_oldest(struct outcomes *o) {
    struct record *oldest = &o->ring[o->first];
    uint32_t *link = bucket(o, oldest->id);
    while (*link != o->first) link = &o->ring[*link].next;
    *link = oldest->next;
    free(oldest->message);
    free(oldest->key);
    o->key_bytes -= oldest->key_size;
    o->first = place(o, 1);
    o->count--;
}

void outcomes_free(struct outcomes *o) {
    if (!o) return;
    while (o->count) drop_oldest(o);
    free(o->ring);
    free(o->buckets);
    free(o);
}

static void *copy_of(velocity_slice key) {
    void *copy = key.size ? malloc(key.size) : NULL;
    return copy ? memcpy(copy, key.data, key.size) : NULL;
}

void outcomes_add(struct outcomes *o, const struct outcome *outcome, uint64_t now_ms) {
    while (o->count && now_ms - o->ring[o->first].ended_ms > o->keep_ms) drop_oldest(o);
    while (o->count && o->key_bytes + outcome->key.size > OUTCOMES_MOST_KEY_BYTES) drop_oldest(o);
    bool full = o->count == o->places;
    if (full && (o->places == o->most || !grow(o))) drop_oldest(o);
    uint32_t at = place(o, o->count++);
    struct record *record = &o->ring[at];
    *record = (struct record){.owner = outcome->owner,
                              .version = outcome->version,
                              .ended_ms = now_ms,
                              .message = outcome->message[0] ? strdup(outcome->message) : NULL,
                              .key = copy_of(outcome->key),
                              .end = outcome->end,
                              .status = (uint8_t)outcome->status};
    memcpy(record->id, outcome->id, sizeof record->id);
    if (record->key) record->key_size = (uint32_t)outcome->key.size;
    o->key_bytes += record->key_size;
    link_record(o, at);
}

bool outcomes_find(const struct outcomes *o, const uint8_t id[OUTCOME_ID_BYTES], uint64_t now_ms, struct outcome *out) {
    uint32_t at = *bucket(o, id);
    while (at != NONE && memcmp(o->ring[at].id, id, OUTCOME_ID_BYTES) != 0) at = o->ring[at].next;
    if (at == NONE || now_ms - o->ring[at].ended_ms > o->keep_ms) return false;
    const struct record *record = &o->ring[at];
    *out = (struct outcome){.owner = record->owner,
                            .end = record->end,
                            .status = (velocity_status)record->status,
                            .version = record->version};
    memcpy(out->id, record->id, sizeof out->id);
    if (record->message) strncat(out->message, record->message, sizeof out->message - 1);
    void *key = copy_of(velocity_bytes(record->key, record->key_size));
    if (key) out->key = velocity_bytes(key, record->key_size);
    return true;
}

void outcome_clear(struct outcome *outcome) {
    free((void *)(uintptr_t)outcome->key.data);
    outcome->key = velocity_bytes(NULL, 0);
}

uint32_t outcomes_count(const struct outcomes *o) {
    return o->count;
}
