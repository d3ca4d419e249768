/* number_map.c - see number_map.h. */
#include "number_map.h"

#include <xxhash.h>

enum { FIRST_CAPACITY = 64 };

velocity_status number_map_init(struct number_map *map, env *e) {
    memset(map, 0, sizeof *map);
    return env_random(e, &map->seed, sizeof map->seed);
}

void number_map_clear(struct number_map *map) {
    env_free(map->slots);
    memset(map, 0, sizeof *map);
}

static size_t home(const struct number_map *map, uint64_t number) {
    return (size_t)XXH3_64bits_withSeed(&number, sizeof number, map->seed) & (map->capacity - 1);
}

/* The slot of the number, or the free one where it belongs. There is always a free one. */
static struct number_slot *slot_of(const struct number_map *map, uint64_t number) {
    size_t at = home(map, number);
    while (map->slots[at].place && map->slots[at].number != number) at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

static velocity_status grow(struct number_map *map) {
    struct number_map wider = *map;
    wider.capacity = map->capacity ? map->capacity * 2 : FIRST_CAPACITY;
    wider.slots = env_alloc_zeroed(wider.capacity * sizeof *wider.slots);
    if (!wider.slots) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].place) *slot_of(&wider, map->slots[i].number) = map->slots[i];
    env_free(map->slots);
    *map = wider;
    return VELOCITY_OK;
}

velocity_status number_map_put(struct number_map *map, uint64_t number, size_t place) {
    if ((map->count + 1) * 2 > map->capacity) {
        velocity_status status = grow(map);
        if (status) return status;
    }
    struct number_slot *slot = slot_of(map, number);
    map->count += !slot->place;
    *slot = (struct number_slot){number, place + 1};
    return VELOCITY_OK;
}

size_t number_map_find(const struct number_map *map, uint64_t number) {
    return map->count ? slot_of(map, number)->place - 1 : NUMBER_MAP_NONE; /* 0 - 1 is NONE */
}

void number_map_move(struct number_map *map, uint64_t number, size_t place) {
    slot_of(map, number)->place = place + 1;
}

void number_map_remove(struct number_map *map, uint64_t number) {
    if (number_map_find(map, number) == NUMBER_MAP_NONE) return;
    size_t mask = map->capacity - 1, hole = (size_t)(slot_of(map, number) - map->slots);
    map->count--;
    /* What stands behind the hole moves up, unless it would stand before its home then. */
    for (size_t at = (hole + 1) & mask; map->slots[at].place; at = (at + 1) & mask) {
        if (((at - home(map, map->slots[at].number)) & mask) < ((at - hole) & mask)) continue;
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole].place = 0;
}
