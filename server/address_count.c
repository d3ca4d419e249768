/* address_count.c - see address_count.h. */
#include "server/address_count.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Above every IPv4 address; as a network of IPv6 it would be multicast, which is nobody's source. */
#define V4_MARK UINT64_C(0xffffffff00000000)

struct entry {
    uint64_t key;
    uint32_t count;
    uint32_t next; /* of its bucket, or of the unused ones */
};

struct address_count {
    uint64_t seed;
    struct entry *entries; /* [1 .. max_entries] */
    uint32_t max_entries, size;
    uint32_t fresh;  /* entries from here on were never used */
    uint32_t unused; /* chain of those given back */
    uint32_t mask;   /* buckets - 1 */
    uint32_t buckets[];
};

static uint64_t key_of(const struct sockaddr_storage *address) {
    uint64_t key = 0;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return V4_MARK | v4->sin_addr.s_addr;
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        memcpy(&key, &v6->sin6_addr, sizeof key);
    }
    return key;
}

/* MurmurHash3's last mix: every bit of key and seed reaches every bit of it. */
static uint32_t *bucket_of(struct address_count *table, uint64_t key) {
    uint64_t h = key ^ table->seed;
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd) + table->seed;
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return &table->buckets[(h ^ h >> 33) & table->mask];
}

struct address_count *address_count_new(uint32_t max_connections) {
    uint64_t buckets = 16;
    while (buckets < max_connections) buckets *= 2;
    /* Both stay untouched, and so cost no memory, until they are used. */
    struct address_count *table = calloc(1, sizeof *table + buckets * sizeof *table->buckets);
    if (!table) return NULL;
    table->entries = calloc((size_t)max_connections + 1, sizeof *table->entries);
    if (!table->entries || getrandom(&table->seed, sizeof table->seed, 0) != sizeof table->seed) {
        address_count_free(table);
        return NULL;
    }
    table->max_entries = max_connections;
    table->fresh = 1;
    table->mask = (uint32_t)(buckets - 1);
    return table;
}

void address_count_free(struct address_count *table) {
    if (!table) return;
    free(table->entries);
    free(table);
}

bool address_count_add(struct address_count *table, const struct sockaddr_storage *address, uint32_t limit,
                       uint32_t *slot) {
    uint64_t key = key_of(address);
    uint32_t *bucket = bucket_of(table, key), index = *bucket;
    while (index && table->entries[index].key != key) index = table->entries[index].next;
    if (index) {
        if (limit && table->entries[index].count >= limit) return false;
        table->entries[index].count++;
        *slot = index;
        return true;
    }
    if (table->size == table->max_entries) return false;
    if (table->unused) {
        index = table->unused;
        table->unused = table->entries[index].next;
    } else {
        index = table->fresh++;
    }
    table->entries[index] = (struct entry){.key = key, .count = 1, .next = *bucket};
    *bucket = index;
    table->size++;
    *slot = index;
    return true;
}

void address_count_remove(struct address_count *table, uint32_t slot) {
    struct entry *entry = &table->entries[slot];
    if (--entry->count) return;
    uint32_t *link = bucket_of(table, entry->key);
    while (*link != slot) link = &table->entries[*link].next;
    *link = entry->next;
    entry->next = table->unused;
    table->unused = slot;
    table->size--;
}

uint32_t address_count_size(const struct address_count *table) {
    return table->size;
}
