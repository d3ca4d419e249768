/* listener.c - see listener.h. */
#include "server/listener.h"

#include "engine/status.h"
#include "server/address.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* The system lowers it to its own limit (net.core.somaxconn). */
#define BACKLOG 4096

static int listen_at(const struct address *address) {
    int fd = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Linux hands this on to accepted sockets: one system call less for each. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (address->socket.any.sa_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &address->socket.any, address->size) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

velocity_status listener_open(const char *text, int *fd, uint16_t *port) {
    struct address address, bound = {0};
    bound.size = sizeof bound.socket;
    if (!address_parse(text, &address))
        return status_set(VELOCITY_INVALID, "%s: not of the form ADDRESS:PORT, in numbers", text);
    *fd = listen_at(&address);
    if (*fd < 0) return status_set(VELOCITY_IO, "%s: cannot listen: %s", text, strerror(errno));
    if (getsockname(*fd, &bound.socket.any, &bound.size) == 0) {
        *port = address_port(&bound);
        return VELOCITY_OK;
    }
    int error = errno;
    (void)close(*fd);
    return status_set(VELOCITY_IO, "%s: cannot tell the port: %s", text, strerror(error));
}
