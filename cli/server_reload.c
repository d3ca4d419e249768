/*
 * server_reload.c - the configuration was changed: it is read and checked as a whole first; then each part takes what
 * it can change. A part that refuses keeps what it had, and the log says so.
 */
#include "cli/server_parts.h"

#include "server/timestamp.h"

#include <stdlib.h>

static void tell(struct server *s, const char *part, velocity_status status) {
    if (status == VELOCITY_OK) return;
    logger_event(s->log, LOGGER_LEVEL_ERROR, "not_reloaded", logger_text("part", part),
                 logger_text("detail", velocity_error_message()));
}

static velocity_status reload_users(struct server *s, const struct config *c) {
    struct auth_settings settings;
    struct auth_configured_user *users = calloc(c->user_count + 1, sizeof *users);
    if (!users) return VELOCITY_NO_MEMORY;
    server_auth_settings(c, users, &settings);
    velocity_status status = auth_configure(s->auth, &settings);
    free(users);
    return status;
}

static velocity_status reload_tls(struct server *s) {
    struct tls_options options;
    if (!s->tls) return VELOCITY_OK;
    char *directory = data_directory_path(s->directory, "tls");
    if (!directory) return VELOCITY_NO_MEMORY;
    server_tls_options(s, directory, &options);
    velocity_status status = tls_reload(s->tls, &options);
    free(directory);
    return status;
}

#define RENEW_BEFORE_MS (INT64_C(30) * 24 * 3600 * 1000)

void server_renew_certificate(struct server *s) {
    int64_t now_ms = timestamp_now();
    if (!s->tls || !tls_is_self_signed(s->tls) || tls_expires_at_ms(s->tls) - now_ms > RENEW_BEFORE_MS) return;
    velocity_status status = reload_tls(s);
    tell(s, "tls", status);
    if (status == VELOCITY_OK) logger_event(s->log, LOGGER_LEVEL_INFO, "certificate_renewed");
}

static void apply(struct server *s) {
    const struct config *c = &s->config;
    struct http_settings_options http;
    struct service_limits limits;
    struct audit_settings audit;
    logger_configure(s->log, (enum logger_level)c->logging.level, (enum logger_format)c->logging.format);
    server_http_settings(c, &http);
    tell(s, "http", http_server_configure(s->http, &http));
    http_server_set_deadline(s->http, (uint32_t)c->server.request_deadline_seconds);
    acceptor_set_deadline(s->acceptor, (uint32_t)c->server.request_deadline_seconds);
    acceptor_set_per_address(s->acceptor, (uint32_t)c->server.max_connections_per_address);
    server_limits(c, &limits);
    service_set_limits(s->service, &limits);
    tell(s, "users", reload_users(s, c));
    tell(s, "tls", reload_tls(s));
    if (s->audit) {
        server_audit_settings(c, &audit);
        audit_configure(s->audit, &audit);
    }
    databases_set_cache_bytes(s->databases, c->database.cache_bytes);
    databases_set_durability(s->databases, (velocity_durability)c->database.durability,
                             (uint32_t)c->database.interval_ms);
    tell(s, "databases", databases_set_default_limit(s->databases, c->database.default_max_disk_bytes));
}

static void log_changes(struct server *s, const struct config_changes *changes) {
    for (size_t i = 0; i < changes->changed_count; i++) {
        const struct config_key *key = &config_keys[changes->changed[i]];
        logger_event(s->log, LOGGER_LEVEL_INFO, "setting_changed", logger_text("section", key->section),
                     logger_text("key", key->name));
    }
    for (size_t i = 0; i < changes->restart_count; i++) {
        const struct config_key *key = &config_keys[changes->restart[i]];
        logger_event(s->log, LOGGER_LEVEL_WARNING, "setting_needs_restart", logger_text("section", key->section),
                     logger_text("key", key->name));
    }
    if (changes->users) logger_event(s->log, LOGGER_LEVEL_INFO, "users_changed");
}

void server_record(struct server *s, const char *action, const char *about, const char *detail) {
    if (!s->audit || !audit_wants(s->audit, AUDIT_ADMIN) || audit_reserve_waiting(s->audit) != AUDIT_GO) return;
    audit_record(s->audit,
                 &(struct audit_event){.action = action, .key = velocity_str(about), .status = 200, .detail = detail});
}

void server_reload(struct server *s) {
    struct config next;
    struct config_changes changes;
    struct config_error error;
    if (!config_reload(&s->config, s->request, &next, &changes, &error)) {
        logger_event(s->log, LOGGER_LEVEL_ERROR, "config_refused", logger_text("detail", error.text));
        return;
    }
    pthread_mutex_lock(&s->config_mutex);
    struct config before = s->config;
    s->config = next;
    pthread_mutex_unlock(&s->config_mutex);
    config_free(&before);
    log_changes(s, &changes);
    apply(s);
    /* Who changed the file is the system's to know. */
    server_record(s, "config.reload", next.file ? next.file : "", NULL);
    logger_event(s->log, LOGGER_LEVEL_INFO, "config_reloaded", logger_text("file", next.file ? next.file : "none"));
}
