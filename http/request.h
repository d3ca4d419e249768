/*
 * request.h - one HTTP request from its first line to its last byte answered.
 *
 *     NEW --headers--> BODY --all of it--> route->handle --reply set--> ANSWERED
 *      |                |                     |                            ^
 *      |                |                     +--request_run--> WAITING --finish
 *      +--refused-------+--> REFUSED (the body is passed over, then the reply goes out)
 *                       +--> LINGERING (the reply went out already; the rest is passed over, then the end)
 *
 * A request takes its small memory from `scratch`, which ends with it. It lives until both libmicrohttpd's request and
 * the response whose body it holds have ended (`references`), then its worker keeps it for reuse.
 *
 * Threads: the worker's, but between service_start and service.done, when it is the service's.
 */
#ifndef VELOCITY_HTTP_REQUEST_H
#define VELOCITY_HTTP_REQUEST_H

#include "http/body.h"
#include "http/connection.h"
#include "http/inspect.h"
#include "http/problem.h"
#include "http/router.h"
#include "http/target.h"
#include "http/worker.h"
#include "server/json_write.h"
#include "server/scratch.h"
#include "server/service.h"

#define HTTP_MAX_KEY_BYTES    16384u
#define REQUEST_ID_MAX_BYTES  128u
#define REPLY_HEADERS         6
#define REQUEST_SCRATCH_BYTES 6144u

enum request_stage {
    REQUEST_NEW,
    REQUEST_BODY,
    REQUEST_REFUSED,
    REQUEST_LINGERING,
    REQUEST_WAITING,
    REQUEST_ANSWERED,
};

struct reply_header {
    const char *name, *value; /* NUL-terminated; live as long as the request */
};

struct reply {
    unsigned status;
    const char *content_type; /* NULL: none */
    struct reply_header headers[REPLY_HEADERS];
    size_t header_count;
    velocity_slice body; /* lives as long as the request */
    bool close;          /* the connection ends with it */
};

struct http_request {
    struct http_request *next; /* in worker->unused or worker->finished */
    struct worker *worker;
    struct http_server *server;
    struct MHD_Connection *mhd;
    struct connection *connection;
    uint32_t references;
    bool resumed; /* see worker.h */
    enum request_stage stage;
    uint64_t begun_us;
    velocity_slice raw_target; /* in scratch */
    const char *raw_end;       /* libmicrohttpd's target, where its NUL stands */
    struct target target;
    enum http_method method;
    struct request_headers headers;
    struct route_match match;
    const char *id; /* the request id, NUL-terminated */
    char own_id[32];
    struct body body;
    void (*finish)(struct http_request *request); /* after request_run: looks at service and sets the reply */
    struct reply reply;
    struct json_writer writer; /* of the reply's body, if it is JSON */
    void *state;               /* the handler's, in scratch */
    struct service_request service;
    struct scratch scratch;
    unsigned char first_scratch[REQUEST_SCRATCH_BYTES];
};

/* NULL: no memory. */
struct http_request *request_new(struct worker *worker);
void request_release(struct http_request *request);
void request_free(struct http_request *request);

/* Hands request->service over. `finish` runs at once, or when the answer is there. */
void request_run(struct http_request *request, void (*finish)(struct http_request *request));

/* False: the key is missing or impossible, and the reply says so. Takes the path's key, or else the parameter key64.
 * Other parameters are refused. */
bool request_key(struct http_request *request, velocity_slice *key);
/* Where only these parameters are known: values[i] is decoded, data NULL where names[i] was not given. False: the reply
 * says why. */
bool request_parameters(struct http_request *request, const char *const *names, size_t count, velocity_slice *values);

#endif
