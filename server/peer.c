/* peer.c - see peer.h. */
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void read_v4(struct peer *peer, const struct sockaddr_in *v4) {
    memcpy(&peer->address, v4, sizeof *v4);
    peer->loopback = ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    (void)inet_ntop(AF_INET, &v4->sin_addr, peer->text, sizeof peer->text);
}

static void read_v6(struct peer *peer, const struct sockaddr_in6 *v6) {
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};
        memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
        read_v4(peer, &v4);
        return;
    }
    memcpy(&peer->address, v6, sizeof *v6);
    peer->loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    (void)inet_ntop(AF_INET6, &v6->sin6_addr, peer->text, sizeof peer->text);
}

struct peer *peer_new(const struct sockaddr *address, socklen_t size) {
    struct peer *peer = calloc(1, sizeof *peer);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } known = {0};
    if (!peer) return NULL;
    atomic_init(&peer->references, 1);
    memcpy(peer->text, "unknown", sizeof "unknown");
    memcpy(&known, address, size < sizeof known ? size : sizeof known);
    if (known.any.sa_family == AF_INET && size >= sizeof known.v4)
        read_v4(peer, &known.v4);
    else if (known.any.sa_family == AF_INET6 && size >= sizeof known.v6)
        read_v6(peer, &known.v6);
    return peer;
}

struct peer *peer_acquire(struct peer *peer) {
    atomic_fetch_add_explicit(&peer->references, 1, memory_order_relaxed);
    return peer;
}

void peer_free(struct peer *peer) {
    if (!peer || atomic_fetch_sub_explicit(&peer->references, 1, memory_order_acq_rel) != 1) return;
    if (peer->release) peer->release(peer);
    free(peer);
}

socklen_t peer_address_size(const struct peer *peer) {
    switch (peer->address.ss_family) {
    case AF_INET: return sizeof(struct sockaddr_in);
    case AF_INET6: return sizeof(struct sockaddr_in6);
    default: return sizeof(sa_family_t);
    }
}
