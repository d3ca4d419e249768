/*
 * admin_files.c - an order carried out in the data directory itself, while no server runs over it: before the first
 * start, or when nobody can log in any more. Whoever may write to the folder may do everything: nobody is asked who
 * they are.
 *
 * Answers have the form that the HTTP interface gives them.
 */
#include "cli/admin.h"
#include "cli/admin_audit.h"
#include "cli/server_parts.h"
#include "cli/show.h"
#include "http/accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- orders ----------------------------------------------------------------------------------------------------- */

/* What --databases and --prefixes say; *given is NULL where they say nothing. */
static velocity_status make_scope(const struct admin_order *order, struct scope *scope, const struct scope **given) {
    const struct admin_words *databases = &order->databases, *prefixes = &order->prefixes;
    memset(scope, 0, sizeof *scope);
    *given = NULL;
    if (!databases->words && !prefixes->words) return VELOCITY_OK;
    velocity_slice *slices = calloc(prefixes->count + 1, sizeof *slices);
    if (!slices) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < prefixes->count; i++) slices[i] = velocity_str(prefixes->words[i]);
    velocity_status status = scope_ask(scope, databases->words, databases->count, slices, prefixes->count);
    free(slices);
    *given = scope;
    return status;
}

static int role_of(const struct admin_order *order) {
    enum role role;
    return order->role && role_parse(velocity_str(order->role), &role) ? (int)role : -1;
}

static velocity_status create_user(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    struct auth_user_change change = {.password = order->password, .role = role_of(order)};
    struct scope scope;
    velocity_status status = make_scope(order, &scope, &change.scope);
    if (status == VELOCITY_OK) status = auth_user_create(auth, order->name, &change);
    scope_free(&scope);
    return status ? status : user_write(auth, order->name, w);
}

static velocity_status list_users(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    (void)order;
    return users_write(auth, w);
}

static velocity_status set_password(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    struct auth_user_change change = {.password = order->password, .role = -1};
    (void)w;
    return auth_user_change(auth, order->name, &change);
}

static velocity_status set_own_password(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    (void)w;
    return auth_own_password(auth, order->login, order->old_password, order->password, NULL);
}

static velocity_status delete_user(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    (void)w;
    return auth_user_delete(auth, order->name);
}

static velocity_status create_token(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    struct auth_secret_options options = {.name = order->name, .role = role_of(order)};
    char secret[AUTH_SECRET_BYTES];
    struct auth_secret token = {0};
    struct scope scope;
    if (order->expires_in_seconds)
        options.expires_at_ms = ((int64_t)time(NULL) + (int64_t)order->expires_in_seconds) * 1000;
    velocity_status status = make_scope(order, &scope, &options.scope);
    if (status == VELOCITY_OK) status = auth_token_create(auth, order->user, &options, secret, &token);
    if (status == VELOCITY_OK) token_write_new(w, &token, secret);
    principal_release(token.principal);
    scope_free(&scope);
    explicit_bzero(secret, sizeof secret);
    return status;
}

static velocity_status list_tokens(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    (void)order;
    return tokens_write(auth, NULL, w);
}

static velocity_status revoke_token(struct auth *auth, const struct admin_order *order, struct json_writer *w) {
    (void)w;
    return auth_token_revoke(auth, NULL, order->name);
}

/* NULL: only a server does that. */
static velocity_status (*const functions[ADMIN_VERB_COUNT])(struct auth *, const struct admin_order *,
                                                            struct json_writer *) = {
    [ADMIN_CREATE_USER] = create_user,   [ADMIN_LIST_USERS] = list_users,
    [ADMIN_SET_PASSWORD] = set_password, [ADMIN_SET_OWN_PASSWORD] = set_own_password,
    [ADMIN_DELETE_USER] = delete_user,   [ADMIN_CREATE_TOKEN] = create_token,
    [ADMIN_LIST_TOKENS] = list_tokens,   [ADMIN_REVOKE_TOKEN] = revoke_token,
};

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static int in_system(velocity *system, const struct config *config, const struct admin_order *order,
                     struct http_reply *out) {
    struct auth_configured_user *users = calloc(config->user_count + 1, sizeof *users);
    struct auth_settings settings;
    struct json_writer w = {0};
    struct audit *audit;
    struct auth *auth;
    if (!users) return complain(EXIT_FAILED, "no memory");
    server_auth_settings(config, users, &settings);
    velocity_status status = auth_open(system, &settings, &auth);
    free(users);
    if (status == VELOCITY_INVALID) return complain(EXIT_CONFIGURATION, "%s", velocity_error_message());
    if (status) return complain_of(status);
    int code = admin_audit_begin(config, order, &audit);
    if (!code) {
        status = functions[order->verb](auth, order, &w);
        if (status) code = complain_of(status);
        int recorded = admin_audit_end(audit, order, status);
        if (!code) code = recorded;
    }
    if (!code && w.failed) code = complain(EXIT_FAILED, "no memory");
    auth_free(auth);
    *out = (struct http_reply){.body = w.data, .size = w.size, .capacity = w.capacity};
    return code;
}

/* As the server opens it. */
static velocity_status open_system(const struct config *config, const char *path, velocity **out) {
    velocity_options options = velocity_options_default();
    uint8_t key[32];
    velocity_status status = VELOCITY_OK;
    if (*config->database.encryption_key_file) {
        status = velocity_key_from_file(config->database.encryption_key_file, key);
        options.encryption_key = velocity_bytes(key, sizeof key);
    }
    if (status == VELOCITY_OK) status = velocity_open(path, &options, out);
    explicit_bzero(key, sizeof key);
    return status;
}

int admin_files_carry_out(const struct config *config, const struct admin_order *order, struct http_reply *out) {
    char path[4096];
    velocity *system;
    const char *data_dir = config->server.data_dir;
    if (!functions[order->verb])
        return complain(EXIT_FAILED, "no server runs over %s, and only a server can do that: start it, or give --url",
                        data_dir);
    if (order->verb == ADMIN_CREATE_TOKEN && !order->user)
        return complain(EXIT_USAGE, "say whose token it is: --username NAME");
    if (snprintf(path, sizeof path, "%s/system", data_dir) >= (int)sizeof path)
        return complain(EXIT_USAGE, "%s: the path is too long", data_dir);
    velocity_status status = open_system(config, path, &system);
    if (status) return complain_of(status);
    int code = in_system(system, config, order, out);
    status = velocity_close(system);
    return status && !code ? complain_of(status) : code;
}
