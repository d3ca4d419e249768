/* redis_link.c - see redis_link.h. */
#include "cli/redis_link.h"
#include "server/decimal.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_PORT  "6379"
#define TIMEOUT_S     60
#define URL_MAX_BYTES 1024
#define LINE_BYTES    160

static bool fail(struct redis_link *link, const char *what, const char *why) {
    (void)snprintf(link->message, sizeof link->message, "%s%s%.120s", what, why ? ": " : "", why ? why : "");
    return false;
}

/* ---- the URL ---------------------------------------------------------------------------------------------------- */

struct place {
    char text[URL_MAX_BYTES]; /* what the others point into */
    const char *user, *password, *host, *port, *database;
};

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | ('A' <= c && c <= 'F' ? 0x20 : 0)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Percent escapes, where they stand, as redis-cli has them. False: one is none. */
static bool unescape(char *text) {
    char *out = text;
    for (char *p = text; *p; p++) {
        if (*p != '%') {
            *out++ = *p;
            continue;
        }
        int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);
        if (low < 0 || high + low == 0) return false;
        *out++ = (char)(high << 4 | low);
        p += 2;
    }
    *out = 0;
    return true;
}

static bool take_place(struct redis_link *link, const char *url, struct place *p) {
    static const char scheme[] = "redis://";
    *p = (struct place){.port = DEFAULT_PORT};
    if (strncmp(url, "rediss://", 9) == 0)
        return fail(link, "Redis over TLS is not spoken here: give it redis:// through a tunnel", NULL);
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || strlen(url) >= sizeof p->text)
        return fail(link, "it is no URL such as redis://localhost:6379/0", NULL);
    strcpy(p->text, url + sizeof scheme - 1);
    char *rest = p->text, *at = strrchr(rest, '@'), *slash;
    if (at) {
        char *colon = strchr(rest, ':');
        *at = 0;
        if (!colon || colon > at) return fail(link, "before the @ stand a user, a colon and a password", NULL);
        *colon = 0;
        if (!unescape(rest) || !unescape(colon + 1)) return fail(link, "in user and password a % is written %25", NULL);
        p->user = rest;
        p->password = colon + 1;
        rest = at + 1;
    }
    if ((slash = strchr(rest, '/'))) {
        *slash = 0;
        p->database = slash[1] ? slash + 1 : NULL;
    }
    char *bracket = *rest == '[' ? strchr(rest, ']') : NULL, *colon = strrchr(bracket ? bracket : rest, ':');
    p->host = bracket ? rest + 1 : rest;
    if (colon) {
        p->port = colon + 1;
        *colon = 0;
    }
    if (bracket) *bracket = 0;
    if (!*p->host) p->host = "localhost";
    return true;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static bool send_all(struct redis_link *link) {
    const char *p = link->out.data;
    size_t left = link->out.size;
    if (link->out.failed) return fail(link, "no memory", NULL);
    while (left) {
        ssize_t sent = send(link->fd, p, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return fail(link, "Redis does not take what is asked", strerror(errno));
        p += sent;
        left -= (size_t)sent;
    }
    json_writer_clear(&link->out);
    return true;
}

static bool fill(struct redis_link *link) {
    ssize_t got;
    if (link->out.size && !send_all(link)) return false;
    do got = recv(link->fd, link->buffer, sizeof link->buffer, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return fail(link, "Redis does not answer", strerror(errno));
    if (got == 0) return fail(link, "Redis has ended the connection", NULL);
    link->at = 0;
    link->end = (size_t)got;
    return true;
}

/* Without its end; what is longer than the line is cut. */
static bool read_line(struct redis_link *link, char line[LINE_BYTES]) {
    size_t size = 0;
    for (;;) {
        if (link->at == link->end && !fill(link)) return false;
        char c = link->buffer[link->at++];
        if (c == '\n') break;
        if (c != '\r' && size < LINE_BYTES - 1) line[size++] = c;
    }
    line[size] = 0;
    return true;
}

static bool read_bulk(struct redis_link *link, size_t size, struct json_writer *bulk) {
    char end[LINE_BYTES];
    json_writer_clear(bulk);
    while (size) {
        if (link->at == link->end && !fill(link)) return false;
        size_t piece = link->end - link->at < size ? link->end - link->at : size;
        json_append(bulk, link->buffer + link->at, piece);
        link->at += piece;
        size -= piece;
    }
    if (bulk->failed) return fail(link, "no memory for a value of its size", NULL);
    return read_line(link, end) && (!*end || fail(link, "Redis does not answer as Redis does", NULL));
}

/* ---- commands and replies --------------------------------------------------------------------------------------- */

void redis_command(struct redis_link *link, size_t count, const velocity_slice *words) {
    char head[32];
    json_append(&link->out, head, (size_t)snprintf(head, sizeof head, "*%zu\r\n", count));
    for (size_t i = 0; i < count; i++) {
        json_append(&link->out, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", words[i].size));
        json_append(&link->out, words[i].data, words[i].size);
        json_append(&link->out, "\r\n", 2);
    }
}

bool redis_read(struct redis_link *link, struct redis_reply *out, struct json_writer *bulk) {
    char line[LINE_BYTES];
    char *end;
    *out = (struct redis_reply){0};
    if ((link->out.size || link->out.failed) && !send_all(link)) return false;
    if (!read_line(link, line)) return false;
    (void)snprintf(out->text, sizeof out->text, "%.127s", *line ? line + 1 : "");
    switch (*line) {
    case '+': out->kind = REDIS_STATUS; return true;
    case '-': out->kind = REDIS_ERROR; return true;
    default: break;
    }
    errno = 0;
    out->number = *line ? strtoll(line + 1, &end, 10) : 0;
    if (!*line || errno || end == line + 1 || *end) return fail(link, "Redis does not answer as Redis does", NULL);
    if (*line == ':') {
        out->kind = REDIS_INTEGER;
    } else if (*line == '*' || *line == '$') {
        out->kind = out->number < 0 ? REDIS_NULL : *line == '*' ? REDIS_ARRAY : REDIS_BULK;
    } else {
        return fail(link, "Redis does not answer as Redis does", NULL);
    }
    if (out->kind != REDIS_BULK) return true;
    if ((uint64_t)out->number > REDIS_BULK_MAX) return fail(link, "Redis does not answer as Redis does", NULL);
    out->bulk_bytes = (size_t)out->number;
    return read_bulk(link, out->bulk_bytes, bulk);
}

bool redis_refusal(struct redis_link *link, const char *text) {
    bool cluster = strncmp(text, "MOVED ", 6) == 0 || strncmp(text, "ASK ", 4) == 0;
    bool stranger = strncmp(text, "NOAUTH ", 7) == 0;
    (void)snprintf(link->message, sizeof link->message, "Redis refuses: %.120s%s", text,
                   cluster    ? "; import from each master of the cluster"
                   : stranger ? "; a password stands in the URL, or in REDISCLI_AUTH"
                              : "");
    return false;
}

/* One that answers OK. */
static bool order(struct redis_link *link, size_t count, const velocity_slice *words) {
    struct redis_reply reply;
    struct json_writer none = {0};
    redis_command(link, count, words);
    bool good = redis_read(link, &reply, &none);
    json_writer_free(&none);
    return good && (reply.kind != REDIS_ERROR || redis_refusal(link, reply.text));
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

static bool connect_link(struct redis_link *link, const struct place *p) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct timeval patience = {.tv_sec = TIMEOUT_S};
    int result = getaddrinfo(p->host, p->port, &hints, &found);
    if (result) return fail(link, p->host, gai_strerror(result));
    for (struct addrinfo *a = found; a && link->fd < 0; a = a->ai_next) {
        link->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (link->fd < 0) continue;
        (void)setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(link->fd, a->ai_addr, a->ai_addrlen) == 0) break;
        int why = errno;
        (void)close(link->fd);
        link->fd = -1;
        errno = why;
    }
    if (link->fd < 0)
        (void)snprintf(link->message, sizeof link->message, "Redis can't be reached at %.120s:%.10s: %s", p->host,
                       p->port, strerror(errno));
    freeaddrinfo(found);
    return link->fd >= 0;
}

bool redis_open(struct redis_link *link, const char *url) {
    struct place p;
    *link = (struct redis_link){.fd = -1};
    if (!take_place(link, url, &p)) return false;
    const char *password = p.password ? p.password : getenv("REDISCLI_AUTH"); /* as redis-cli has it */
    bool good = connect_link(link, &p);
    if (good && password) {
        velocity_slice words[3] = {velocity_str("AUTH"), velocity_str(p.user ? p.user : ""), velocity_str(password)};
        bool named = words[1].size > 0;
        if (!named) words[1] = words[2];
        good = order(link, named ? 3 : 2, words);
    }
    if (good && p.database) {
        velocity_slice words[2] = {velocity_str("SELECT"), velocity_str(p.database)};
        good = order(link, 2, words);
    }
    explicit_bzero(&p, sizeof p);
    return good;
}

void redis_close(struct redis_link *link) {
    if (link->fd >= 0) (void)close(link->fd);
    json_writer_free(&link->out);
    link->fd = -1;
}
