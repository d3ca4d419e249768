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
    struct curl_slist *fields;
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

static bool add_field(struct http_client *c, const char *field) {
    struct curl_slist *fields = curl_slist_append(c->fields, field);
    if (fields) c->fields = fields;
    return fields != NULL;
}

static bool add_credentials(struct http_client *c) {
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
    bool ok = size > 0 && (size_t)size < sizeof field && add_field(c, field);
    explicit_bzero(field, sizeof field);
    explicit_bzero(plain, sizeof plain);
    return ok;
}

static void free_fields(struct http_client *c) {
    for (struct curl_slist *f = c->fields; f; f = f->next) explicit_bzero(f->data, strlen(f->data));
    curl_slist_free_all(c->fields);
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
    /* No "Expect: 100-continue": bodies are small, and waiting for the answer costs a second where there is none. */
    if (c->curl && add_field(c, "Accept: application/json, application/problem+json") && add_field(c, "Expect:") &&
        add_field(c, "Content-Type: application/json") && add_credentials(c)) {
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
    free_fields(c);
    free(c->base);
    free(c->server);
    free(c);
    curl_global_cleanup();
}

/* ---- the reply ---------------------------------------------------------------------------------------------------
 */

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

/* Called by libcurl with what came; anything but `size` ends the transfer. */
static size_t receive(char *bytes, size_t one, size_t size, void *arg) {
    struct http_reply *reply = arg;
    (void)one; /* always 1 */
    if (size > HTTP_REPLY_MAX_BYTES - reply->size || !grow(reply, reply->size + size)) return size ? 0 : 1;
    if (size) memcpy(reply->body + reply->size, bytes, size);
    reply->size += size;
    return size;
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

static int judge_reply(struct http_client *c, const struct http_reply *reply, const char *about) {
    if (reply->status < 200 || reply->status > 299) return complain_of_reply(c, reply, about);
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

static bool prepare_request(struct http_client *c, const struct http_request *request, const char *url,
                            struct http_reply *reply) {
    velocity_slice body = request->body;
    if (!prepare(c, c->curl, url, c->error) || !prepare_trust(c)) return false;
    if (body.size && (curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, (const char *)body.data) ||
                      curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size)))
        return false;
    return !curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, request->method) &&
           !curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->fields) &&
           !curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, c->options->timeout_ms) &&
           !curl_easy_setopt(c->curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)HTTP_REPLY_MAX_BYTES) &&
           !curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, receive) &&
           !curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, reply);
}

/* NULL: no memory. The caller frees it. */
static char *make_url(struct http_client *c, const char *collection, const char *name) {
    char *url = NULL, *escaped = name ? curl_easy_escape(c->curl, name, (int)strlen(name)) : NULL;
    if ((name && !escaped) ||
        asprintf(&url, "%s/api/%s%s%s", c->base, collection, name ? "/" : "", name ? escaped : "") < 0)
        url = NULL;
    curl_free(escaped);
    return url;
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

int http_client_send(struct http_client *c, const struct http_request *request, struct http_reply *reply) {
    int code = EXIT_DONE;
    *reply = (struct http_reply){0};
    char *url = make_url(c, request->collection, request->name);
    if (!url || !prepare_request(c, request, url, reply)) {
        free(url);
        return no_memory();
    }
    CURLcode result = curl_easy_perform(c->curl);
    if (is_unknown(c, result)) {
        code = trust_on_first_use(c, result);
        if (!code) result = prepare_request(c, request, url, reply) ? curl_easy_perform(c->curl) : CURLE_OUT_OF_MEMORY;
    }
    free(url);
    if (!code && result) code = complain_of_transfer(c, result, strcmp(request->method, "GET") == 0);
    if (!code) {
        (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &reply->status);
        code = judge_reply(c, reply, request->about);
    }
    if (code) http_reply_free(reply);
    return code;
}
