/* tls_link.c - see tls_link.h. */
#include "server/tls_link.h"

#include "server/opening.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_MAX 64u /* buffers that a thread keeps */

/* ---- buffers ---------------------------------------------------------------------------------------------------- */

/* A spare buffer begins with a pointer to the next one. */
static unsigned char *take_buffer(struct link_loop *loop) {
    unsigned char *buffer = loop->spare;
    if (!buffer) return malloc(LINK_BUFFER_BYTES);
    memcpy(&loop->spare, buffer, sizeof loop->spare);
    loop->spare_count--;
    return buffer;
}

static void free_buffer(unsigned char *buffer) {
    explicit_bzero(buffer, LINK_BUFFER_BYTES); /* what was in it went through TLS for a reason */
    free(buffer);
}

static void give_back(struct link_loop *loop, struct link_stream *stream) {
    if (!stream->bytes) return;
    if (loop->spare_count < SPARE_MAX) {
        memcpy(stream->bytes, &loop->spare, sizeof loop->spare);
        loop->spare = stream->bytes;
        loop->spare_count++;
    } else {
        free_buffer(stream->bytes);
    }
    stream->bytes = NULL;
    stream->start = stream->size = 0;
}

void link_free_spare(struct link_loop *loop) {
    while (loop->spare) {
        unsigned char *buffer = take_buffer(loop);
        free_buffer(buffer);
    }
}

static void advance(struct link_stream *stream, size_t count) {
    stream->start += count;
    stream->size -= count;
}

/* ---- begin and end ---------------------------------------------------------------------------------------------- */

struct link *link_new(struct link_counters *counters, int fd, struct peer *peer) {
    struct link *link = calloc(1, sizeof *link);
    if (!link) return NULL;
    link->peer = peer;
    link->outer = (struct link_end){.link = link, .fd = fd};
    link->inner = (struct link_end){.link = link, .fd = -1};
    atomic_fetch_add(&counters->open, 1);
    return link;
}

static void close_link(struct link *link, struct link_counters *counters) {
    struct linger reset = {.l_onoff = 1};
    tls_session_free(link->session);
    link->session = NULL;
    if (atomic_load(&link->peer->unframed))
        (void)setsockopt(link->outer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(link->outer.fd);
    if (link->inner.fd >= 0) (void)close(link->inner.fd);
    peer_free(link->peer);
    atomic_fetch_sub(&counters->open, 1);
}

void link_drop(struct link *link, struct link_counters *counters) {
    close_link(link, counters);
    free(link);
}

static void end_link(struct link *link) {
    struct link_loop *loop = link->loop;
    deadline_clear(&link->deadline);
    give_back(loop, &link->up);
    give_back(loop, &link->down);
    close_link(link, loop->counters);
    link->phase = LINK_ENDED;
    if (link->next) link->next->previous = link->previous;
    if (link->previous)
        link->previous->next = link->next;
    else
        loop->links = link->next;
    link->next = loop->ended;
    loop->ended = link;
}

static void end_handshake(struct link *link) {
    struct logger *log = link->loop->options->log;
    if (log && logger_wants(log, LOGGER_LEVEL_DEBUG))
        logger_event(log, LOGGER_LEVEL_DEBUG, "tls_failed", logger_text("address", link->peer->text),
                     logger_text("reason", link->session ? tls_session_error(link->session) : "no memory"));
    atomic_fetch_add(&link->loop->counters->failed, 1);
    end_link(link);
}

void link_reap(struct link_loop *loop) {
    while (loop->ended) {
        struct link *link = loop->ended;
        loop->ended = link->next;
        free(link);
    }
}

/* ---- carrying --------------------------------------------------------------------------------------------------- */

/* What the client has left to take must be gone by the deadline. */
static void begin_flush(struct link *link) {
    if (!link->deadline.next) deadline_set(&link->loop->deadlines, &link->deadline, deadline_now_us());
}

/* Nobody reads what comes up any more. */
static void front_is_gone(struct link *link) {
    give_back(link->loop, &link->up);
    link->up.done = true;
    link->up.wants = 0;
    begin_flush(link);
}

static unsigned want_outer(enum tls_result result) {
    return result == TLS_WANT_READ ? WANT_OUTER_IN : WANT_OUTER_OUT;
}

/* False: the front takes no more now, or has gone. */
static bool write_up(struct link *link) {
    struct link_stream *up = &link->up;
    while (up->size) {
        ssize_t sent = send(link->inner.fd, up->bytes + up->start, up->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            advance(up, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            up->wants = WANT_INNER_OUT;
            return false;
        } else if (errno != EINTR) {
            front_is_gone(link);
            return false;
        }
    }
    return true;
}

static void received(struct link *link, size_t count) {
    /* Before the front can see them: its sweep must not find an answered request's bytes later than its answer. */
    atomic_fetch_add_explicit(&link->peer->bytes_received, count, memory_order_relaxed);
}

static void carry_up(struct link *link) {
    struct link_stream *up = &link->up;
    for (size_t carried = 0;;) {
        if (!write_up(link)) return;
        if (up->source_ended) {
            give_back(link->loop, up);
            (void)shutdown(link->inner.fd, SHUT_WR);
            up->done = true;
            up->wants = 0;
            return;
        }
        /* What is decrypted already is carried whatever the turn's share is: the descriptor won't tell of it again. */
        if (carried >= LINK_TURN_BYTES && !tls_session_pending(link->session)) break;
        if (!up->bytes && !(up->bytes = take_buffer(link->loop))) {
            end_link(link);
            return;
        }
        size_t count = 0;
        enum tls_result result = tls_read(link->session, up->bytes, LINK_BUFFER_BYTES, &count);
        if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
            give_back(link->loop, up);
            up->wants = want_outer(result);
            return;
        }
        if (result == TLS_FAILED) {
            end_link(link);
            return;
        }
        up->source_ended = result == TLS_CLOSED;
        up->start = 0;
        up->size = count;
        received(link, count);
        /* A record that ends early is mostly the last for now: asking again would cost a system call. */
        carried = count < LINK_BUFFER_BYTES ? LINK_TURN_BYTES : carried + count;
    }
    give_back(link->loop, up);
    up->wants = WANT_OUTER_IN;
}

/* False: the client takes no more now, or the link has ended. */
static bool write_down(struct link *link) {
    struct link_stream *down = &link->down;
    while (down->size) {
        size_t count = 0;
        enum tls_result result = tls_write(link->session, down->bytes + down->start, down->size, &count);
        if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
            down->wants = want_outer(result);
            return false;
        }
        if (result != TLS_DONE) {
            end_link(link);
            return false;
        }
        advance(down, count);
    }
    return true;
}

static void close_down(struct link *link) {
    struct link_stream *down = &link->down;
    give_back(link->loop, down);
    enum tls_result result = tls_close(link->session);
    if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
        down->wants = want_outer(result);
        return;
    }
    (void)shutdown(link->outer.fd, SHUT_WR);
    down->done = true;
    down->wants = 0;
}

static void carry_down(struct link *link) {
    struct link_stream *down = &link->down;
    for (size_t carried = 0;;) {
        if (!write_down(link)) return;
        if (down->source_ended) {
            if (atomic_load(&link->peer->unframed))
                end_link(link); /* before its reply is whole: the end of TLS would be taken for the reply's */
            else
                close_down(link);
            return;
        }
        if (carried >= LINK_TURN_BYTES) break;
        if (!down->bytes && !(down->bytes = take_buffer(link->loop))) {
            end_link(link);
            return;
        }
        ssize_t got = recv(link->inner.fd, down->bytes, LINK_BUFFER_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (got <= 0) { /* ECONNRESET: it closed without having read all; what it said before was read here */
            down->source_ended = true;
            begin_flush(link);
            continue;
        }
        down->start = 0;
        down->size = (size_t)got;
        carried = down->size < LINK_BUFFER_BYTES ? LINK_TURN_BYTES : carried + down->size;
    }
    give_back(link->loop, down);
    down->wants = WANT_INNER_IN;
}

/* ---- handshake and first bytes ---------------------------------------------------------------------------------- */

static void hand_over(struct link *link, const struct acceptor_front *front) {
    int pair[2];
    if (!front->take || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        end_link(link);
        return;
    }
    deadline_clear(&link->deadline);
    link->inner.fd = pair[0];
    link->phase = LINK_CARRYING;
    link->down.wants = WANT_INNER_IN;
    front->take(front->arg, pair[1], peer_acquire(link->peer));
    carry_up(link);
}

/* No ALPN: what the client says first tells. */
static void read_opening(struct link *link) {
    struct link_stream *up = &link->up;
    const struct tls_relay_options *options = link->loop->options;
    enum opening opening = OPENING_UNDECIDED;
    while (opening == OPENING_UNDECIDED) {
        size_t count = 0;
        if (!up->bytes && !(up->bytes = take_buffer(link->loop))) {
            end_link(link);
            return;
        }
        enum tls_result result = tls_read(link->session, up->bytes + up->size, LINK_BUFFER_BYTES - up->size, &count);
        if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
            if (up->size == 0) give_back(link->loop, up);
            up->wants = want_outer(result);
            return;
        }
        if (result != TLS_DONE) {
            end_link(link);
            return;
        }
        up->size += count;
        received(link, count);
        opening = opening_of(up->bytes, up->size);
    }
    hand_over(link, opening == OPENING_VELOCITY ? &options->velocity : &options->http);
}

static void shake_hands(struct link *link) {
    const struct tls_relay_options *options = link->loop->options;
    enum tls_result result = tls_handshake(link->session);
    if (result == TLS_WANT_READ || result == TLS_WANT_WRITE) {
        link->up.wants = want_outer(result);
        return;
    }
    if (result != TLS_DONE) {
        end_handshake(link);
        return;
    }
    atomic_fetch_add(&link->loop->counters->handshakes, 1);
    link->peer->tls = true;
    tls_session_client(link->session, link->peer->certificate, sizeof link->peer->certificate);
    switch (tls_session_protocol(link->session)) {
    case TLS_PROTOCOL_HTTP: hand_over(link, &options->http); break;
    case TLS_PROTOCOL_VELOCITY: hand_over(link, &options->velocity); break;
    case TLS_PROTOCOL_NONE:
        link->phase = LINK_OPENING;
        deadline_set(&link->loop->deadlines, &link->deadline, deadline_now_us());
        read_opening(link);
        break;
    }
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* False: the system refuses. */
static bool watch(struct link_end *end, uint32_t events) {
    if (end->fd < 0) return true;
    if (events == 0) events = EPOLLET;
    if (events == end->events) return true;
    struct epoll_event event = {.events = events, .data.ptr = end};
    int how = end->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(end->link->loop->epoll, how, end->fd, &event) != 0) return false;
    end->events = events;
    return true;
}

/* After every step: watches for what the streams want now. */
static void settle(struct link *link) {
    unsigned wants = link->up.wants | link->down.wants;
    if (link->phase == LINK_ENDED) return;
    if ((link->up.done && link->down.done) ||
        !watch(&link->outer, (wants & WANT_OUTER_IN ? EPOLLIN : 0u) | (wants & WANT_OUTER_OUT ? EPOLLOUT : 0u)) ||
        !watch(&link->inner, (wants & WANT_INNER_IN ? EPOLLIN : 0u) | (wants & WANT_INNER_OUT ? EPOLLOUT : 0u)))
        end_link(link);
}

void link_begin(struct link *link, struct link_loop *loop) {
    link->loop = loop;
    link->next = loop->links;
    if (loop->links) loop->links->previous = link;
    loop->links = link;
    deadline_set(&loop->deadlines, &link->deadline, deadline_now_us());
    link->session = tls_session_new(loop->options->tls, link->outer.fd);
    if (!link->session) {
        end_handshake(link);
        return;
    }
    /* The hello is there mostly, but its turn comes with the other events: many at once would hold up all others. */
    link->up.wants = WANT_OUTER_IN;
    settle(link);
}

static void carry(struct link *link, unsigned can) {
    if (link->up.wants & can) carry_up(link);
    if (link->phase != LINK_ENDED && (link->down.wants & can)) carry_down(link);
}

void link_event(struct link_end *event_end, uint32_t events) {
    struct link *link = event_end->link;
    bool inner = event_end == &link->inner, broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
    unsigned can = 0;
    if (events & EPOLLIN) can |= inner ? WANT_INNER_IN : WANT_OUTER_IN;
    if (events & EPOLLOUT) can |= inner ? WANT_INNER_OUT : WANT_OUTER_OUT;
    if (broken && inner) can |= WANT_INNER_IN;
    switch (link->phase) {
    case LINK_ENDED: return;
    case LINK_HANDSHAKE:
        if (broken)
            end_handshake(link);
        else
            shake_hands(link);
        break;
    case LINK_OPENING:
        if (broken)
            end_link(link);
        else
            read_opening(link);
        break;
    case LINK_CARRYING:
        if (broken && !inner) {
            end_link(link);
            break;
        }
        if (broken) front_is_gone(link);
        carry(link, can);
        break;
    }
    settle(link);
}

void link_expire(struct link_loop *loop, uint64_t now_us) {
    struct deadline *due;
    while ((due = deadline_take(&loop->deadlines, now_us))) {
        struct link *link = (struct link *)(void *)due;
        if (link->phase != LINK_CARRYING) atomic_fetch_add(&loop->counters->timed_out, 1);
        end_link(link);
    }
}

void link_drain(struct link_loop *loop) {
    for (struct link *link = loop->links, *next; link; link = next) {
        next = link->next;
        if (link->phase != LINK_CARRYING) end_link(link);
    }
}

void link_stop(struct link_loop *loop) {
    for (struct link *link = loop->links, *next; link; link = next) {
        struct pollfd front = {.fd = link->inner.fd};
        next = link->next;
        /* Asked for nothing, it tells of an end only. */
        if (link->phase != LINK_CARRYING || poll(&front, 1, 0) != 1) end_link(link);
    }
}

void link_end_all(struct link_loop *loop) {
    while (loop->links) end_link(loop->links);
}
