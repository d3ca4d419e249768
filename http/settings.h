/*
 * settings.h - what of the HTTP front can change while it runs: whose names it answers to, whose word it takes.
 *
 * A set is made whole and takes the place of the one before. Readers take the pointer once a request; sets that were
 * replaced stay until the server ends, which costs some hundred bytes a reload.
 *
 * Threads: http_settings_now from any thread, the rest from the one that configures the server.
 */
#ifndef VELOCITY_HTTP_SETTINGS_H
#define VELOCITY_HTTP_SETTINGS_H

#include "server/network.h"

struct http_server;

/* Strings are copied. */
struct http_settings_options {
    const char *const *allowed_hosts; /* names that Host may have besides the loopback ones; without port */
    size_t allowed_host_count;
    const char *const *cors_origins; /* "https://app.example": pages of these may use the API */
    size_t cors_origin_count;
    const char *const *trusted_proxies; /* addresses and ranges whose word on whom they forward counts */
    size_t trusted_proxy_count;
    const char *external_url; /* "https://db.example": how clients reach the server; "" or NULL: as they name it */
    bool allow_plaintext;     /* off loopback */
    bool has_certificate;     /* of its own or its proxy's: one that the server made itself is none */
};

/* From the next request on. INVALID: a trusted proxy that is no address or range; then nothing changes. */
VELOCITY_CHECK_RESULT velocity_status http_server_configure(struct http_server *server,
                                                            const struct http_settings_options *options);

struct http_settings {
    struct http_settings *replaced; /* by this one */
    char **allowed_hosts, **cors_origins;
    size_t allowed_host_count, cors_origin_count;
    struct network *trusted_proxies;
    size_t trusted_proxy_count;
    char *external_origin; /* "": none */
    char *strict_host;     /* browsers are to use TLS alone for this name; "": they are not told */
    bool allow_plaintext;
};

VELOCITY_CHECK_RESULT velocity_status http_settings_new(const struct http_settings_options *options,
                                                        struct http_settings **out);
/* With all those that it replaced. NULL is allowed. */
void http_settings_free(struct http_settings *settings);

bool http_settings_trusts(const struct http_settings *settings, const struct in6_addr *address);
bool http_settings_has_origin(const struct http_settings *settings, velocity_slice origin);

#endif
