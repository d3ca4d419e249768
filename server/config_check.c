/* config_check.c - the configuration as a whole: what follows from what, and what does not go together. */
#include "server/address.h"
#include "server/auth.h"
#include "server/config_internal.h"
#include "server/network.h"

#include <string.h>

#define KIB                UINT64_C(1024)
#define MIB                (1024 * KIB)
#define ENTRY_BYTES        KIB        /* what database.max_memtable_size counts an entry as */
#define CACHE_BLOCK_BYTES  (4 * KIB)  /* the same for database.cache_size */
#define FRAME_SPARE_BYTES  MIB        /* around the largest value, by default */
#define FRAME_AROUND_BYTES (64 * KIB) /* the least: the largest key and what a frame needs */

static struct config_origin *origin_of(struct config *config, const char *section, const char *name) {
    return &config->origins[config_find(section, name) - config_keys];
}

static bool is_open(const struct config *config) {
    struct address address;
    return address_parse(config->server.bind_address, &address) && !address_is_loopback(&address);
}

void config_derive(struct config *c) {
    if (c->database.max_memtable_size) {
        c->database.memtable_bytes = c->database.max_memtable_size * ENTRY_BYTES;
        *origin_of(c, "database", "memtable_bytes") = *origin_of(c, "database", "max_memtable_size");
    }
    if (c->database.cache_size) {
        c->database.cache_bytes = c->database.cache_size * CACHE_BLOCK_BYTES;
        *origin_of(c, "database", "cache_bytes") = *origin_of(c, "database", "cache_size");
    }
    if (!c->server.max_frame_bytes) c->server.max_frame_bytes = c->server.max_value_bytes + FRAME_SPARE_BYTES;
    if (c->tls.enabled == CONFIG_TLS_AUTO) c->tls.enabled = is_open(c) ? CONFIG_TLS_ON : CONFIG_TLS_OFF;
    c->needs_users = is_open(c) && c->user_count == 0 && !*c->admin_password;
}

/* An error of the whole, told at the place where `section.name` was set. */
static bool fail_at(const struct config *c, struct config_error *error, const char *section, const char *name,
                    const char *what) {
    const struct config_key *key = config_find(section, name);
    const struct config_origin *origin = &c->origins[key - config_keys];
    char place[CONFIG_MAX_ERROR_BYTES / 2] = "default";
    if (origin->source == CONFIG_FILE)
        (void)snprintf(place, sizeof place, "%s:%u", c->file, origin->line);
    else if (origin->source == CONFIG_ENVIRONMENT)
        config_variable(key, place, sizeof place);
    else if (origin->source == CONFIG_FLAG)
        (void)snprintf(place, sizeof place, "--%s", origin->option);
    return config_fail(error, origin->source, "%s: %s%s%s %s", place, section, *section ? "." : "", name, what);
}

/* `small` is below `large`, of the same section; told at the one that was set. */
static bool fail_between(const struct config *c, struct config_error *error, const char *section, const char *small,
                         const char *large, const char *spare) {
    char what[160];
    bool small_was_set = c->origins[config_find(section, small) - config_keys].source != CONFIG_DEFAULT;
    (void)snprintf(what, sizeof what, "must be at %s %s%s.%s", small_was_set ? "least" : "most",
                   small_was_set ? spare : "", section, small_was_set ? large : small);
    return fail_at(c, error, section, small_was_set ? small : large, what);
}

void config_users_needed(const struct config *config, struct config_error *error) {
    (void)fail_at(config, error, "server", "bind_address",
                  "is reachable from other machines, which needs users, and there are none: give them in [users] or "
                  "VELOCITY_ADMIN_PASSWORD, or bind to a loopback address, as 127.0.0.1:2005");
    error->source = CONFIG_FILE; /* well-formed wherever it stands: never wrong usage */
}

/* scheme://host[:port], lower case, as browsers write an origin. */
static bool is_origin(const char *text) {
    bool https = strncmp(text, "https://", 8) == 0;
    if (!https && strncmp(text, "http://", 7) != 0) return false;
    text += https ? 8 : 7;
    size_t size;
    if (*text == '[') {
        size = 1 + strspn(text + 1, "0123456789abcdef:.");
        if (size == 1 || text[size++] != ']') return false;
    } else {
        size = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    }
    if (size == 0 || size > 255) return false;
    text += size;
    if (*text == '\0') return true;
    size = strspn(text + 1, "0123456789");
    return *text == ':' && size > 0 && size <= 5 && text[1 + size] == '\0';
}

static bool check_network(const struct config *c, struct config_error *error) {
    struct address address;
    struct network network;
    if (!address_parse(c->server.bind_address, &address))
        return fail_at(c, error, "server", "bind_address",
                       "must be an address and a port, as 127.0.0.1:2005 or [::1]:2005");
    for (size_t i = 0; i < c->server.trusted_proxies.count; i++)
        if (!network_parse(c->server.trusted_proxies.items[i], &network))
            return fail_at(c, error, "server", "trusted_proxies",
                           "must be addresses and networks, as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32");
    for (size_t i = 0; i < c->server.cors_origins.count; i++)
        if (!is_origin(c->server.cors_origins.items[i]))
            return fail_at(c, error, "server", "cors_origins",
                           "must be origins as a browser sends them: https://app.example:8443, in lower case, without "
                           "a path");
    if (*c->server.external_url && !is_origin(c->server.external_url))
        return fail_at(c, error, "server", "external_url",
                       "must be as https://db.example:2005, in lower case, without a path");
    return true;
}

static bool check_secrecy(const struct config *c, struct config_error *error) {
    size_t password_size = strlen(c->admin_password);
    if (is_open(c) && c->tls.enabled == CONFIG_TLS_OFF && !c->server.allow_plaintext)
        return fail_at(c, error, "tls", "enabled",
                       "must not be false where server.bind_address is reachable from other machines, unless "
                       "server.allow_plaintext is true");
    if (!*c->tls.cert_path != !*c->tls.key_path)
        return fail_at(c, error, "tls", *c->tls.cert_path ? "cert_path" : "key_path",
                       *c->tls.cert_path ? "needs tls.key_path, too" : "needs tls.cert_path, too");
    if (password_size && (password_size < AUTH_PASSWORD_MIN || password_size > AUTH_PASSWORD_MAX))
        return fail_at(c, error, "", "admin_password", "must have 8 to 1024 bytes");
    return true;
}

bool config_check(const struct config *c, struct config_error *error) {
    double rate = c->database.bloom_false_positive_rate;
    if (!check_network(c, error) || !check_secrecy(c, error)) return false;
    if (!*c->server.data_dir) return fail_at(c, error, "server", "data_dir", "must name a folder");
    if (c->server.max_inflight_bytes < c->server.max_value_bytes)
        return fail_between(c, error, "server", "max_inflight_bytes", "max_value_bytes", "");
    if (c->server.max_frame_bytes < c->server.max_value_bytes + FRAME_AROUND_BYTES)
        return fail_between(c, error, "server", "max_frame_bytes", "max_value_bytes", "64 KiB more than ");
    if (c->database.total_memtable_bytes < c->database.memtable_bytes)
        return fail_between(c, error, "database", "total_memtable_bytes", "memtable_bytes", "");
    if (rate > 0.5 && rate < 1)
        return fail_at(c, error, "database", "bloom_false_positive_rate",
                       "must be from 0.0001 to 0.5, or 1 for no filters");
    return true;
}
