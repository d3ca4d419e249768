/*
 * stream.c - see stream.h.
 *
 * libmicrohttpd asks read_on() for bytes when it has sent what it had. Where there are none the connection is
 * suspended, in the reader itself, and 0 answered: without that it would ask again at once, for ever. `state` decides
 * who resumes it, exactly once: a wake that finds it suspended, or who suspends it and finds that it was woken
 * meanwhile.
 */
#include "http/stream.h"

#include "http/reply.h"
#include "http/server_internal.h"
#include "http/streams.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BLOCK_BYTES 4096u /* in which HTTP/1.0 is served, which knows no chunks */
/* What a stream that has to end is given to say so, before its socket is shut. */
#define END_US UINT64_C(1000000)

enum state {
    SUSPENDED = 1,
    WOKEN = 2,   /* since fill was called last */
    FILLING = 4, /* on the executor, which resumes it then */
};

struct stream {
    struct stream *next, *previous; /* of the server's */
    struct http_request *request;
    struct stream_options options;
    struct json_writer buffer;
    size_t taken;          /* of the buffer */
    enum stream_step last; /* what fill said */
    _Atomic uint8_t state;
    _Atomic bool left;   /* the client */
    _Atomic bool barren; /* the executor had nothing to write last, and goes on */
    struct executor_task task;
    /* The rate: how long the client took for all that was there for it, beyond what the rate allows. */
    uint64_t debt_us, handed_us, allowed_us;
    uint64_t ending_us; /* the sweep's: since when it has to end; 0: it has not */
};

/* ---- the registry ------------------------------------------------------------------------------------------------ */

void streams_init(struct streams *streams, uint32_t limit) {
    memset(streams, 0, sizeof *streams);
    streams->limit = limit;
    pthread_mutex_init(&streams->mutex, NULL);
}

void streams_destroy(struct streams *streams) {
    pthread_mutex_destroy(&streams->mutex);
}

/* False: there are as many as there may be. */
static bool add(struct stream *stream) {
    struct streams *streams = &stream->request->server->streams;
    pthread_mutex_lock(&streams->mutex);
    bool room = !streams->limit || streams->open < streams->limit;
    if (room) {
        stream->next = streams->list;
        if (streams->list) streams->list->previous = stream;
        streams->list = stream;
        streams->open++;
        streams->begun++;
    } else {
        streams->refused++;
    }
    pthread_mutex_unlock(&streams->mutex);
    return room;
}

static void drop(struct stream *stream) {
    struct streams *streams = &stream->request->server->streams;
    pthread_mutex_lock(&streams->mutex);
    if (stream->next) stream->next->previous = stream->previous;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        streams->list = stream->next;
    streams->open--;
    pthread_mutex_unlock(&streams->mutex);
}

void streams_stats(struct streams *streams, struct streams_stats *out) {
    pthread_mutex_lock(&streams->mutex);
    *out = (struct streams_stats){
        .open = streams->open, .begun = streams->begun, .refused = streams->refused, .limit = streams->limit};
    pthread_mutex_unlock(&streams->mutex);
}

/* ---- the rate ---------------------------------------------------------------------------------------------------- */

/* There is a new buffer for the client: by when must it have taken it? */
static void hand(struct stream *stream) {
    struct http_request *request = stream->request;
    const struct http_server *server = request->server;
    uint64_t rate = server->min_reply_bytes_per_second;
    uint64_t deadline_us = atomic_load_explicit(&server->connections.deadline_us, memory_order_relaxed);
    if (!rate || !deadline_us) return;
    if (stream->debt_us > deadline_us) stream->debt_us = deadline_us;
    stream->handed_us = clock_us();
    stream->allowed_us = stream->buffer.size * 1000000 / rate;
    atomic_store_explicit(&request->connection->due_us,
                          stream->handed_us + deadline_us - stream->debt_us + stream->allowed_us, memory_order_relaxed);
}

/* The client has taken all of it. */
static void take_back(struct stream *stream) {
    struct http_request *request = stream->request;
    json_writer_clear(&stream->buffer);
    stream->taken = 0;
    reply_give_back(request);
    if (!stream->handed_us) return;
    uint64_t took_us = clock_us() - stream->handed_us + stream->debt_us;
    stream->debt_us = took_us > stream->allowed_us ? took_us - stream->allowed_us : 0;
    stream->handed_us = 0;
    atomic_store_explicit(&request->connection->due_us, 0, memory_order_relaxed);
}

/* ---- filling ----------------------------------------------------------------------------------------------------- */

/* Nobody is sent half of what was to be written. */
static void break_off(struct stream *stream, velocity_status status, const char *why) {
    json_writer_free(&stream->buffer);
    if (stream->last != STREAM_FAIL) reply_broken(stream->request, status, why);
    stream->last = STREAM_FAIL;
}

static void fill(struct stream *stream) {
    stream->last = stream->options.fill(stream->options.arg, &stream->buffer);
    if (stream->buffer.failed)
        break_off(stream, VELOCITY_NO_MEMORY, "no memory for what comes next");
    else if (!reply_take(stream->request, stream->buffer.size))
        break_off(stream, VELOCITY_BUSY, REPLY_BYTES_ARE_OUT);
}

static void fill_on_executor(struct executor_task *task) {
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, task));
    fill(stream);
    atomic_store(&stream->barren, stream->last == STREAM_MORE && stream->buffer.size == 0);
    /* Both at once: who wakes it from here on leaves the resuming to us. */
    (void)atomic_fetch_and(&stream->state, (uint8_t) ~(FILLING | SUSPENDED));
    worker_finished(stream->request);
}

static void suspend(struct stream *stream) {
    MHD_suspend_connection(stream->request->mhd);
}

static void send_to_executor(struct stream *stream) {
    struct executor *executor = service_executor(http_server_service(stream->request->server));
    suspend(stream);
    (void)atomic_fetch_or(&stream->state, SUSPENDED | FILLING);
    stream->task.run = fill_on_executor;
    executor_go_on(executor, &stream->task);
}

/* Until it is woken. An idle stream holds no memory but its own. */
static void rest(struct stream *stream) {
    json_writer_free(&stream->buffer);
    stream->debt_us = 0;
    suspend(stream);
    if (atomic_fetch_or(&stream->state, SUSPENDED) & WOKEN) worker_finished(stream->request);
}

void stream_wake(struct stream *stream) {
    uint8_t before = atomic_fetch_or(&stream->state, WOKEN);
    if (before == SUSPENDED) worker_finished(stream->request);
}

/* ---- libmicrohttpd's side ---------------------------------------------------------------------------------------- */

static ssize_t send_part(struct stream *stream, char *out, size_t room) {
    size_t left = stream->buffer.size - stream->taken, size = left < room ? left : room;
    if (stream->taken == 0) hand(stream);
    memcpy(out, stream->buffer.data + stream->taken, size);
    stream->taken += size;
    counter_add(&stream->request->worker->counters.body_bytes_sent, size);
    return (ssize_t)size;
}

static ssize_t end_whole(struct stream *stream) {
    connection_set_unframed(stream->request->connection, false);
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t end_broken(struct stream *stream) {
    struct connection *connection = stream->request->connection;
    if (connection_is_unframed(connection)) (void)connection_break(connection);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* On the worker. 0: the connection is suspended. */
static ssize_t read_on(void *arg, uint64_t position, char *out, size_t room) {
    struct stream *stream = arg;
    (void)position;
    worker_resume_finished(stream->request->worker);
    (void)atomic_fetch_and(&stream->state, (uint8_t)~SUSPENDED);
    for (;;) {
        if (stream->taken < stream->buffer.size) return send_part(stream, out, room);
        take_back(stream);
        if (stream->last == STREAM_END) return end_whole(stream);
        if (stream->last == STREAM_FAIL || atomic_load(&stream->left)) return end_broken(stream);
        if (stream->last == STREAM_IDLE && !(atomic_load(&stream->state) & WOKEN)) {
            rest(stream);
            return 0;
        }
        (void)atomic_fetch_and(&stream->state, (uint8_t)~WOKEN);
        if (stream->options.waits) {
            send_to_executor(stream);
            return 0;
        }
        fill(stream);
    }
}

void stream_free(struct stream *stream) {
    stream->options.end(stream->options.arg);
    drop(stream);
    json_writer_free(&stream->buffer);
    free(stream);
}

static void response_freed(void *arg) {
    struct stream *stream = arg;
    struct http_request *request = stream->request;
    stream_free(stream);
    request_release(request);
}

struct MHD_Response *stream_response(struct http_request *request) {
    struct stream *stream = request->stream;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_on, stream, response_freed);
    if (!response) return NULL;
    if (request->http_1_0) connection_set_unframed(request->connection, true);
    request->references++;
    request->stream = NULL; /* the response's now */
    return response;
}

/* ---- the handler's side ------------------------------------------------------------------------------------------ */

struct stream *stream_begin(struct http_request *request, const struct stream_options *options) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        options->end(options->arg);
        return NULL;
    }
    stream->request = request;
    stream->options = *options;
    if (!add(stream)) {
        free(stream);
        reply_problem(request, PROBLEM_OVERLOADED, "there are as many streams as there may be");
        options->end(options->arg);
        return NULL;
    }
    request->stream = stream;
    if (request->reply.status == 0) request->reply.status = MHD_HTTP_OK;
    request->reply.content_type = options->content_type;
    reply_header(request, "X-Content-Type-Options", "nosniff");
    reply_header(request, "Cache-Control", "no-store");
    return stream;
}

void stream_give_up(struct http_request *request) {
    stream_free(request->stream);
    request->stream = NULL;
}

/* ---- the sweep --------------------------------------------------------------------------------------------------- */

/* Its side of the connection is closed: whoever wants no more to be asked wants no more to be told. */
static bool client_has_left(const struct stream *stream) {
    struct pollfd peer = {.fd = stream->request->connection->fd, .events = POLLRDHUP};
    return poll(&peer, 1, 0) == 1 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Nothing is on its way to the client: while there is, that tells by itself whether somebody takes it. */
static bool sends_nothing(const struct stream *stream) {
    uint8_t state = atomic_load(&stream->state);
    return state == SUSPENDED || (state & FILLING && atomic_load(&stream->barren));
}

static bool has_to_end(const struct stream *stream) {
    const struct http_request *request = stream->request;
    if (http_server_draining(request->server)) return true;
    return request->service.database && database_is_closing(request->service.database);
}

/* It is woken to end by itself; where its client does not take what there is, its socket is shut. */
static void bring_to_end(struct stream *stream, uint64_t now_us) {
    if (!stream->ending_us) {
        stream->ending_us = now_us;
        stream_wake(stream);
    } else if (now_us > stream->ending_us + END_US) {
        (void)connection_break(stream->request->connection);
    }
}

void streams_sweep(struct streams *streams, uint64_t now_us) {
    pthread_mutex_lock(&streams->mutex);
    for (struct stream *stream = streams->list; stream; stream = stream->next) {
        if (has_to_end(stream)) {
            bring_to_end(stream, now_us);
        } else if (sends_nothing(stream) && client_has_left(stream)) {
            atomic_store(&stream->left, true);
            stream_wake(stream);
        }
    }
    pthread_mutex_unlock(&streams->mutex);
}
