/*
 * number_map.h - where the file of a number stands in an array: a hash table, open addressing, linear probing.
 *
 * The numbers may come from a file that somebody made up, so the hash is seeded at random: no choice of numbers makes
 * lookups slow. One thread.
 */
#ifndef VELOCITY_NUMBER_MAP_H
#define VELOCITY_NUMBER_MAP_H

#include "env.h"

#define NUMBER_MAP_NONE SIZE_MAX

struct number_map {
    uint64_t seed;
    struct number_slot {
        uint64_t number;
        size_t place; /* + 1; 0: the slot is free */
    } * slots;
    size_t count, capacity; /* capacity: a power of two, or 0 */
};

VELOCITY_CHECK_RESULT velocity_status number_map_init(struct number_map *map, env *e);
void number_map_clear(struct number_map *map); /* one of zeroes is allowed */
/* Also replaces. */
VELOCITY_CHECK_RESULT velocity_status number_map_put(struct number_map *map, uint64_t number, size_t place);
size_t number_map_find(const struct number_map *map, uint64_t number);
/* The number is in the map. */
void number_map_move(struct number_map *map, uint64_t number, size_t place);
void number_map_remove(struct number_map *map, uint64_t number);

#endif
