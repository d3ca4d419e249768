/* address.c - see address.h. */
#include "server/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *out) {
    unsigned long port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') return false;
    for (size_t i = 0; i < digits; i++) port = port * 10 + (unsigned long)(text[i] - '0');
    if (port > UINT16_MAX) return false;
    *out = (uint16_t)port;
    return true;
}

bool address_parse(const char *text, struct address *out) {
    char host[INET6_ADDRSTRLEN];
    uint16_t port;
    bool bracketed = text[0] == '[';
    const char *host_start = text + bracketed;
    const char *host_end = bracketed ? strchr(text, ']') : strchr(text, ':');
    if (!host_end) return false;
    const char *colon = host_end + bracketed;
    size_t host_size = (size_t)(host_end - host_start);
    if (*colon != ':' || host_size >= sizeof host || !parse_port(colon + 1, &port)) return false;
    memcpy(host, host_start, host_size);
    host[host_size] = '\0';

    memset(out, 0, sizeof *out);
    if (bracketed) {
        out->socket.v6.sin6_family = AF_INET6;
        out->socket.v6.sin6_port = htons(port);
        out->size = sizeof out->socket.v6;
        return inet_pton(AF_INET6, host, &out->socket.v6.sin6_addr) == 1;
    }
    out->socket.v4.sin_family = AF_INET;
    out->socket.v4.sin_port = htons(port);
    out->size = sizeof out->socket.v4;
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &out->socket.v4.sin_addr) == 1;
}

bool address_is_loopback(const struct address *address) {
    if (address->socket.any.sa_family == AF_INET) return ntohl(address->socket.v4.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &address->socket.v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

uint16_t address_port(const struct address *address) {
    return ntohs(address->socket.any.sa_family == AF_INET ? address->socket.v4.sin_port : address->socket.v6.sin6_port);
}

void address_format(const struct address *address, uint16_t port, char out[ADDRESS_TEXT_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "";
    bool v4 = address->socket.any.sa_family == AF_INET;
    const void *bytes = v4 ? (const void *)&address->socket.v4.sin_addr : &address->socket.v6.sin6_addr;
    (void)inet_ntop(address->socket.any.sa_family, bytes, host, sizeof host);
    (void)snprintf(out, ADDRESS_TEXT_BYTES, v4 ? "%s:%u" : "[%s]:%u", host, (unsigned)port);
}
