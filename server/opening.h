/*
 * opening.h - which protocol a connection speaks, by its first bytes.
 */
#ifndef VELOCITY_SERVER_OPENING_H
#define VELOCITY_SERVER_OPENING_H

#include <stddef.h>
#include <string.h>

#define OPENING_BYTES 4 /* that decide at the latest */

enum opening {
    OPENING_UNDECIDED, /* more bytes are needed: these may be HTTP's OPTIONS or the Velocity Protocol's magic */
    OPENING_HTTP,      /* and whatever else nobody knows: the HTTP front has words for it */
    OPENING_VELOCITY,
    OPENING_TLS, /* a record of type handshake (RFC 8446, 5.1) */
};

static inline enum opening opening_of(const void *bytes, size_t size) {
    static const unsigned char magic[OPENING_BYTES] = {0x4F, 0x4C, 0x45, 0x56};
    if (size == 0) return OPENING_UNDECIDED;
    if (*(const unsigned char *)bytes == 0x16) return OPENING_TLS;
    if (memcmp(bytes, magic, size < OPENING_BYTES ? size : OPENING_BYTES) != 0) return OPENING_HTTP;
    return size < OPENING_BYTES ? OPENING_UNDECIDED : OPENING_VELOCITY;
}

#endif
