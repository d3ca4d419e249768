/* ledger.c - see soak.h. */
#include "soak.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct soak_ledger *ledger_new(void) {
    void *memory = mmap(NULL, sizeof(struct soak_ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("soak: mmap");
        exit(1);
    }
    return memory;
}

void ledger_fail(struct soak_ledger *ledger, const char *format, ...) {
    va_list arguments;
    bool first = !atomic_exchange(&ledger->failed, true);
    if (first) {
        va_start(arguments, format);
        (void)vsnprintf(ledger->message, sizeof ledger->message, format, arguments);
        va_end(arguments);
    } else {
        sleep(1); /* the first one's message is the one to read */
    }
    _exit(1);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

void soak_remove(const char *folder) {
    if (nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return;
    perror(folder);
    exit(1);
}

const char *soak_copy(const char *folder, uint32_t thread, char path[256]) {
    (void)snprintf(path, 256, "%s.copy%u", folder, thread);
    return path;
}

uint64_t soak_below(struct soak_random *r, uint64_t limit) {
    /* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016 */
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (r->state * UINT64_C(2685821657736338717) >> 16) % limit;
}

velocity_slice soak_key(uint32_t thread, uint32_t slot, char buffer[32]) {
    int size = snprintf(buffer, 32, "thread%u/key%05u", thread, slot);
    return velocity_bytes(buffer, (size_t)size);
}

static struct soak_random of_state(uint32_t thread, uint32_t slot, uint64_t state) {
    struct soak_random r = {(state + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)thread << 32 | slot)};
    if (r.state == 0) r.state = 1;
    (void)soak_below(&r, 2);
    return r;
}

velocity_slice soak_value(uint32_t thread, uint32_t slot, uint64_t state, uint8_t *buffer) {
    struct soak_random r = of_state(thread, slot, state);
    /* Mostly small; some as large as values that are kept apart from the tables. */
    uint64_t limit = soak_below(&r, 10) ? 300 : SOAK_VALUE_MAX - 8;
    size_t size = 8 + soak_below(&r, limit);
    memcpy(buffer, &state, 8);
    for (size_t at = 8; at < size; at += 8) {
        uint64_t word = at % 64 < 32 ? soak_below(&r, UINT64_MAX) : UINT64_C(0x6f6c657676656c6f);
        memcpy(buffer + at, &word, size - at < 8 ? size - at : 8);
    }
    return velocity_bytes(buffer, size);
}

bool soak_value_is(uint32_t thread, uint32_t slot, uint64_t state, velocity_slice value) {
    static _Thread_local uint8_t buffer[SOAK_VALUE_MAX];
    velocity_slice expected = soak_value(thread, slot, state, buffer);
    return expected.size == value.size && memcmp(expected.data, value.data, value.size) == 0;
}
