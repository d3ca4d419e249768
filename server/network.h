/*
 * network.h - an address, or a network of them, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32".
 */
#ifndef VELOCITY_SERVER_NETWORK_H
#define VELOCITY_SERVER_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct network {
    unsigned char bytes[16]; /* an IPv4 address as ::ffff:a.b.c.d */
    unsigned bits;           /* of them that count, from the left: 0 to 128 */
};

/* False where the text is no network; one with bits set beyond its length is none: most likely a slip. */
bool network_parse(const char *text, struct network *out);
/* IPv4, whether mapped into IPv6 or not. False for another family. */
bool network_has(const struct network *network, const struct sockaddr *address);

#endif
