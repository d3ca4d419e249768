/*
 * request.h - one HTTP request from its first line to its last byte answered.
 *
 *     NEW --headers--> ADMITTING --admitted--> BODY --all of it--> route->handle --reply set--> SETTLING --> ANSWERED
 *      |                |                        |                    |                              ^
 *      |                |                        |                    +--request_run--> WAITING --finish
 *      +--refused-------+------------------------+--> REFUSED (the body is passed over, then the reply goes out)
 *                                                +--> LINGERING (the reply went out already; the rest is passed over,
 *                                                     then the end)
 *
 * In ADMITTING it may wait for a password to be hashed, in RESERVING (between BODY and its handler) for room in the
 * audit log, in SETTLING for the audit log to be on disk: then it is suspended until request_wake. A body that is
 * worked on in pieces goes from BODY to RESERVING and WAITING and back, with in_body set.
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
#define REPLY_HEADERS         16
#define REQUEST_SCRATCH_BYTES 6144u

enum request_stage {
    REQUEST_NEW,
    REQUEST_ADMITTING,
    REQUEST_BODY,
    REQUEST_REFUSED,
    REQUEST_LINGERING,
    REQUEST_RESERVING,
    REQUEST_WAITING,
    REQUEST_SETTLING,
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
    bool resumed;         /* see worker.h */
    bool suspended;       /* by us, and not resumed yet */
    bool identified;      /* credentials were judged */
    bool settled;         /* the audit log has it */
    bool had_large_body;  /* what was kept of it for reuse is too much to keep */
    bool in_body;         /* a piece of its body is being worked on, and more of it will come */
    bool http_1_0;        /* it knows no chunks */
    bool secret;          /* there may be one in its scratch or reply: overwritten when it ends */
    bool cookie_ended;    /* it came with a session's cookie that is none any more */
    bool negotiated;      /* what the writer holds depends on Accept-Encoding */
    bool gzipped;         /* and is gzip */
    _Atomic uint8_t wait; /* see request_wait */
    enum request_stage stage;
    uint64_t begun_us;
    uint64_t generation;       /* auth's, before its credentials were judged */
    velocity_slice raw_target; /* in scratch */
    const char *raw_end;       /* libmicrohttpd's target, where its NUL stands */
    struct target target;
    enum http_method method;
    struct request_headers headers;
    struct route_match match;
    const char *id; /* the request id, NUL-terminated */
    /* Who sends it: the peer, or who a trusted proxy says it is. */
    const char *address;
    bool loopback, secure;
    struct principal *principal;     /* NULL: nobody; the connection's, or held */
    struct principal *own_principal; /* held by this request; NULL: none */
    struct auth_check *check;        /* of a password, in scratch */
    velocity_slice cors_origin;      /* of a page that may read the reply; empty: none */
    char own_id[32];
    struct body body;
    void (*finish)(struct http_request *request); /* after request_run: looks at service and sets the reply */
    void (*call)(struct http_request *request);   /* of request_call */
    struct reply reply;
    struct stream *stream;        /* the reply is one, and was not sent yet; else NULL */
    struct json_writer writer;    /* of the reply's body, if it is JSON */
    uint32_t retry_after_seconds; /* of a reply that asks to come again; 0: one second */
    uint64_t reply_counted;       /* taken from the server's reply_bytes */
    void *state;                  /* the handler's, in scratch */
    struct service_request service;
    struct scratch scratch;
    unsigned char first_scratch[REQUEST_SCRATCH_BYTES];
};

/* Whose part the service's request is. */
static inline struct http_request *request_of(struct service_request *service) {
    return (struct http_request *)((char *)service - offsetof(struct http_request, service));
}

/* NULL: no memory. */
struct http_request *request_new(struct worker *worker);
void request_release(struct http_request *request);
void request_free(struct http_request *request);
/* Gives its body back. Before the reply goes out: who has the reply may send as much again. */
void request_drop_body(struct http_request *request);

/* Hands request->service over. `finish` runs at once, or when the answer is there. */
void request_run(struct http_request *request, void (*finish)(struct http_request *request));
/*
 * Anything that may wait: `call` runs on the executor, where it may do what it likes with request->writer, state and
 * scratch and sets service.status (a message of the engine's kind is taken along); then `finish` on the worker.
 */
void request_call(struct http_request *request, void (*call)(struct http_request *request),
                  void (*finish)(struct http_request *request));

/*
 * Waiting for something outside the service: request_wait_begin, start it, and where it did not answer at once
 * request_wait; whoever answers calls request_wake, once, on any thread, perhaps before request_wait.
 */
void request_wait_begin(struct http_request *request);
void request_wait(struct http_request *request);
void request_wake(struct http_request *request);

/* Who sends it, as far as that is known by now. */
struct service_caller request_caller(const struct http_request *request);
/* For the audit log: it is turned away with this problem, before its operation could begin. */
void request_note_refusal(struct http_request *request, enum problem_code code, const char *detail);

/* False: the key is missing or impossible, and the reply says so. Takes the path's key, or else the parameter key64.
 * Other parameters are refused. */
bool request_key(struct http_request *request, velocity_slice *key);
/* The same where these parameters, at most REQUEST_KEY_PARAMETERS, may stand beside it: see request_parameters. */
#define REQUEST_KEY_PARAMETERS 7
bool request_key_with(struct http_request *request, const char *const *names, size_t count, velocity_slice *values,
                      velocity_slice *key);
/* The path's last segment, decoded, with a NUL behind it and none inside. False: the reply says why. */
bool request_segment(struct http_request *request, velocity_slice *segment);
/* Where only these parameters are known: values[i] is decoded, data NULL where names[i] was not given. False: the reply
 * says why. */
bool request_parameters(struct http_request *request, const char *const *names, size_t count, velocity_slice *values);

#endif
