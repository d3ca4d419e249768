/* network.c - see network.h. */
#include "server/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAPPED_BITS 96u

static void map(const struct in_addr *v4, struct in6_addr *out) {
    memset(out, 0, sizeof *out);
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(out->s6_addr + 12, v4, sizeof *v4);
}

/* *is_v4 says how many bits the text's own kind of address has. */
static bool parse(const char *text, struct in6_addr *out, bool *is_v4) {
    struct in_addr v4;
    *is_v4 = inet_pton(AF_INET, text, &v4) == 1;
    if (*is_v4) {
        map(&v4, out);
        return true;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

static bool rest_is_zero(const struct network *network) {
    for (unsigned bit = network->bits; bit < 128; bit++)
        if (network->address.s6_addr[bit / 8] & (0x80u >> bit % 8)) return false;
    return true;
}

bool network_parse(const char *text, struct network *out) {
    char address[NETWORK_TEXT_BYTES];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    bool is_v4;
    if (size >= sizeof address) return false;
    memcpy(address, text, size);
    address[size] = 0;
    if (!parse(address, &out->address, &is_v4)) return false;
    out->bits = 128;
    if (!slash) return true;
    char *end;
    unsigned most = is_v4 ? 32 : 128;
    if (slash[1] < '0' || slash[1] > '9') return false;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end || bits > most) return false;
    out->bits = (unsigned)bits + (is_v4 ? MAPPED_BITS : 0);
    return rest_is_zero(out);
}

bool network_has(const struct network *network, const struct in6_addr *address) {
    unsigned whole = network->bits / 8, bits = network->bits % 8;
    if (memcmp(network->address.s6_addr, address->s6_addr, whole) != 0) return false;
    if (!bits) return true;
    return ((network->address.s6_addr[whole] ^ address->s6_addr[whole]) >> (8 - bits)) == 0;
}

/* ":80", or nothing. */
static bool is_port(const char *text) {
    if (!*text) return true;
    if (*text++ != ':' || !*text) return false;
    return strlen(text) <= 5 && strspn(text, "0123456789") == strlen(text);
}

bool network_address(velocity_slice slice, struct in6_addr *out) {
    char text[NETWORK_TEXT_BYTES + 10], *colon;
    bool is_v4;
    if (slice.size == 0 || slice.size >= sizeof text || memchr(slice.data, 0, slice.size)) return false;
    memcpy(text, slice.data, slice.size);
    text[slice.size] = 0;
    if (text[0] == '[') {
        char *bracket = strchr(text, ']');
        if (!bracket || !is_port(bracket + 1)) return false;
        *bracket = 0;
        return inet_pton(AF_INET6, text + 1, out) == 1;
    }
    colon = strchr(text, ':');
    if (colon && !strchr(colon + 1, ':')) { /* one colon: an IPv4 address with a port */
        if (!is_port(colon)) return false;
        *colon = 0;
        return parse(text, out, &is_v4) && is_v4;
    }
    return parse(text, out, &is_v4);
}

bool network_of_socket(const void *sockaddr, struct in6_addr *out) {
    const struct sockaddr *any = sockaddr;
    if (any->sa_family == AF_INET) {
        map(&((const struct sockaddr_in *)sockaddr)->sin_addr, out);
        return true;
    }
    if (any->sa_family != AF_INET6) return false;
    *out = ((const struct sockaddr_in6 *)sockaddr)->sin6_addr;
    return true;
}

bool network_is_loopback(const struct in6_addr *address) {
    if (IN6_IS_ADDR_V4MAPPED(address)) return address->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(address);
}

void network_format(const struct in6_addr *address, char out[NETWORK_TEXT_BYTES]) {
    if (IN6_IS_ADDR_V4MAPPED(address))
        (void)inet_ntop(AF_INET, address->s6_addr + 12, out, NETWORK_TEXT_BYTES);
    else
        (void)inet_ntop(AF_INET6, address, out, NETWORK_TEXT_BYTES);
}
