/*
 * auth_digest.h - SHA-256, plain and keyed, and hexadecimal digits.
 *
 * Threads: any.
 */
#ifndef VELOCITY_SERVER_AUTH_DIGEST_H
#define VELOCITY_SERVER_AUTH_DIGEST_H

#include "engine/velocity.h"

#define DIGEST_BYTES 32

void digest_of(velocity_slice bytes, uint8_t out[DIGEST_BYTES]);
/* HMAC-SHA-256 (RFC 2104). False: no memory. */
bool digest_keyed(const uint8_t key[DIGEST_BYTES], velocity_slice bytes, uint8_t out[DIGEST_BYTES]);

/* Writes 2 * size lower case digits and a NUL. */
void hex_write(const uint8_t *bytes, size_t size, char *out);
/* False unless the text is exactly 2 * size lower case digits. */
bool hex_read(velocity_slice text, uint8_t *out, size_t size);

#endif
