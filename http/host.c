/*
 * host.c - the Host field and what is a loopback name, see headers.h. Pure functions.
 *
 * Why it matters: a page of any site can make a browser send requests to 127.0.0.1 under that site's own name ("DNS
 * rebinding"). Such a request says so in Host, and nowhere else.
 */
#include <arpa/inet.h>
#include <string.h>

#include "http/headers.h"

#define PORT_MAX_DIGITS 5

/* ":" and digits, or nothing. An empty port (RFC 3986 allows "host:") is none. */
static bool parse_port(velocity_slice text, struct host *out) {
    const unsigned char *p = text.data;
    uint32_t port = 0;
    if (text.size == 0) return true;
    if (p[0] != ':' || text.size > 1 + PORT_MAX_DIGITS) return false;
    for (size_t i = 1; i < text.size; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        port = port * 10 + (uint32_t)(p[i] - '0');
    }
    if (port > UINT16_MAX) return false;
    out->has_port = text.size > 1;
    out->port = (uint16_t)port;
    return true;
}

static bool parse_ipv6(velocity_slice name, struct in6_addr *out) {
    char text[INET6_ADDRSTRLEN];
    if (name.size == 0 || name.size >= sizeof text || memchr(name.data, 0, name.size)) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    return inet_pton(AF_INET6, text, out) == 1;
}

static bool is_name_char(unsigned char c) {
    unsigned char lower = c | 0x20;
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || c == '.' || c == '-' || c == '_';
}

bool host_parse(velocity_slice value, struct host *out) {
    velocity_slice text = header_trim(value);
    const char *p = text.data, *bracket;
    size_t end = 0;
    *out = (struct host){.name = text};
    if (text.size && p[0] == '[') {
        struct in6_addr address;
        bracket = memchr(p, ']', text.size);
        if (!bracket) return false;
        end = (size_t)(bracket - p) + 1;
        out->name = velocity_bytes(p + 1, end - 2);
        out->ipv6 = true;
        return parse_ipv6(out->name, &address) && parse_port(velocity_bytes(p + end, text.size - end), out);
    }
    while (end < text.size && is_name_char((unsigned char)p[end])) end++;
    out->name.size = end > 1 && p[end - 1] == '.' ? end - 1 : end;
    if (end == 0 || p[0] == '.') return false;
    return parse_port(velocity_bytes(p + end, text.size - end), out);
}

/* Four numbers up to 255 without leading zeros: "127.1" and "0177.0.0.1" are names, whatever some resolvers make of
 * them. */
static bool is_ipv4_loopback(velocity_slice name) {
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (name.size >= sizeof text) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool host_is_loopback(const struct host *h) {
    struct in6_addr address;
    if (h->ipv6) return parse_ipv6(h->name, &address) && IN6_IS_ADDR_LOOPBACK(&address);
    return header_is(h->name, "localhost") || is_ipv4_loopback(h->name);
}

bool host_is(const struct host *h, const char *allowed) {
    return header_is(h->name, allowed);
}
