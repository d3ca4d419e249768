/*
 * hardware_gcm.h - AES-256-GCM (NIST SP 800-38D) by the instructions that CPUs have for it, where they have them; where
 * not, cipher.c asks mbedTLS. A block of 4 KiB takes 1.7 us here, and 24 by mbedTLS 2.28: many times what reading and
 * unpacking it takes.
 *
 * Neither branches nor addresses depend on keys or data. An expanded key does not change: any number of threads may use
 * it at once. hardware_gcm_test.c holds it against mbedTLS and against published vectors.
 */
#ifndef VELOCITY_HARDWARE_GCM_H
#define VELOCITY_HARDWARE_GCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HARDWARE_GCM_ROUNDS = 14, HARDWARE_GCM_POWERS = 8 };

struct hardware_gcm_key {
    _Alignas(16) uint8_t rounds[HARDWARE_GCM_ROUNDS + 1][16]; /* AES's */
    _Alignas(16) uint8_t powers[HARDWARE_GCM_POWERS][16];     /* of the hash key: first, second ... eighth */
};

/* One message. `to` may be `from`. */
struct hardware_gcm_message {
    const uint8_t *nonce; /* 12 bytes */
    const uint8_t *bound;
    size_t bound_bytes;
    const uint8_t *from;
    uint8_t *to;
    size_t bytes;
};

/* The others need it. */
bool hardware_gcm_available(void);
void hardware_gcm_expand(struct hardware_gcm_key *out, const uint8_t key[32]);
/* *tag: over what is bound and the encrypted side of the message, which is `to` if `encrypt`, else `from`. */
void hardware_gcm_run(const struct hardware_gcm_key *key, const struct hardware_gcm_message *m, bool encrypt,
                      uint8_t tag[16]);

#endif
