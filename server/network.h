/*
 * network.h - addresses and ranges of addresses, as configuration and proxies write them. Pure functions.
 */
#ifndef VELOCITY_SERVER_NETWORK_H
#define VELOCITY_SERVER_NETWORK_H

#include "engine/velocity.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Every address as IPv6, IPv4 mapped (RFC 4291, section 2.5.5.2). */
struct network {
    struct in6_addr address;
    unsigned bits; /* of 128 that count */
};

#define NETWORK_TEXT_BYTES INET6_ADDRSTRLEN

/* "10.0.0.0/8", "192.0.2.1", "2001:db8::/32". False: none of these, or bits set behind the mask. */
bool network_parse(const char *text, struct network *out);
bool network_has(const struct network *network, const struct in6_addr *address);
/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". False: no address. */
bool network_address(velocity_slice text, struct in6_addr *out);
/* Of a socket's address; false: neither IPv4 nor IPv6. */
bool network_of_socket(const void *sockaddr, struct in6_addr *out);
bool network_is_loopback(const struct in6_addr *address);
/* "192.0.2.1" or "2001:db8::1". */
void network_format(const struct in6_addr *address, char out[NETWORK_TEXT_BYTES]);

#endif
