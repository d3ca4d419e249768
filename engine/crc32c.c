/* crc32c.c - see crc32c.h. The portable way takes 8 bytes a step through 8 tables ("slicing-by-8", Kounavis and Berry).
 */
#include "crc32c.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t tables[8][256];
static _Atomic bool tables_ready;

/* Several threads may build the tables at once: they store the same numbers, and relaxed atomics make that defined. */
static void build_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        __atomic_store_n(&tables[0][i], crc, __ATOMIC_RELAXED);
    }
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = __atomic_load_n(&tables[0][i], __ATOMIC_RELAXED);
        for (int t = 1; t < 8; t++) {
            crc = (crc >> 8) ^ __atomic_load_n(&tables[0][crc & 0xff], __ATOMIC_RELAXED);
            __atomic_store_n(&tables[t][i], crc, __ATOMIC_RELAXED);
        }
    }
    atomic_store_explicit(&tables_ready, true, memory_order_release);
}

static inline uint32_t table(int t, uint32_t i) {
    return __atomic_load_n(&tables[t][i & 0xff], __ATOMIC_RELAXED);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size) {
    if (!atomic_load_explicit(&tables_ready, memory_order_acquire)) build_tables();
    const uint8_t *p = data;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = table(7, low) ^ table(6, low >> 8) ^ table(5, low >> 16) ^ table(4, low >> 24) ^ table(3, high) ^
              table(2, high >> 8) ^ table(1, high >> 16) ^ table(0, high >> 24);
    }
    while (size--) crc = (crc >> 8) ^ table(0, crc ^ *p++);
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t size) {
    const uint8_t *p = data;
    uint64_t wide = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    while (size--) narrow = __builtin_ia32_crc32qi(narrow, *p++);
    return ~narrow;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, data, size) : crc32c_portable(crc, data, size);
}
#else
uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return crc32c_portable(crc, data, size);
}
#endif
