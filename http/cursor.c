/*
 * cursor.c - see cursor.h for the layout. Pure functions.
 */
#include "http/cursor.h"

#include <xxhash.h>

#define FORMAT         1
#define KEY_AT         9 /* behind format and parameters */
#define CHECKSUM_BYTES 4

static void put_little_endian(unsigned char *out, uint64_t n, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(n >> 8 * i);
}

static uint64_t get_little_endian(const unsigned char *p, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++) n |= (uint64_t)p[i] << 8 * i;
    return n;
}

/* Each text is hashed behind its size, so that no two listings look alike. */
static uint64_t hash_parameters(const struct cursor_parameters *c) {
    const velocity_slice texts[] = {c->database, c->prefix, c->start, c->end, c->delimiter};
    const unsigned char switches = (unsigned char)(c->reverse | c->values << 1);
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        unsigned char size[8];
        put_little_endian(size, texts[i].size, sizeof size);
        XXH3_64bits_update(&state, size, sizeof size);
        if (texts[i].size) XXH3_64bits_update(&state, texts[i].data, texts[i].size);
    }
    XXH3_64bits_update(&state, &switches, 1);
    return XXH3_64bits_digest(&state);
}

static uint32_t checksum(XXH3_state_t *state) {
    return (uint32_t)XXH3_64bits_digest(state);
}

size_t cursor_encode(const struct cursor_parameters *parameters, velocity_slice key, char *out) {
    unsigned char head[KEY_AT] = {FORMAT}, tail[CHECKSUM_BYTES];
    const velocity_slice parts[] = {{head, sizeof head}, key, {tail, sizeof tail}};
    unsigned char three[3];
    size_t held = 0, written = 0;
    XXH3_state_t state;
    put_little_endian(head + 1, hash_parameters(parameters), 8);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, head, sizeof head);
    XXH3_64bits_update(&state, key.data, key.size);
    put_little_endian(tail, checksum(&state), sizeof tail);
    /* The parts are never joined: every three bytes become four characters as they come. */
    for (size_t part = 0; part < 3; part++)
        for (size_t i = 0; i < parts[part].size; i++) {
            three[held++] = ((const unsigned char *)parts[part].data)[i];
            if (held < 3) continue;
            written += base64url_encode(velocity_bytes(three, held), out + written);
            held = 0;
        }
    return written + base64url_encode(velocity_bytes(three, held), out + written);
}

enum cursor_result cursor_decode(velocity_slice text, const struct cursor_parameters *parameters, void *buffer,
                                 velocity_slice *key) {
    const unsigned char *p = buffer;
    size_t size, checked;
    XXH3_state_t state;
    if (!base64url_decode(text, buffer, &size) || size <= CURSOR_OVERHEAD_BYTES) return CURSOR_MALFORMED;
    checked = size - CHECKSUM_BYTES;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, p, checked);
    if (get_little_endian(p + checked, CHECKSUM_BYTES) != checksum(&state) || p[0] != FORMAT) return CURSOR_MALFORMED;
    if (get_little_endian(p + 1, 8) != hash_parameters(parameters)) return CURSOR_FOREIGN;
    *key = velocity_bytes(p + KEY_AT, checked - KEY_AT);
    return CURSOR_OK;
}
