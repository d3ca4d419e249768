/* server_settings.c - from the configuration to what each part takes; see server_parts.h. */
#include "cli/server_parts.h"

void server_http_settings(const struct config *c, struct http_settings_options *out) {
    *out = (struct http_settings_options){
        .allowed_hosts = (const char *const *)c->server.allowed_hosts.items,
        .allowed_host_count = c->server.allowed_hosts.count,
        .cors_origins = (const char *const *)c->server.cors_origins.items,
        .cors_origin_count = c->server.cors_origins.count,
        .trusted_proxies = (const char *const *)c->server.trusted_proxies.items,
        .trusted_proxy_count = c->server.trusted_proxies.count,
        .external_url = c->server.external_url,
        .allow_plaintext = c->server.allow_plaintext,
        .has_certificate = c->tls.enabled == CONFIG_TLS_OFF || *c->tls.cert_path,
    };
}

void server_limits(const struct config *c, struct service_limits *out) {
    *out = (struct service_limits){.per_user = c->server.rate_limit_per_second,
                                   .per_connection = c->server.connection_rate_limit_per_second,
                                   .global = c->server.global_rate_limit_per_second};
}

void server_audit_settings(const struct config *c, struct audit_settings *out) {
    *out = (struct audit_settings){.enabled = c->security.audit_logging,
                                   .level = (enum audit_level)c->security.audit_level,
                                   .keys = (enum audit_keys)c->security.audit_keys,
                                   .on_failure = (enum audit_on_failure)c->security.audit_on_failure,
                                   .retention_days = (uint32_t)c->security.audit_retention_days,
                                   .max_bytes = c->security.audit_max_bytes};
}

void server_auth_settings(const struct config *c, struct auth_configured_user *users, struct auth_settings *out) {
    for (size_t i = 0; i < c->user_count; i++) {
        const struct config_user *user = &c->users[i];
        users[i] = (struct auth_configured_user){.name = user->name,
                                                 .password = user->password,
                                                 .role = (enum role)user->role,
                                                 .databases = (const char *const *)user->databases.items,
                                                 .database_count = user->databases.count,
                                                 .prefixes = (const char *const *)user->prefixes.items,
                                                 .prefix_count = user->prefixes.count};
    }
    *out = (struct auth_settings){.users = users,
                                  .user_count = c->user_count,
                                  .max_auth_failures = (uint32_t)c->security.max_auth_failures,
                                  .ban_seconds = (uint32_t)c->security.auth_ban_duration};
}

void server_tls_options(const struct server *s, const char *directory, struct tls_options *out) {
    const struct config *c = &s->config;
    *out = (struct tls_options){.directory = directory,
                                .cert_path = c->tls.cert_path,
                                .key_path = c->tls.key_path,
                                .client_ca_path = c->tls.client_ca_path,
                                .names = (const char *const *)c->server.allowed_hosts.items,
                                .name_count = c->server.allowed_hosts.count};
}
