/* network.c - see network.h. All is IPv6: IPv4 stands in ::ffff:0:0/96. */
#include "server/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define V4_BITS 32u
#define V6_BITS 128u

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

/* One to three digits, and nothing else. */
static bool parse_length(const char *text, unsigned limit, unsigned *out) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || text[digits] != '\0') return false;
    *out = 0;
    for (size_t i = 0; i < digits; i++) *out = *out * 10 + (unsigned)(text[i] - '0');
    return *out <= limit;
}

static bool bit_is_set(const unsigned char *bytes, unsigned bit) {
    return bytes[bit / 8] >> (7 - bit % 8) & 1;
}

bool network_parse(const char *text, struct network *out) {
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    if (size >= sizeof host) return false;
    memcpy(host, text, size);
    host[size] = '\0';
    bool v4 = !strchr(host, ':');
    unsigned before = v4 ? V6_BITS - V4_BITS : 0;
    memcpy(out->bytes, mapped, sizeof mapped);
    if (inet_pton(v4 ? AF_INET : AF_INET6, host, out->bytes + before / 8) != 1) return false;
    out->bits = V6_BITS - before;
    if (slash && !parse_length(slash + 1, V6_BITS - before, &out->bits)) return false;
    out->bits += before;
    for (unsigned bit = out->bits; bit < V6_BITS; bit++)
        if (bit_is_set(out->bytes, bit)) return false;
    return true;
}

bool network_has(const struct network *network, const struct sockaddr *address) {
    unsigned char bytes[16];
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memcpy(bytes, mapped, sizeof mapped);
        memcpy(bytes + sizeof mapped, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(bytes, &v6.sin6_addr, sizeof bytes);
    } else {
        return false;
    }
    if (memcmp(network->bytes, bytes, network->bits / 8) != 0) return false;
    for (unsigned bit = network->bits / 8 * 8; bit < network->bits; bit++)
        if (bit_is_set(network->bytes, bit) != bit_is_set(bytes, bit)) return false;
    return true;
}
