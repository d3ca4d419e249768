/*
 * router.h - the one table of what the HTTP front answers: dispatch, 405 and Allow, body limits, who
 * may, what is recorded, names and the OpenAPI document come from it.
 */
#ifndef VELOCITY_HTTP_ROUTER_H
#define VELOCITY_HTTP_ROUTER_H

#include "engine/velocity.h"
#include "http/worker.h"
#include "server/service.h"

struct http_request;
struct problem;

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_PUT = 4,
    HTTP_POST = 8,
    HTTP_DELETE = 16,
    HTTP_PATCH = 32,
    HTTP_OPTIONS = 64, /* no route has it: admit.c answers it */
    HTTP_OTHER = 0,    /* matches no route */
};

enum route_body {
    BODY_NONE,          /* any body is too large */
    BODY_OPTIONAL,      /* up to max_value_bytes; none is an empty one */
    BODY_REQUIRED,      /* up to max_value_bytes; none: 411 */
    BODY_PIECES,        /* of any size, worked on piece by piece; none: 411 */
    BODY_FORM,          /* JSON of a few members: up to ROUTE_FORM_BYTES, of strangers less; none: 411 */
    BODY_FORM_OPTIONAL, /* the same; none is one without members */
};

#define ROUTE_FORM_BYTES 65536u
/* Where nobody has to be logged in: name and password, all of it escaped. So as many strangers as there may be
 * connections can't take all of max_inflight_bytes, which others' writes need. */
#define ROUTE_STRANGER_FORM_BYTES 8192u

/*
 * How a body of any size is worked on: it is collected until `ready`, then `work` runs on the executor, with no more of
 * it coming meanwhile; it takes off the body what it has done. What is left at the end is the handler's.
 */
struct route_pieces {
    uint64_t (*limit)(const struct http_request *request); /* of what is collected */
    bool (*ready)(struct http_request *request);
    void (*work)(struct http_request *request);
    void (*done)(struct http_request *request); /* on the worker; sets the reply where it can't go on */
    /* Adds to a problem, whoever found it, how far the request came. Only once `begin` has set the request's state. */
    void (*tell)(const struct http_request *request, struct problem *problem);
};

struct route {
    enum http_method method;
    const char *path; /* "{key}" at its end takes the rest, slashes and all; "{name}" takes one segment */
    enum route_body body;
    enum latency_class latency;
    struct service_action action; /* in_database: "/api/X" is also "/api/databases/{db}/X" */
    const char *summary;
    /* Before the body is read: what can be judged by then. False: refused, the reply is set. NULL: nothing. */
    bool (*begin)(struct http_request *request);
    /* Sets the reply, or has it set later; see request.h. */
    void (*handle)(struct http_request *request);
    const struct route_pieces *pieces; /* BODY_PIECES */
};

struct route_match {
    const struct route *route; /* NULL: nothing with this method and path */
    unsigned allowed;          /* methods that the path takes; 0: there is no such path */
    velocity_slice database;   /* raw, as in the path; empty: "default" */
    velocity_slice key;        /* raw rest of the path for "{key}", or the segment */
};

static inline bool route_needs_body(const struct route *route) {
    return route->body != BODY_NONE && route->body != BODY_OPTIONAL && route->body != BODY_FORM_OPTIONAL;
}

enum http_method http_method_parse(const char *name);
/* `path` is raw, before '?'. */
void route_find(enum http_method method, velocity_slice path, struct route_match *out);
/* "GET, HEAD, PUT" for a set of methods; `out` has ROUTE_ALLOW_BYTES. */
#define ROUTE_ALLOW_BYTES 64
void route_allow(unsigned methods, char *out);
/* The first row of the action, which there is. */
const struct route *route_of_action(const char *name);
/* The table, in its order. */
const struct route *route_table(size_t *count);

#endif
