/*
 * follow_topics.c - which followers an event concerns, without asking each of them: a hash table of their prefixes. A
 * key is looked up once for each size that prefixes have, and few have many.
 */
#include "server/follow_internal.h"
#include "server/key_range.h"

#include <stdlib.h>

bool topics_init(struct topics *topics) {
    memset(topics, 0, sizeof *topics);
    topics->buckets = calloc(TOPIC_BUCKETS, sizeof *topics->buckets);
    return topics->buckets && env_random(env_posix(), &topics->seed, sizeof topics->seed) == VELOCITY_OK;
}

void topics_free(struct topics *topics) {
    free(topics->buckets);
    free(topics->sizes);
}

/* FNV-1a; the hash of a longer string goes on where that of its beginning ended. */
static uint64_t hash_on(uint64_t hash, const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static struct topic **bucket_of(struct topics *topics, uint64_t hash) {
    return &topics->buckets[(hash ^ (hash >> 32)) % TOPIC_BUCKETS];
}

static struct topic *find(struct topics *topics, uint64_t hash, const void *prefix, size_t size) {
    struct topic *topic = *bucket_of(topics, hash);
    while (topic && (topic->hash != hash || topic->size != size || (size && memcmp(topic->prefix, prefix, size) != 0)))
        topic = topic->next;
    return topic;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static size_t size_position(const struct topics *topics, size_t size) {
    size_t at = 0;
    while (at < topics->size_count && topics->sizes[at].size < size) at++;
    return at;
}

static bool size_enter(struct topics *topics, size_t size) {
    size_t at = size_position(topics, size);
    if (at < topics->size_count && topics->sizes[at].size == size) {
        topics->sizes[at].topics++;
        return true;
    }
    if (topics->size_count == topics->size_capacity) {
        size_t capacity = topics->size_capacity ? 2 * topics->size_capacity : 8;
        struct topic_size *sizes = realloc(topics->sizes, capacity * sizeof *sizes);
        if (!sizes) return false;
        topics->sizes = sizes;
        topics->size_capacity = capacity;
    }
    memmove(topics->sizes + at + 1, topics->sizes + at, (topics->size_count - at) * sizeof *topics->sizes);
    topics->sizes[at] = (struct topic_size){.size = size, .topics = 1};
    topics->size_count++;
    return true;
}

static void size_leave(struct topics *topics, size_t size) {
    size_t at = size_position(topics, size);
    if (--topics->sizes[at].topics) return;
    topics->size_count--;
    memmove(topics->sizes + at, topics->sizes + at + 1, (topics->size_count - at) * sizeof *topics->sizes);
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

struct topic *topics_enter(struct topics *topics, velocity_slice prefix) {
    uint64_t hash = hash_on(topics->seed, prefix.data, prefix.size);
    struct topic *topic = find(topics, hash, prefix.data, prefix.size);
    if (!topic) {
        topic = calloc(1, sizeof *topic + prefix.size);
        if (!topic || !size_enter(topics, prefix.size)) {
            free(topic);
            return NULL;
        }
        topic->hash = hash;
        topic->size = prefix.size;
        if (prefix.size) memcpy(topic->prefix, prefix.data, prefix.size);
        struct topic **bucket = bucket_of(topics, hash);
        topic->next = *bucket;
        *bucket = topic;
    }
    topic->followers++;
    return topic;
}

void topics_leave(struct topics *topics, struct topic *topic) {
    if (--topic->followers) return;
    struct topic **link = bucket_of(topics, topic->hash);
    while (*link != topic) link = &(*link)->next;
    *link = topic->next;
    size_leave(topics, topic->size);
    free(topic);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static bool find_range(struct topics *topics, const struct follow_event *event,
                       void (*found)(struct topic *topic, void *arg), void *arg) {
    bool any = false;
    for (size_t i = 0; i < TOPIC_BUCKETS; i++) {
        for (struct topic *topic = topics->buckets[i]; topic; topic = topic->next) {
            if (!key_range_overlaps(event->key, event->end, velocity_bytes(topic->prefix, topic->size))) continue;
            any = true;
            if (found) found(topic, arg);
        }
    }
    return any;
}

bool topics_find(struct topics *topics, const struct follow_event *event, void (*found)(struct topic *topic, void *arg),
                 void *arg) {
    const unsigned char *key = event->key.data;
    uint64_t hash = topics->seed;
    size_t hashed = 0;
    bool any = false;
    if (event->kind == FOLLOW_DELETE_RANGE) return find_range(topics, event, found, arg);
    for (size_t i = 0; i < topics->size_count && topics->sizes[i].size <= event->key.size; i++) {
        size_t size = topics->sizes[i].size;
        hash = hash_on(hash, key + hashed, size - hashed);
        hashed = size;
        struct topic *topic = find(topics, hash, key, size);
        if (!topic) continue;
        any = true;
        if (found) found(topic, arg);
    }
    return any;
}
