/*
 * http_client.c - see http_client.h. Each request is told to libcurl whole, from the client's own fields: a request
 * leaves nothing behind but the connection.
 */
#include "cli/http_client.h"
#include "cli/command.h"
#include "cli/document.h"
#include "cli/known_servers.h"
#include "server/address.h"
#include "server/base64.h"
#include "server/fingerprint.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS    5000L
#define MAX_CERTIFICATE_BYTES (1u << 20)
#define MAX_CREDENTIALS_BYTES 4096
#define PIN_BYTES             (sizeof "sha256//" + 44)

struct http_client {
    const struct http_client_options *options;
    CURL *curl;
    char *authorization;  /* the header field; NULL: none */
    char *base;           /* "https://db:2005/path", without a slash at its end */
    char *server;         /* "db:2005", as known_servers has it */
    const char *pin_from; /* who says that the server has that key: words for a message */
    char pin[PIN_BYTES];  /* "sha256//..."; "": the authorities decide */
    bool tls, loopback;
    char error[CURL_ERROR_SIZE];
};

/* ---- where to: the URL ------------------------------------------------------------------------------------------
 */

static bool url_has(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* What stands in the client's fields, from the parts of the URL. */
static bool keep_parts(struct http_client *c, const char *scheme, const char *host, const char *port,
                       const char *path) {
    struct address address;
    int size = (int)strlen(path);
    while (size && path[size - 1] == '/') size--;
    if (asprintf(&c->server, "%s:%s", host, port) < 0) c->server = NULL;
    if (!c->server || asprintf(&c->base, "%s://%s%.*s", scheme, c->server, size, path) < 0) c->base = NULL;
    if (!c->base) return false;
    for (char *p = c->server; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    c->tls = strcmp(scheme, "https") == 0;
    c->loopback = address_parse(c->server, &address) && address_is_loopback(&address);
    return true;
}

/* NULL: it will do. */
static const char *judge_url(CURLU *url, const char *scheme) {
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) return "it must begin with https:// or http://";
    if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD))
        return "names and passwords do not belong into a URL: use --login";
    if (url_has(url, CURLUPART_QUERY) || url_has(url, CURLUPART_FRAGMENT)) return "it may have no \"?\" and no \"#\"";
    return NULL;
}

static int read_url(struct http_client *c) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    const char *wrong = "no memory";
    int code = EXIT_USAGE;
    if (!url) goto out;
    wrong = "it is no URL such as https://db.example:2005";
    if (curl_url_set(url, CURLUPART_URL, c->options->url, 0) != CURLUE_OK) goto out;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) || curl_url_get(url, CURLUPART_PATH, &path, 0))
        goto out;
    wrong = judge_url(url, scheme);
    if (!wrong && !keep_parts(c, scheme, host, port, path)) wrong = "no memory";
out:
    if (wrong) (void)complain(code, "%s: %s", c->options->url_from, wrong);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(url);
    return wrong ? code : EXIT_DONE;
}

/* ---- who is it: the key that the server must show --------------------------------------------------------------- */

/* libcurl writes a pinned key so: "sha256//" and base64 with its padding. */
static void pin(struct http_client *c, const char *fingerprint, const char *from) {
    (void)snprintf(c->pin, sizeof c->pin, "sha256//%.43s=", fingerprint + strlen("SHA256:"));
    c->pin_from = from;
}

static int pin_given(struct http_client *c) {
    unsigned char digest[FINGERPRINT_DIGEST_BYTES];
    const char *fingerprint = c->options->fingerprint;
    if (!fingerprint_parse(fingerprint, digest))
        return complain(EXIT_USAGE, "--fingerprint %s: it is \"SHA256:\" and 43 characters, as the server's log says",
                        fingerprint);
    pin(c, fingerprint, "--fingerprint says");
    return EXIT_DONE;
}

static int pin_file(struct http_client *c) {
    const char *path = c->options->certificate_file;
    char fingerprint[TLS_FINGERPRINT_BYTES];
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT) return EXIT_DONE;
    char *text = file ? malloc(MAX_CERTIFICATE_BYTES) : NULL;
    size_t size = text ? fread(text, 1, MAX_CERTIFICATE_BYTES, file) : 0;
    bool ok = size && fingerprint_of_certificate(velocity_bytes(text, size), fingerprint);
    free(text);
    if (file) (void)fclose(file);
    if (!ok) return complain(EXIT_FAILED, "can't read a certificate from %s", path);
    pin(c, fingerprint, "the server's own certificate file says");
    return EXIT_DONE;
}

static int pin_known(struct http_client *c) {
    char fingerprint[TLS_FINGERPRINT_BYTES];
    int code = known_servers_find(c->server, fingerprint);
    if (!code && *fingerprint) pin(c, fingerprint, "your file known_servers says");
    return code;
}

static int decide_trust(struct http_client *c) {
    int code = EXIT_DONE;
    if (!c->tls) {
        if (c->loopback || c->options->allow_plaintext) return EXIT_DONE;
        return complain(EXIT_USAGE,
                        "over %s passwords and tokens could be read on the way: use https://, or --allow-plaintext "
                        "where the network is trusted",
                        c->base);
    }
    if (c->options->fingerprint) return pin_given(c);
    if (c->options->certificate_file) code = pin_file(c);
    if (!code && !*c->pin && !c->options->ca_file) code = pin_known(c);
    return code;
}

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
    c->options = options;
    c->curl = curl_easy_init();
    if (c->curl && make_authorization(c)) {
        code = read_url(c);
        if (!code) code = decide_trust(c);
    } else {
        (void)complain(code, "no memory");
    }
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
    free(c->base);
    free(c->server);
    free(c);
    curl_global_cleanup();
}

/* ---- the reply ---------------------------------------------------------------------------------------------------
 */

/* What libcurl's calls back are given. */
struct transfer {
    struct http_client *client;
    struct http_exchange *exchange;
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
        return x->interrupted ? CURL_WRITEFUNC_ERROR : size;
    }
    return keep(&x->reply, bytes, size) ? size : CURL_WRITEFUNC_ERROR;
}

/* Called by libcurl for what is to be sent next. */
static size_t send_piece(char *out, size_t one, size_t size, void *arg) {
    struct transfer *t = arg;
    struct http_exchange *x = t->exchange;
    size_t got = x->read(x->arg, out, one * size);
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

/* What to do about it, for people. */
static void advise(struct http_client *c, long status, char *out, size_t size) {
    curl_off_t seconds = 0;
    *out = '\0';
    (void)curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &seconds);
    if (status == 401 && (c->options->user || *c->options->token))
        (void)snprintf(out, size, "; the %s is wrong, or has ended", c->options->user ? "password" : "token");
    else if (status == 401)
        (void)snprintf(out, size, "; log in with --login NAME, or with a token in --token-file, VELOCITY_TOKEN or %s",
                       c->options->token_path);
    else if ((status == 429 || status == 503) && seconds > 0)
        (void)snprintf(out, size, "; again in %ld s", (long)seconds);
}

static int complain_of_reply(struct http_client *c, const struct http_reply *reply, const char *about) {
    char what[512] = "", code[64] = "", advice[4300];
    char *elsewhere = NULL;
    struct json_value problem;
    if (reply->status >= 300 && reply->status < 400) {
        (void)curl_easy_getinfo(c->curl, CURLINFO_REDIRECT_URL, &elsewhere);
        (void)snprintf(what, sizeof what, "%s", elsewhere ? elsewhere : "nowhere");
        document_clean(what, strlen(what));
        return complain(EXIT_FAILED, "%s sends elsewhere, to %s (HTTP %ld); if that is right, give it as --url",
                        c->base, what, reply->status);
    }
    if (reply->body && json_parse(velocity_bytes(reply->body, reply->size), &problem, NULL)) {
        document_text(problem, "code", code, sizeof code);
        document_text(problem, "detail", what, sizeof what);
        if (!*what) document_text(problem, "title", what, sizeof what);
    }
    if (about && strstr(what, about)) about = NULL; /* it says so itself */
    if (!*what)
        return complain(EXIT_FAILED, "%s answers with HTTP %ld, and not as Velocity does: is it the right address?",
                        c->base, reply->status);
    advise(c, reply->status, advice, sizeof advice);
    return complain(reply->status == 404 ? EXIT_NOT_FOUND : EXIT_FAILED, "%s%s%s (HTTP %ld%s%s)%s", about ? about : "",
                    about ? ": " : "", what, reply->status, *code ? " " : "", code, advice);
}

static int judge_json(struct http_client *c, const struct http_reply *reply) {
    if (!reply->size || json_valid(velocity_bytes(reply->body, reply->size), NULL)) return EXIT_DONE;
    return complain(EXIT_FAILED, "what %s answers is not JSON: is it the right address?", c->base);
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

/* Names in the server's certificate may be part of libcurl's words. */
static const char *why_of(struct http_client *c, CURLcode result) {
    if (!*c->error) return curl_easy_strerror(result);
    document_clean(c->error, strlen(c->error));
    return c->error;
}

static int complain_of_transfer(struct http_client *c, CURLcode result, bool safe) {
    const char *why = why_of(c, result);
    const char *doubt = safe ? "" : "; whether it was done is not known: look before you do it again";
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST: return complain(EXIT_FAILED, "there is no machine of that name: %s", c->server);
    case CURLE_COULDNT_CONNECT:
        return complain(EXIT_FAILED, "can't reach %s: %s; does the server run there?", c->base, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return complain(EXIT_FAILED, "the certificate of %s can't be verified: %s", c->base, why);
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return complain(EXIT_FAILED,
                        "%s shows another key than %s: it was set up anew, or somebody stands between; nothing was "
                        "sent",
                        c->base, c->pin_from);
    case CURLE_SSL_CACERT_BADFILE:
        return complain(EXIT_FAILED, "can't read the authorities in %s: %s",
                        c->options->ca_file ? c->options->ca_file : "the system's file", why);
    case CURLE_SSL_CONNECT_ERROR:
        return complain(EXIT_FAILED, "can't speak TLS with %s: %s; is it a plain http:// server?", c->base, why);
    case CURLE_WRITE_ERROR:
    case CURLE_FILESIZE_EXCEEDED:
        return complain(EXIT_FAILED, "%s answers more than %u MiB%s", c->base, HTTP_REPLY_MAX_BYTES >> 20, doubt);
    case CURLE_OPERATION_TIMEDOUT: return complain(EXIT_FAILED, "%s did not answer in time%s", c->base, doubt);
    default: return complain(EXIT_FAILED, "no answer from %s: %s%s", c->base, why, doubt);
    }
}

/* What all transfers share. No redirect is followed: that is libcurl's default. */
static bool prepare(const struct http_client *c, CURL *curl, const char *url, char *error) {
    curl_easy_reset(curl);
    *error = '\0';
    return !curl_easy_setopt(curl, CURLOPT_URL, url) && !curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) &&
           !curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) &&
           !curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           !curl_easy_setopt(curl, CURLOPT_USERAGENT, "velocity/" VELOCITY_VERSION_STRING) &&
           !curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error) &&
           /* A proxy sees plain HTTP: it would learn what only the server is to know. */
           ((c->tls && !c->loopback) || !curl_easy_setopt(curl, CURLOPT_PROXY, ""));
}

static bool prepare_trust(struct http_client *c) {
    bool by_authority = !*c->pin;
    if (!c->tls) return true;
    return !curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYPEER, by_authority ? 1L : 0L) &&
           !curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYHOST, by_authority ? 2L : 0L) &&
           (by_authority || !curl_easy_setopt(c->curl, CURLOPT_PINNEDPUBLICKEY, c->pin)) &&
           (!c->options->ca_file || !curl_easy_setopt(c->curl, CURLOPT_CAINFO, c->options->ca_file));
}

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

static bool prepare_time(struct http_client *c, const struct http_exchange *x) {
    if (!x->endless) return !curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, c->options->timeout_ms);
    if (!x->silent_s) return true;
    return !curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L) &&
           !curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, (long)x->silent_s);
}

static bool prepare_exchange(struct http_client *c, struct http_exchange *x, const char *url, struct curl_slist *fields,
                             struct transfer *transfer) {
    bool bodyless = strcmp(x->method, "HEAD") == 0;
    return prepare(c, c->curl, url, c->error) && prepare_trust(c) && prepare_body(c, x, transfer) &&
           prepare_time(c, x) &&
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

/* ---- a server that is not known yet -------------------------------------------------------------------------- */

static bool fingerprint_of_chain(const struct curl_certinfo *chain, char fingerprint[TLS_FINGERPRINT_BYTES]) {
    if (!chain || chain->num_of_certs < 1) return false;
    for (const struct curl_slist *entry = chain->certinfo[0]; entry; entry = entry->next)
        if (strncmp(entry->data, "Cert:", 5) == 0)
            return fingerprint_of_certificate(velocity_str(entry->data + 5), fingerprint);
    return false;
}

/* The key that the server shows, over a connection on which nothing is said. */
static int look_at_key(struct http_client *c, char fingerprint[TLS_FINGERPRINT_BYTES]) {
    struct curl_certinfo *chain = NULL;
    CURL *curl = curl_easy_init();
    if (!curl) return no_memory();
    bool ok = prepare(c, curl, c->base, c->error) && !curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L) &&
              !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) &&
              !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) && !curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
    CURLcode result = ok ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
    int code = EXIT_DONE;
    if (result)
        code = complain_of_transfer(c, result, true);
    else if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) || !fingerprint_of_chain(chain, fingerprint))
        code = complain(EXIT_FAILED, "%s shows no certificate that can be read", c->base);
    curl_easy_cleanup(curl);
    return code;
}

/* No authority vouches for it, or this machine knows none. Whom the user names must do it. */
static bool is_unknown(const struct http_client *c, CURLcode result) {
    bool unverified = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
    return unverified && !c->options->ca_file && !*c->pin;
}

/* Does the user vouch for it? */
static int trust_on_first_use(struct http_client *c, CURLcode result) {
    char fingerprint[TLS_FINGERPRINT_BYTES], why[CURL_ERROR_SIZE];
    (void)snprintf(why, sizeof why, "%s", why_of(c, result));
    int code = look_at_key(c, fingerprint);
    if (!code) code = known_servers_ask(c->base, c->server, why, fingerprint);
    if (!code) pin(c, fingerprint, "it did a moment ago");
    return code;
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

/* Did the transfer end early by the other side's doing? */
static bool is_break(CURLcode result) {
    switch (result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_OPERATION_TIMEDOUT: return true;
    default: return false;
    }
}

static int judge(struct http_client *c, struct http_exchange *x, CURLcode result, bool quiet) {
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &x->reply.status);
    if (x->interrupted) return EXIT_DONE;
    x->broken = is_break(result);
    if (x->unjudged && x->reply.status && !is_success(x->reply.status)) return EXIT_FAILED;
    if (x->broken && quiet) return EXIT_FAILED;
    bool safe = strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0;
    /* A refusal that came while the body was still sent counts more than that it could not be sent. */
    if (result && (!x->reply.status || is_success(x->reply.status))) return complain_of_transfer(c, result, safe);
    return is_success(x->reply.status) ? EXIT_DONE : complain_of_reply(c, &x->reply, x->about);
}

int http_client_exchange(struct http_client *c, struct http_exchange *x, bool quiet) {
    struct transfer transfer = {c, x};
    struct curl_slist *fields = make_fields(c, x);
    char *url = NULL;
    int code = EXIT_DONE;
    x->reply = (struct http_reply){0};
    x->interrupted = x->broken = false;
    if (!fields || asprintf(&url, "%s%s", c->base, x->path) < 0) {
        free_fields(fields);
        return no_memory();
    }
    bool ready = prepare_exchange(c, x, url, fields, &transfer);
    CURLcode result = ready ? curl_easy_perform(c->curl) : CURLE_OUT_OF_MEMORY;
    if (is_unknown(c, result)) { /* nothing was said yet */
        code = trust_on_first_use(c, result);
        ready = !code && prepare_exchange(c, x, url, fields, &transfer);
        if (!code) result = ready ? curl_easy_perform(c->curl) : CURLE_OUT_OF_MEMORY;
    }
    if (!code) code = judge(c, x, result, quiet);
    free_fields(fields);
    free(url);
    return code;
}

int http_client_complain(struct http_client *c, const struct http_exchange *x) {
    return complain_of_reply(c, &x->reply, x->about);
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
