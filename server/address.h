/*
 * address.h - the address that a server listens on, as a person writes it: "127.0.0.1:2005", "[::1]:2005" or
 * "localhost:2005". Numbers only: a start must not depend on a name server.
 */
#ifndef VELOCITY_SERVER_ADDRESS_H
#define VELOCITY_SERVER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t size; /* of the member in use */
};

#define ADDRESS_TEXT_BYTES 64 /* holds every text that address_format writes */

/* False where the text is no address with a port (0 to 65535; 0: any free one). */
bool address_parse(const char *text, struct address *out);
/* Whether only this machine can reach it: 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool address_is_loopback(const struct address *address);
uint16_t address_port(const struct address *address);
/* Writes the address with `port` in place of its own, the form that address_parse reads. */
void address_format(const struct address *address, uint16_t port, char out[ADDRESS_TEXT_BYTES]);

#endif
