/* accounts.c - see accounts.h. */
#include "http/accounts.h"

#include "server/base64.h"
#include "server/timestamp.h"
#include "server/utf8.h"

#include <string.h>

/* ---- one of them --------------------------------------------------------------------------------------------------
 */

static void write_text(struct json_writer *w, const char *name, const char *text) {
    json_name(w, name);
    json_write_string(w, velocity_str(text));
}

static void write_time(struct json_writer *w, const char *name, int64_t ms) {
    json_name(w, name);
    timestamp_write(w, ms);
}

static void write_prefixes(struct json_writer *w, const struct scope *scope) {
    bool coded = false;
    json_name(w, "prefixes");
    if (scope->prefix_count == 0) {
        json_write_null(w);
        return;
    }
    json_begin_array(w);
    for (size_t i = 0; i < scope->prefix_count; i++) {
        bool plain = utf8_valid(scope->prefixes[i]);
        if (plain) json_write_string(w, scope->prefixes[i]);
        coded = coded || !plain;
    }
    json_end_array(w);
    if (!coded) return;
    json_name(w, "prefixes64");
    json_begin_array(w);
    for (size_t i = 0; i < scope->prefix_count; i++) {
        char text[SCOPE_MAX_BYTES * 4 / 3 + 4];
        if (utf8_valid(scope->prefixes[i]) || scope->prefixes[i].size > SCOPE_MAX_BYTES) continue;
        json_write_string(w, velocity_bytes(text, base64url_encode(scope->prefixes[i], text)));
    }
    json_end_array(w);
}

void rights_write(struct json_writer *w, enum role role, const struct scope *scope) {
    json_name(w, "role");
    json_write_string(w, velocity_str(role_name(role)));
    json_name(w, "databases");
    if (scope->database_count == 0) {
        json_write_null(w);
    } else {
        json_begin_array(w);
        for (size_t i = 0; i < scope->database_count; i++) json_write_string(w, velocity_str(scope->databases[i]));
        json_end_array(w);
    }
    write_prefixes(w, scope);
}

static bool write_user(void *arg, const struct auth_user *user) {
    struct json_writer *w = arg;
    json_begin_object(w);
    write_text(w, "name", user->name);
    rights_write(w, user->role, user->scope);
    json_name(w, "configured");
    json_write_bool(w, user->configured);
    write_time(w, "created_at", user->created_at_ms);
    json_end_object(w);
    return !w->failed;
}

velocity_status user_write(struct auth *auth, const char *name, struct json_writer *w) {
    return auth_users(auth, name, write_user, w);
}

void secret_write(struct json_writer *w, const struct auth_secret *secret) {
    write_text(w, "id", secret->id);
    if (*secret->name) write_text(w, "name", secret->name); /* a session has none */
    write_text(w, "user", secret->user);
    rights_write(w, secret->role, secret->scope);
    write_time(w, "created_at", secret->created_at_ms);
    write_time(w, "expires_at", secret->expires_at_ms);
}

void token_write_new(struct json_writer *w, const struct auth_secret *token, const char *secret) {
    json_begin_object(w);
    secret_write(w, token);
    write_text(w, "token", secret);
    json_end_object(w);
}

/* ---- all of them --------------------------------------------------------------------------------------------------
 */

static void begin_list(struct json_writer *w, const char *name) {
    json_begin_object(w);
    json_name(w, name);
    json_begin_array(w);
}

static void end_list(struct json_writer *w) {
    json_end_array(w);
    json_end_object(w);
}

velocity_status users_write(struct auth *auth, struct json_writer *w) {
    begin_list(w, "users");
    velocity_status status = auth_users(auth, NULL, write_user, w);
    end_list(w);
    return status;
}

struct listing {
    struct json_writer *w;
    const char *current; /* NULL: of tokens */
};

static bool write_row(void *arg, const struct auth_secret *secret) {
    const struct listing *listing = arg;
    struct json_writer *w = listing->w;
    json_begin_object(w);
    secret_write(w, secret);
    if (listing->current) {
        json_name(w, "current");
        json_write_bool(w, strcmp(secret->id, listing->current) == 0);
    }
    json_end_object(w);
    return !w->failed;
}

velocity_status tokens_write(struct auth *auth, const char *user, struct json_writer *w) {
    struct listing listing = {w, NULL};
    begin_list(w, "tokens");
    velocity_status status = auth_tokens(auth, user, write_row, &listing);
    end_list(w);
    return status;
}

velocity_status sessions_write(struct auth *auth, const char *user, const char *current, struct json_writer *w) {
    struct listing listing = {w, current};
    begin_list(w, "sessions");
    velocity_status status = auth_sessions(auth, user, write_row, &listing);
    end_list(w);
    return status;
}
