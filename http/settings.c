/* settings.c - see settings.h. */
#include "http/settings.h"

#include "engine/status.h"
#include "http/headers.h"
#include "http/server_internal.h"

#include <stdlib.h>

static bool copy_texts(const char *const *from, size_t count, char ***out, size_t *out_count) {
    *out = calloc(count + 1, sizeof **out);
    if (!*out) return false;
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = strdup(from[i]);
        if (!(*out)[i]) return false;
        ++*out_count;
    }
    return true;
}

static void free_texts(char **texts, size_t count) {
    for (size_t i = 0; i < count; i++) free(texts[i]);
    free(texts);
}

/* The URL without a path. */
static char *copy_origin(const char *url) {
    if (!url) url = "";
    const char *authority = strstr(url, "://");
    size_t size = authority ? (size_t)(authority + 3 - url) + strcspn(authority + 3, "/?#") : strlen(url);
    return strndup(url, size);
}

/*
 * RFC 6797: told once over TLS, a browser uses nothing else for that name, on any port, and lets nobody pass a
 * certificate that it does not trust. So it is told only of a name that the configuration says is this server's, on
 * HTTPS' own port; not of an address or of this machine's own name, which others on it share; and not where the
 * certificate is one of our own making, which a new installation replaces.
 */
static char *copy_strict_host(const char *origin, bool has_certificate) {
    static const char scheme[] = "https://";
    struct in6_addr address;
    if (!has_certificate || strncmp(origin, scheme, sizeof scheme - 1) != 0) return strdup("");
    const char *host = origin + sizeof scheme - 1;
    bool is_name = !strpbrk(host, ":[") && !network_address(velocity_str(host), &address);
    return strdup(is_name && strcmp(host, "localhost") != 0 ? host : "");
}

velocity_status http_settings_new(const struct http_settings_options *options, struct http_settings **out) {
    struct http_settings *s = calloc(1, sizeof *s);
    velocity_status status = VELOCITY_OK;
    if (!s ||
        !copy_texts(options->allowed_hosts, options->allowed_host_count, &s->allowed_hosts, &s->allowed_host_count) ||
        !copy_texts(options->cors_origins, options->cors_origin_count, &s->cors_origins, &s->cors_origin_count) ||
        !(s->trusted_proxies = calloc(options->trusted_proxy_count + 1, sizeof *s->trusted_proxies)))
        status = status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP settings");
    for (size_t i = 0; status == VELOCITY_OK && i < options->trusted_proxy_count; i++) {
        if (network_parse(options->trusted_proxies[i], &s->trusted_proxies[i]))
            s->trusted_proxy_count++;
        else
            status = status_set(VELOCITY_INVALID, "trusted_proxies: %.64s is neither an address nor a range",
                                options->trusted_proxies[i]);
    }
    if (status == VELOCITY_OK && (!(s->external_origin = copy_origin(options->external_url)) ||
                                  !(s->strict_host = copy_strict_host(s->external_origin, options->has_certificate))))
        status = status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP settings");
    if (status == VELOCITY_OK) {
        s->allow_plaintext = options->allow_plaintext;
        *out = s;
        return status;
    }
    http_settings_free(s);
    return status;
}

void http_settings_free(struct http_settings *settings) {
    while (settings) {
        struct http_settings *replaced = settings->replaced;
        free_texts(settings->allowed_hosts, settings->allowed_host_count);
        free_texts(settings->cors_origins, settings->cors_origin_count);
        free(settings->trusted_proxies);
        free(settings->external_origin);
        free(settings->strict_host);
        free(settings);
        settings = replaced;
    }
}

bool http_settings_trusts(const struct http_settings *settings, const struct in6_addr *address) {
    for (size_t i = 0; i < settings->trusted_proxy_count; i++)
        if (network_has(&settings->trusted_proxies[i], address)) return true;
    return false;
}

bool http_settings_has_origin(const struct http_settings *settings, velocity_slice origin) {
    for (size_t i = 0; i < settings->cors_origin_count; i++)
        if (header_is(origin, settings->cors_origins[i])) return true;
    return false;
}

velocity_status http_server_configure(struct http_server *server, const struct http_settings_options *options) {
    struct http_settings *settings = NULL;
    velocity_status status = http_settings_new(options, &settings);
    if (status != VELOCITY_OK) return status;
    settings->replaced = atomic_load(&server->settings);
    atomic_store(&server->settings, settings);
    return VELOCITY_OK;
}
