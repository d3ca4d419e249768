/*
 * http_client.c - see http_client.h. Each request is told to libcurl whole, from the client's own fields: a request
 * leaves nothing behind but the connection.
 *
 *     http_peer.c     which server it is, and whether it is the right one
 *     http_failure.c  what is said where a request failed
 */
#include "cli/http_client.h"
#include "cli/command.h"
#include "cli/http_failure.h"
#include "cli/http_peer.h"
#include "server/base64.h"
#include "server/deadline.h"
#include "server/json.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CREDENTIALS_BYTES 4096

struct http_client {
    struct http_peer peer;
    const struct http_client_options *options;
    CURL *curl;
    char *authorization; /* the header field; NULL: none */
    bool reached;        /* it has answered before */
    CURLcode result;     /* of the last transfer */
    char error[CURL_ERROR_SIZE];
};

/* ---- who am I: the header fields ---------------------------------------------------------------------------------
 */

/* What is sent of who asks. False: no memory, or too long. */
static bool make_authorization(struct http_client *c) {
    char field[MAX_CREDENTIALS_BYTES], plain[MAX_CREDENTIALS_BYTES / 2];
    const struct http_client_options *o = c->options;
    int size = -1;
    if (o->user) {
        size_t used = (size_t)snprintf(field, sizeof field, "Authorization: Basic ");
        int bytes = snprintf(plain, sizeof plain, "%s:%s", o->user, o->password);
        if (bytes > 0 && (size_t)bytes < sizeof plain && used + base64_encoded_size((size_t)bytes) < sizeof field) {
            used += base64_encode(velocity_bytes(plain, (size_t)bytes), field + used);
            field[used] = '\0';
            size = (int)used;
        }
    } else if (*o->token) {
        size = snprintf(field, sizeof field, "Authorization: Bearer %s", o->token);
    } else {
        return true;
    }
    bool fits = size > 0 && (size_t)size < sizeof field;
    c->authorization = fits ? strdup(field) : NULL;
    explicit_bzero(field, sizeof field);
    explicit_bzero(plain, sizeof plain);
    return c->authorization != NULL;
}

static void forget(char *secret) {
    if (secret) explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void free_fields(struct curl_slist *fields) {
    for (struct curl_slist *f = fields; f; f = f->next) explicit_bzero(f->data, strlen(f->data));
    curl_slist_free_all(fields);
}

/* False: no memory. NULL adds nothing. */
static bool add_field(struct curl_slist **fields, const char *field) {
    struct curl_slist *longer = field ? curl_slist_append(*fields, field) : *fields;
    if (longer) *fields = longer;
    return !field || longer;
}

/* The header fields of one request. NULL: no memory. */
static struct curl_slist *make_fields(const struct http_client *c, const struct http_exchange *x) {
    struct curl_slist *fields = NULL;
    /* No "Expect: 100-continue": waiting for the answer costs a second where there is none. */
    bool good = add_field(&fields, "Expect:") && add_field(&fields, c->authorization);
    for (size_t i = 0; i < HTTP_EXCHANGE_FIELDS; i++) good = good && add_field(&fields, x->fields[i]);
    if (good) return fields;
    free_fields(fields);
    return NULL;
}

int http_client_open(const struct http_client_options *options, struct http_client **out) {
    struct http_client *c = calloc(1, sizeof *c);
    int code = EXIT_FAILED;
    *out = NULL;
    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        return complain(EXIT_FAILED, "no memory");
    }
    /* Whom nobody reads any more, on a connection or on standard output, is to say so, and not to end without a word.
     */
    (void)signal(SIGPIPE, SIG_IGN);
    c->options = options;
    c->curl = curl_easy_init();
    if (c->curl && make_authorization(c))
        code = http_peer_open(options, &c->peer);
    else
        (void)complain(code, "no memory");
    if (code)
        http_client_free(c);
    else
        *out = c;
    return code;
}

void http_client_free(struct http_client *c) {
    if (!c) return;
    if (c->curl) curl_easy_cleanup(c->curl);
    forget(c->authorization);
    http_peer_close(&c->peer);
    free(c);
    curl_global_cleanup();
}

/* ---- the reply ---------------------------------------------------------------------------------------------------
 */

/* What libcurl's calls back are given. */
struct transfer {
    struct http_client *client;
    struct http_exchange *exchange;
    uint64_t moved_us; /* when bytes last moved */
    curl_off_t moved;  /* how many have, both ways */
};

void http_reply_free(struct http_reply *reply) {
    if (reply->body) explicit_bzero(reply->body, reply->capacity);
    free(reply->body);
    *reply = (struct http_reply){0};
}

/* Not realloc: it would leave copies of a secret behind. */
static bool grow(struct http_reply *reply, size_t needed) {
    size_t capacity = reply->capacity ? reply->capacity : 4096;
    while (capacity < needed) capacity *= 2;
    if (capacity == reply->capacity) return true;
    char *body = malloc(capacity);
    if (!body) return false;
    if (reply->body) {
        memcpy(body, reply->body, reply->size);
        explicit_bzero(reply->body, reply->capacity);
        free(reply->body);
    }
    reply->body = body;
    reply->capacity = capacity;
    return true;
}

static bool keep(struct http_reply *reply, const char *bytes, size_t size) {
    if (size > HTTP_REPLY_MAX_BYTES - reply->size || !grow(reply, reply->size + size)) return false;
    if (size) memcpy(reply->body + reply->size, bytes, size);
    reply->size += size;
    return true;
}

static bool is_success(long status) {
    return status >= 200 && status <= 299;
}

/* Called by libcurl with what came; anything but `size` ends the transfer. */
static size_t receive(char *bytes, size_t one, size_t size, void *arg) {
    struct transfer *t = arg;
    struct http_exchange *x = t->exchange;
    (void)one; /* always 1 */
    if (!x->reply.status) (void)curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &x->reply.status);
    if (x->write && is_success(x->reply.status)) {
        x->interrupted = !x->write(x->arg, bytes, size);
        t->moved_us = deadline_now_us(); /* whoever reads what is written may take their time */
        return x->interrupted ? CURL_WRITEFUNC_ERROR : size;
    }
    return keep(&x->reply, bytes, size) ? size : CURL_WRITEFUNC_ERROR;
}

/* Called by libcurl for what is to be sent next. */
static size_t send_piece(char *out, size_t one, size_t size, void *arg) {
    struct transfer *t = arg;
    struct http_exchange *x = t->exchange;
    size_t got = x->read(x->arg, out, one * size);
    t->moved_us = deadline_now_us(); /* whoever types it may think */
    if (got != HTTP_READ_FAILED) return got;
    x->interrupted = true;
    return CURL_READFUNC_ABORT;
}

/* Called by libcurl for each line of the reply's header. */
static size_t take_field(char *line, size_t one, size_t size, void *arg) {
    struct transfer *t = arg;
    struct http_exchange *x = t->exchange;
    const char *colon = memchr(line, ':', one * size);
    size_t end = one * size;
    if (!colon || !x->field) return end;
    while (end && (line[end - 1] == '\r' || line[end - 1] == '\n' || line[end - 1] == ' ')) end--;
    const char *value = colon + 1;
    while (value < line + end && *value == ' ') value++;
    x->field(x->arg, velocity_bytes(line, (size_t)(colon - line)), velocity_bytes(value, (size_t)(line + end - value)));
    return one * size;
}

static int judge_json(struct http_client *c, const struct http_reply *reply) {
    if (!reply->size || json_valid(velocity_bytes(reply->body, reply->size), NULL)) return EXIT_DONE;
    return complain(EXIT_FAILED, "what %s answers is not JSON: is it the right address?", c->peer.base);
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

/* A body that is read, in libcurl's words: an upload, whose method is another. */
static bool prepare_body(struct http_client *c, const struct http_exchange *x, struct transfer *transfer) {
    velocity_slice body = x->body;
    if (x->read)
        return !curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L) &&
               !curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, send_piece) &&
               !curl_easy_setopt(c->curl, CURLOPT_READDATA, transfer) &&
               (x->body_bytes < 0 || !curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_bytes));
    if (!body.data) return true;
    return !curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, (const char *)body.data) &&
           !curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
}

/* Called by libcurl once a second, and more often while bytes move; anything but 0 ends the transfer. */
static int judge_silence(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
    struct transfer *t = arg;
    uint64_t now_us = deadline_now_us(), silent_s = t->exchange->silent_s;
    uint64_t limit_us = silent_s ? silent_s * 1000000 : (uint64_t)t->client->options->timeout_ms * 1000;
    (void)down_total, (void)up_total;
    if (down + up != t->moved) {
        t->moved = down + up;
        t->moved_us = now_us;
    }
    return now_us - t->moved_us > limit_us;
}

static bool prepare_time(struct http_client *c, const struct http_exchange *x, struct transfer *transfer) {
    if (!x->endless) return !curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, c->options->timeout_ms);
    transfer->moved_us = deadline_now_us();
    transfer->moved = 0;
    return !curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L) &&
           !curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, judge_silence) &&
           !curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, transfer);
}

static bool prepare_exchange(struct http_client *c, struct http_exchange *x, const char *url, struct curl_slist *fields,
                             struct transfer *transfer) {
    bool bodyless = strcmp(x->method, "HEAD") == 0;
    return http_peer_prepare(&c->peer, c->curl, url, c->error) && http_peer_prepare_trust(&c->peer, c->curl) &&
           prepare_body(c, x, transfer) && prepare_time(c, x, transfer) &&
           /* What is kept has an end; who says at once that theirs is beyond it is not waited for. */
           (x->write || bodyless ||
            !curl_easy_setopt(c->curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)HTTP_REPLY_MAX_BYTES)) &&
           (!bodyless || !curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L)) &&
           !curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, x->method) &&
           !curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, fields) &&
           !curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, take_field) &&
           !curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, transfer) &&
           !curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, receive) &&
           !curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, transfer);
}

char *http_client_escape(velocity_slice bytes) {
    if (bytes.size == 0) return strdup(""); /* libcurl would measure it itself */
    char *escaped = curl_easy_escape(NULL, bytes.data, (int)bytes.size), *copy = escaped ? strdup(escaped) : NULL;
    curl_free(escaped);
    return copy;
}

static int no_memory(void) {
    return complain(EXIT_FAILED, "no memory");
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

/* Did the transfer end early by the other side's doing? */
static bool is_break(const struct http_client *c, CURLcode result) {
    switch (result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_OPERATION_TIMEDOUT: return true;
    /* A server that has answered before speaks TLS, and has a name. */
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR: return c->reached;
    default: return false;
    }
}

/* A refusal that came while the body was still sent counts more than that it could not be sent. */
static bool is_refusal(const struct http_exchange *x) {
    return x->reply.status && !is_success(x->reply.status);
}

int http_client_complain(struct http_client *c, const struct http_exchange *x) {
    bool safe = x->safe || strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0;
    if (is_refusal(x)) return http_failure_of_reply(&c->peer, c->curl, &x->reply, x->about);
    return http_failure_of_transfer(&c->peer, c->result, c->error, safe);
}

static int judge(struct http_client *c, struct http_exchange *x, bool quiet) {
    long status = 0;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    x->reply.status = status;
    if (x->interrupted) return EXIT_DONE;
    x->broken = !is_refusal(x) && is_break(c, c->result);
    x->later = status == 429 || status == 503;
    c->reached = c->reached || status;
    if (x->unjudged && is_refusal(x)) return EXIT_FAILED;
    if (!is_refusal(x) && !c->result) return EXIT_DONE;
    return quiet && (x->broken || x->later) ? EXIT_FAILED : http_client_complain(c, x);
}

static void perform(struct http_client *c, struct http_exchange *x, const char *url, struct curl_slist *fields,
                    struct transfer *transfer) {
    bool ready = prepare_exchange(c, x, url, fields, transfer);
    c->result = ready ? curl_easy_perform(c->curl) : CURLE_OUT_OF_MEMORY;
    /* Whose own calls ended it says so; else it was silence. */
    if (c->result == CURLE_ABORTED_BY_CALLBACK && !x->interrupted) c->result = CURLE_OPERATION_TIMEDOUT;
}

int http_client_exchange(struct http_client *c, struct http_exchange *x, bool quiet) {
    struct transfer transfer = {.client = c, .exchange = x};
    struct curl_slist *fields = make_fields(c, x);
    char *url = NULL;
    int code = EXIT_DONE;
    x->reply = (struct http_reply){0};
    x->interrupted = x->broken = x->later = false;
    if (!fields || asprintf(&url, "%s%s", c->peer.base, x->path) < 0) {
        free_fields(fields);
        return no_memory();
    }
    perform(c, x, url, fields, &transfer);
    if (http_peer_is_unknown(&c->peer, c->result)) { /* nothing was said yet */
        code = http_peer_ask(&c->peer, c->result, c->error);
        if (!code) perform(c, x, url, fields, &transfer);
    }
    if (!code) code = judge(c, x, quiet);
    free_fields(fields);
    free(url);
    return code;
}

/* "/api/COLLECTION/NAME"; the caller frees it. NULL: no memory. */
static char *make_path(const struct http_request *request) {
    char *path = NULL, *escaped = request->name ? http_client_escape(velocity_str(request->name)) : NULL;
    if (request->name && !escaped) return NULL;
    if (asprintf(&path, "/api/%s%s%s", request->collection, escaped ? "/" : "", escaped ? escaped : "") < 0)
        path = NULL;
    free(escaped);
    return path;
}

int http_client_send(struct http_client *c, const struct http_request *request, struct http_reply *reply) {
    char *path = make_path(request);
    struct http_exchange x = {
        .method = request->method,
        .path = path,
        .fields = {"Accept: application/json, application/problem+json", "Content-Type: application/json"},
        .body = request->body,
        .about = request->about,
    };
    *reply = (struct http_reply){0};
    if (!path) return no_memory();
    int code = http_client_exchange(c, &x, false);
    if (!code) code = judge_json(c, &x.reply);
    free(path);
    *reply = x.reply;
    if (code) http_reply_free(reply);
    return code;
}
