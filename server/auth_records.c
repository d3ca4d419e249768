/*
 * auth_records.c - users, tokens and sessions as JSON in the system database.
 *
 *     user/<name>    {"password":"$argon2id$...","role":"write","scope":{...},"created_at_ms":1}
 *     token/<id>     {"sha256":"...","user":"ann","name":"backup","role":"read","scope":{...},"created_at_ms":1,
 *                     "expires_at_ms":2}
 *     session/<id>   the same, and "browser":true,"csrf":"...","password":"..." (a mark of the hash)
 *
 * scope is {"databases":["default"],"prefixes":["<base64url>"]}. A token or session whose role or scope is null has its
 * user's. Records of tokens and sessions expire with them, in the engine.
 *
 * Reading is strict: a member that is missing, twice, unknown or of another type, or a value that could not have been
 * written, makes the record unreadable, and nothing is guessed: it decides who may do what.
 */
#include "server/auth_internal.h"

#include "engine/env.h"
#include "engine/status.h"
#include "server/base64.h"
#include "server/json.h"

#include <stdio.h>

static const char *const kind_folders[SECRET_KINDS] = {[SECRET_TOKEN] = "token/", [SECRET_SESSION] = "session/"};
static const char user_folder[] = "user/";

void record_user_key(const char *name, char out[AUTH_KEY_BYTES]) {
    (void)snprintf(out, AUTH_KEY_BYTES, "%s%s", user_folder, name);
}

void record_secret_key(const struct secret *secret, char out[AUTH_KEY_BYTES]) {
    char id[LOGIN_ID_BYTES];
    hex_write(secret->digest, SECRET_ID_BYTES, id);
    (void)snprintf(out, AUTH_KEY_BYTES, "%s%s", kind_folders[secret->kind], id);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* No record is larger, so the writer never grows and leaves no copies of a hash behind. */
#define RECORD_MAX_BYTES                                                                                               \
    (1024 + 6 * SECRET_NAME_MAX + 2 * SCOPE_MAX_BYTES + 4 * (SCOPE_MAX_DATABASES + SCOPE_MAX_PREFIXES))

static bool write_prefixes(struct json_writer *w, const struct scope *scope) {
    char *text = env_alloc(base64url_encoded_size(SCOPE_MAX_BYTES));
    if (!text) return false;
    json_begin_array(w);
    for (size_t i = 0; i < scope->prefix_count; i++)
        json_write_string(w, velocity_bytes(text, base64url_encode(scope->prefixes[i], text)));
    json_end_array(w);
    env_free(text);
    return true;
}

static bool write_scope(struct json_writer *w, const struct scope *scope) {
    json_begin_object(w);
    json_name(w, "databases");
    json_begin_array(w);
    for (size_t i = 0; i < scope->database_count; i++) json_write_string(w, velocity_str(scope->databases[i]));
    json_end_array(w);
    json_name(w, "prefixes");
    bool written = write_prefixes(w, scope);
    json_end_object(w);
    return written;
}

static void write_text(struct json_writer *w, const char *name, const char *text) {
    json_name(w, name);
    json_write_string(w, velocity_str(text));
}

static void write_hex(struct json_writer *w, const char *name, const uint8_t *bytes, size_t size) {
    char text[2 * DIGEST_BYTES + 1];
    hex_write(bytes, size, text);
    write_text(w, name, text);
}

/* Puts what was written, and forgets it. */
static velocity_status put(velocity_batch *batch, const char *key, struct json_writer *w, int64_t expires_at_ms,
                           bool written) {
    velocity_put_options options = velocity_put_options_default();
    velocity_status status = VELOCITY_OK;
    options.expires_at_ms = expires_at_ms;
    if (!written || w->failed)
        status = status_set(VELOCITY_NO_MEMORY, "no memory to write %s", key);
    else
        velocity_batch_put(batch, velocity_str(key), velocity_bytes(w->data, w->size), &options);
    if (w->data) explicit_bzero(w->data, w->size);
    json_writer_free(w);
    return status;
}

velocity_status record_put_user(velocity_batch *batch, const struct user *user) {
    struct json_writer w = {.limit_bytes = RECORD_MAX_BYTES};
    char key[AUTH_KEY_BYTES];
    record_user_key(user->principal->user, key);
    (void)json_writer_reserve(&w, RECORD_MAX_BYTES);
    json_begin_object(&w);
    write_text(&w, "password", user->hash);
    write_text(&w, "role", role_name(user->principal->role));
    json_name(&w, "scope");
    bool written = write_scope(&w, &user->principal->scope);
    json_name(&w, "created_at_ms");
    json_write_i64(&w, user->created_at_ms);
    json_end_object(&w);
    return put(batch, key, &w, 0, written);
}

velocity_status record_put_secret(velocity_batch *batch, const struct secret *secret) {
    struct json_writer w = {.limit_bytes = RECORD_MAX_BYTES};
    char key[AUTH_KEY_BYTES];
    bool written = true;
    record_secret_key(secret, key);
    (void)json_writer_reserve(&w, RECORD_MAX_BYTES);
    json_begin_object(&w);
    write_hex(&w, "sha256", secret->digest, DIGEST_BYTES);
    write_text(&w, "user", secret->user);
    write_text(&w, "name", secret->name);
    json_name(&w, "role");
    if (secret->role < 0)
        json_write_null(&w);
    else
        json_write_string(&w, velocity_str(role_name((enum role)secret->role)));
    json_name(&w, "scope");
    if (secret->scoped)
        written = write_scope(&w, &secret->scope);
    else
        json_write_null(&w);
    json_name(&w, "created_at_ms");
    json_write_i64(&w, secret->created_at_ms);
    json_name(&w, "expires_at_ms");
    json_write_i64(&w, secret->expires_at_ms);
    if (secret->kind == SECRET_SESSION) {
        json_name(&w, "browser");
        json_write_bool(&w, secret->browser);
        write_text(&w, "csrf", secret->csrf);
        write_hex(&w, "password", secret->password_mark, PASSWORD_MARK_BYTES);
    }
    json_end_object(&w);
    return put(batch, key, &w, secret->expires_at_ms, written);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

#define KEY_SHOWN_BYTES 128

static velocity_status unreadable(velocity_slice key, const char *why) {
    int shown = (int)(key.size < KEY_SHOWN_BYTES ? key.size : KEY_SHOWN_BYTES);
    return status_set(VELOCITY_CORRUPT, "the system database's record \"%.*s\" cannot be read: %s", shown,
                      (const char *)key.data, why);
}

/* A string without NUL that fits. */
static bool read_text(struct json_value value, char *out, size_t size) {
    char escapes[1024];
    velocity_slice text;
    if (json_string_buffer_bytes(value) > sizeof escapes || !json_string(value, escapes, &text)) return false;
    bool fits = text.size < size && !memchr(text.data, 0, text.size);
    if (fits) {
        memcpy(out, text.data, text.size);
        out[text.size] = '\0';
    }
    explicit_bzero(escapes, sizeof escapes);
    return fits;
}

static bool read_hex(struct json_value value, uint8_t *out, size_t size) {
    char text[2 * DIGEST_BYTES + 1];
    return read_text(value, text, sizeof text) && hex_read(velocity_str(text), out, size);
}

static bool read_role(struct json_value value, enum role *out) {
    char text[16];
    return read_text(value, text, sizeof text) && role_parse(velocity_str(text), out);
}

static bool read_time(struct json_value value, int64_t *out) {
    return json_i64(value, out) && *out >= 0;
}

/* Names and prefixes of a scope while it is read; `bytes` holds them. */
struct scope_parts {
    const char *databases[SCOPE_MAX_DATABASES];
    velocity_slice prefixes[SCOPE_MAX_PREFIXES];
    size_t database_count, prefix_count, used;
    char bytes[SCOPE_MAX_BYTES];
};

static bool read_databases(struct json_value value, struct scope_parts *parts) {
    struct json_reader reader;
    struct json_value item;
    if (value.type != JSON_ARRAY) return false;
    for (json_read(&reader, value); json_next_element(&reader, &item); parts->database_count++) {
        char *at = parts->bytes + parts->used;
        if (parts->database_count == SCOPE_MAX_DATABASES || !read_text(item, at, sizeof parts->bytes - parts->used))
            return false;
        parts->databases[parts->database_count] = at;
        parts->used += strlen(at) + 1;
    }
    return true;
}

static bool read_prefixes(struct json_value value, struct scope_parts *parts) {
    struct json_reader reader;
    struct json_value item;
    if (value.type != JSON_ARRAY) return false;
    for (json_read(&reader, value); json_next_element(&reader, &item); parts->prefix_count++) {
        velocity_slice text;
        size_t size = 0;
        char *at = parts->bytes + parts->used;
        /* Base64url has no escapes. */
        if (parts->prefix_count == SCOPE_MAX_PREFIXES || json_string_buffer_bytes(item) ||
            !json_string(item, NULL, &text))
            return false;
        if (base64_decoded_max(text.size) > sizeof parts->bytes - parts->used || !base64url_decode(text, at, &size))
            return false;
        parts->prefixes[parts->prefix_count] = velocity_bytes(at, size);
        parts->used += size;
    }
    return true;
}

static bool read_scope_parts(struct json_value value, struct scope_parts *parts) {
    static const char *const names[] = {"databases", "prefixes"};
    struct json_reader reader;
    struct json_member member;
    uint64_t seen = 0;
    bool good = value.type == JSON_OBJECT;
    for (json_read(&reader, value); good && json_next_member(&reader, &member);) {
        switch (json_field(&member, names, 2, &seen)) {
        case 0: good = read_databases(member.value, parts); break;
        case 1: good = read_prefixes(member.value, parts); break;
        default: good = false;
        }
    }
    return good && seen == 3;
}

/* *memory: whether it was for want of that. */
static bool read_scope(struct json_value value, struct scope *out, bool *memory) {
    struct scope_parts *parts = env_alloc(sizeof *parts);
    *memory = !parts;
    if (!parts) return false;
    parts->database_count = parts->prefix_count = parts->used = 0;
    bool good = read_scope_parts(value, parts);
    if (good) {
        good = scope_make(out, parts->databases, parts->database_count, parts->prefixes, parts->prefix_count);
        *memory = !good;
    }
    env_free(parts);
    return good;
}

/* Walks the members of a record. `read` answers false where a value is not what it has to be. */
static velocity_status read_members(velocity_slice key, velocity_slice value, const char *const *names, size_t count,
                                    bool (*read)(void *arg, int field, struct json_value value), void *arg) {
    struct json_error error;
    struct json_value root;
    struct json_reader reader;
    struct json_member member;
    uint64_t seen = 0;
    char why[64];
    if (!json_parse(value, &root, &error)) return unreadable(key, error.reason);
    if (root.type != JSON_OBJECT) return unreadable(key, "not a JSON object");
    for (json_read(&reader, root); json_next_member(&reader, &member);) {
        int field = json_field(&member, names, count, &seen);
        if (field < 0) return unreadable(key, field == FIELD_REPEATED ? "a member twice" : "an unknown member");
        if (read(arg, field, member.value)) continue;
        (void)snprintf(why, sizeof why, "an impossible \"%s\"", names[field]);
        return unreadable(key, why);
    }
    for (size_t i = 0; i < count; i++) {
        if (seen & UINT64_C(1) << i) continue;
        (void)snprintf(why, sizeof why, "\"%s\" is missing", names[i]);
        return unreadable(key, why);
    }
    return VELOCITY_OK;
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

struct user_record {
    char hash[PASSWORD_HASH_BYTES];
    enum role role;
    struct scope scope;
    int64_t created_at_ms;
    bool no_memory;
};

static bool read_user_member(void *arg, int field, struct json_value value) {
    struct user_record *record = arg;
    switch (field) {
    case 0: return read_text(value, record->hash, sizeof record->hash) && !password_hash_check(record->hash);
    case 1: return read_role(value, &record->role);
    case 2: return read_scope(value, &record->scope, &record->no_memory);
    default: return read_time(value, &record->created_at_ms);
    }
}

velocity_status record_read_user(struct auth *auth, velocity_slice key, velocity_slice value, struct user **out) {
    static const char *const names[] = {"password", "role", "scope", "created_at_ms"};
    struct user_record record = {0};
    char name[AUTH_NAME_MAX + 1];
    *out = NULL;
    size_t folder = strlen(user_folder), size = key.size - folder;
    if (!auth_name_is_good(velocity_bytes((const char *)key.data + folder, size)))
        return unreadable(key, "an impossible name");
    memcpy(name, (const char *)key.data + folder, size);
    name[size] = '\0';
    velocity_status status = read_members(key, value, names, sizeof names / sizeof *names, read_user_member, &record);
    if (!status) {
        struct user_model model = {.name = name,
                                   .role = record.role,
                                   .scope = &record.scope,
                                   .hash = record.hash,
                                   .created_at_ms = record.created_at_ms};
        *out = user_new(auth, &model);
        record.no_memory = !*out;
    }
    scope_free(&record.scope);
    explicit_bzero(record.hash, sizeof record.hash);
    if (record.no_memory) return status_set(VELOCITY_NO_MEMORY, "no memory for a user");
    return status;
}

/* ---- tokens and sessions ---------------------------------------------------------------------------------------- */

enum {
    SHA256,
    USER,
    NAME,
    ROLE,
    SCOPE,
    CREATED,
    EXPIRES,
    TOKEN_FIELDS,
    BROWSER = TOKEN_FIELDS,
    CSRF,
    PASSWORD,
    FIELDS
};

struct secret_record {
    struct secret *secret;
    bool no_memory;
};

static bool read_csrf(struct json_value value, char out[2 * DIGEST_BYTES + 1]) {
    uint8_t bytes[DIGEST_BYTES];
    if (!read_text(value, out, 2 * DIGEST_BYTES + 1)) return false;
    bool good = *out == '\0' || hex_read(velocity_str(out), bytes, sizeof bytes);
    explicit_bzero(bytes, sizeof bytes);
    return good;
}

static bool read_secret_member(void *arg, int field, struct json_value value) {
    struct secret_record *record = arg;
    struct secret *secret = record->secret;
    enum role role;
    switch (field) {
    case SHA256: return read_hex(value, secret->digest, DIGEST_BYTES);
    case USER:
        return read_text(value, secret->user, sizeof secret->user) && auth_name_is_good(velocity_str(secret->user));
    case NAME: return read_text(value, secret->name, sizeof secret->name);
    case ROLE:
        if (value.type == JSON_NULL) return true;
        if (!read_role(value, &role)) return false;
        secret->role = (int)role;
        return true;
    case SCOPE:
        secret->scoped = value.type != JSON_NULL;
        return !secret->scoped || read_scope(value, &secret->scope, &record->no_memory);
    case CREATED: return read_time(value, &secret->created_at_ms);
    case EXPIRES: return read_time(value, &secret->expires_at_ms);
    case BROWSER: return json_bool(value, &secret->browser);
    case CSRF: return read_csrf(value, secret->csrf);
    default: return read_hex(value, secret->password_mark, PASSWORD_MARK_BYTES);
    }
}

velocity_status record_read_secret(velocity_slice key, velocity_slice value, enum secret_kind kind,
                                   struct secret **out) {
    static const char *const names[FIELDS] = {"sha256",        "user",          "name",    "role", "scope",
                                              "created_at_ms", "expires_at_ms", "browser", "csrf", "password"};
    char expected[AUTH_KEY_BYTES];
    *out = NULL;
    struct secret_record record = {.secret = env_alloc_zeroed(sizeof *record.secret)};
    if (!record.secret) return VELOCITY_NO_MEMORY;
    record.secret->kind = kind;
    record.secret->role = -1;
    velocity_status status =
        read_members(key, value, names, kind == SECRET_TOKEN ? TOKEN_FIELDS : FIELDS, read_secret_member, &record);
    if (record.no_memory) status = status_set(VELOCITY_NO_MEMORY, "no memory for a token or session");
    if (!status) {
        record_secret_key(record.secret, expected);
        if (key.size != strlen(expected) || memcmp(key.data, expected, key.size) != 0)
            status = unreadable(key, "its id is not that of its secret");
    }
    if (status)
        secret_free(record.secret);
    else
        *out = record.secret;
    return status;
}
