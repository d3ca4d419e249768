/*
 * listener.h - a socket that listens.
 */
#ifndef VELOCITY_SERVER_LISTENER_H
#define VELOCITY_SERVER_LISTENER_H

#include "engine/velocity.h"

/* Listens at "127.0.0.1:2005", "[::1]:2005" or "localhost:2005"; port 0: a free one. *fd is non-blocking and
 * close-on-exec; what it accepts has TCP_NODELAY. INVALID: the address cannot be read; IO: it cannot be bound. */
VELOCITY_CHECK_RESULT velocity_status listener_open(const char *address, int *fd, uint16_t *port);

#endif
