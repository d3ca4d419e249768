/*
 * reply.h - setting a request's reply and sending it.
 */
#ifndef VELOCITY_HTTP_REPLY_H
#define VELOCITY_HTTP_REPLY_H

#include "http/request.h"

/* One exit for every error: a problem+json document. `format` (may be NULL) says what happened this time. */
void reply_problem(struct http_request *request, enum problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with extension members; code, request_id are set here. */
void reply_problem_with(struct http_request *request, enum problem_code code, struct problem extra);
/* Of a parameter; false. */
bool reply_bad_parameter(struct http_request *request, const char *reason);
/* The engine's words, for whoever asks: those that name a file of the server are for admins, others are sent to the
 * log. */
const char *reply_words(const struct http_request *request, const char *words);
/* After service_admit refused. */
void reply_refusal(struct http_request *request);
/* After a service request that ended in anything but OK. `write`: the outcome of a failure is unknown. */
void reply_failure(struct http_request *request, bool write);
/*
 * A large reply stays in memory until its client has read it, however slowly; all of them share max_inflight_bytes.
 * `size` is what is held for it, be it more than is sent. False: they have it all, and the reply says so. One that
 * alone is larger than a quarter of it counts as that, one below REPLY_COUNTED_BYTES as nothing.
 */
#define REPLY_COUNTED_BYTES 65536u /* the connection itself has more */
#define REPLY_BYTES_ARE_OUT "too many bytes of replies wait for clients that do not read them"
bool reply_count(struct http_request *request, size_t size);
/* The same without a word. What was taken is given back at the request's end, or before. */
bool reply_take(struct http_request *request, size_t size);
void reply_give_back(struct http_request *request);
/* The same for what is held beside a reply: *taken is how much to give back. Any thread. */
bool reply_bytes_take(struct http_server *server, size_t size, uint64_t *taken);
void reply_bytes_give_back(struct http_server *server, uint64_t *taken);
/* A stream breaks off, and its client can be told no more than that: the log says why, under the request's id. Once a
 * reply; any thread, while the request is nobody else's. */
void reply_broken(struct http_request *request, velocity_status status, const char *why);
/* After a write: its failure, or `status` and the version in the header `name`. */
void reply_written(struct http_request *request, unsigned status, const char *name, bool quoted);
/* 200 with what request->writer holds. */
void reply_json(struct http_request *request);
/* `value` lives as long as the request. Beyond REPLY_HEADERS it is dropped, which is a bug. */
void reply_header(struct http_request *request, const char *name, const char *value);
/* ETag, or any header whose value is a version; quoted or not. VELOCITY_ABSENT, of what a transaction wrote: none. */
void reply_version(struct http_request *request, const char *name, uint64_t version, bool quoted);

/* Queues the reply with libmicrohttpd. MHD_NO: the connection has to end. */
enum MHD_Result reply_send(struct http_request *request);
/* Writes the reply to the socket past libmicrohttpd, which takes none while a body comes in, and ends the sending side.
 */
void reply_send_raw(struct http_request *request);
/* The bytes of a reply that is no request's: `kind` without a request id. False: no memory. */
bool reply_format(enum problem_code code, struct json_writer *out);

#endif
