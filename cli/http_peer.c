/* http_peer.c - see http_peer.h. */
#include "cli/http_peer.h"
#include "cli/command.h"
#include "cli/http_failure.h"
#include "cli/known_servers.h"
#include "server/address.h"
#include "server/fingerprint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS    5000L
#define MAX_CERTIFICATE_BYTES (1u << 20)

/* ---- where to: the URL ------------------------------------------------------------------------------------------
 */

static bool url_has(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* What stands in the peer's fields, from the parts of the URL. */
static bool keep_parts(struct http_peer *peer, const char *scheme, const char *host, const char *port,
                       const char *path) {
    struct address address;
    int size = (int)strlen(path);
    while (size && path[size - 1] == '/') size--;
    if (asprintf(&peer->server, "%s:%s", host, port) < 0) peer->server = NULL;
    if (!peer->server || asprintf(&peer->base, "%s://%s%.*s", scheme, peer->server, size, path) < 0) peer->base = NULL;
    if (!peer->base) return false;
    for (char *p = peer->server; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    peer->tls = strcmp(scheme, "https") == 0;
    peer->loopback = address_parse(peer->server, &address) && address_is_loopback(&address);
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

static int read_url(struct http_peer *peer) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    const char *wrong = "no memory";
    int code = EXIT_USAGE;
    if (!url) goto out;
    wrong = "it is no URL such as https://db.example:2005";
    if (curl_url_set(url, CURLUPART_URL, peer->options->url, 0) != CURLUE_OK) goto out;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) || curl_url_get(url, CURLUPART_PATH, &path, 0))
        goto out;
    wrong = judge_url(url, scheme);
    if (!wrong && !keep_parts(peer, scheme, host, port, path)) wrong = "no memory";
out:
    if (wrong) (void)complain(code, "%s: %s", peer->options->url_from, wrong);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(url);
    return wrong ? code : EXIT_DONE;
}

/* ---- who is it: the key that the server must show --------------------------------------------------------------- */

/* libcurl writes a pinned key so: "sha256//" and base64 with its padding. */
static void pin(struct http_peer *peer, const char *fingerprint, const char *from) {
    (void)snprintf(peer->pin, sizeof peer->pin, "sha256//%.43s=", fingerprint + strlen("SHA256:"));
    peer->pin_from = from;
}

static int pin_given(struct http_peer *peer) {
    unsigned char digest[FINGERPRINT_DIGEST_BYTES];
    const char *fingerprint = peer->options->fingerprint;
    if (!fingerprint_parse(fingerprint, digest))
        return complain(EXIT_USAGE, "--fingerprint %s: it is \"SHA256:\" and 43 characters, as the server's log says",
                        fingerprint);
    pin(peer, fingerprint, "--fingerprint says");
    return EXIT_DONE;
}

static int pin_file(struct http_peer *peer) {
    const char *path = peer->options->certificate_file;
    char fingerprint[TLS_FINGERPRINT_BYTES];
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT) return EXIT_DONE;
    char *text = file ? malloc(MAX_CERTIFICATE_BYTES) : NULL;
    size_t size = text ? fread(text, 1, MAX_CERTIFICATE_BYTES, file) : 0;
    bool ok = size && fingerprint_of_certificate(velocity_bytes(text, size), fingerprint);
    free(text);
    if (file) (void)fclose(file);
    if (!ok) return complain(EXIT_FAILED, "can't read a certificate from %s", path);
    pin(peer, fingerprint, "the server's own certificate file says");
    return EXIT_DONE;
}

static int pin_known(struct http_peer *peer) {
    char fingerprint[TLS_FINGERPRINT_BYTES];
    int code = known_servers_find(peer->server, fingerprint);
    if (!code && *fingerprint) pin(peer, fingerprint, "your file known_servers says");
    return code;
}

static int decide_trust(struct http_peer *peer) {
    int code = EXIT_DONE;
    if (!peer->tls) {
        if (peer->loopback || peer->options->allow_plaintext) return EXIT_DONE;
        return complain(EXIT_USAGE,
                        "over %s passwords and tokens could be read on the way: use https://, or --allow-plaintext "
                        "where the network is trusted",
                        peer->base);
    }
    if (peer->options->fingerprint) return pin_given(peer);
    if (peer->options->certificate_file) code = pin_file(peer);
    if (!code && !*peer->pin && !peer->options->ca_file) code = pin_known(peer);
    return code;
}

int http_peer_open(const struct http_client_options *options, struct http_peer *out) {
    *out = (struct http_peer){.options = options};
    int code = read_url(out);
    return code ? code : decide_trust(out);
}

void http_peer_close(struct http_peer *peer) {
    free(peer->base);
    free(peer->server);
    *peer = (struct http_peer){0};
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

/* No redirect is followed: that is libcurl's default. */
bool http_peer_prepare(const struct http_peer *peer, CURL *curl, const char *url, char error[CURL_ERROR_SIZE]) {
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
           ((peer->tls && !peer->loopback) || !curl_easy_setopt(curl, CURLOPT_PROXY, ""));
}

bool http_peer_prepare_trust(const struct http_peer *peer, CURL *curl) {
    bool by_authority = !*peer->pin;
    if (!peer->tls) return true;
    return !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, by_authority ? 1L : 0L) &&
           !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, by_authority ? 2L : 0L) &&
           (by_authority || !curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, peer->pin)) &&
           (!peer->options->ca_file || !curl_easy_setopt(curl, CURLOPT_CAINFO, peer->options->ca_file));
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
static int look_at_key(const struct http_peer *peer, char fingerprint[TLS_FINGERPRINT_BYTES]) {
    struct curl_certinfo *chain = NULL;
    char error[CURL_ERROR_SIZE];
    CURL *curl = curl_easy_init();
    if (!curl) return complain(EXIT_FAILED, "no memory");
    bool ok = http_peer_prepare(peer, curl, peer->base, error) && !curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L) &&
              !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) &&
              !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) && !curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
    CURLcode result = ok ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
    int code = EXIT_DONE;
    if (result)
        code = http_failure_of_transfer(peer, result, error, true);
    else if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) || !fingerprint_of_chain(chain, fingerprint))
        code = complain(EXIT_FAILED, "%s shows no certificate that can be read", peer->base);
    curl_easy_cleanup(curl);
    return code;
}

bool http_peer_is_unknown(const struct http_peer *peer, CURLcode result) {
    bool unverified = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
    return unverified && !peer->options->ca_file && !*peer->pin;
}

int http_peer_ask(struct http_peer *peer, CURLcode result, char error[CURL_ERROR_SIZE]) {
    char fingerprint[TLS_FINGERPRINT_BYTES];
    const char *why = http_failure_why(result, error);
    int code = look_at_key(peer, fingerprint);
    if (!code) code = known_servers_ask(peer->base, peer->server, why, fingerprint);
    if (!code) pin(peer, fingerprint, "it did a moment ago");
    return code;
}
