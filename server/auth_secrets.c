/* auth_secrets.c - tokens and sessions: making, listing, taking back. See auth.h and auth_internal.h. */
#include "server/auth_internal.h"

#include "engine/env.h"
#include "engine/status.h"
#include "server/base64.h"

#include <stdlib.h>

static const char *const prefixes[SECRET_KINDS] = {[SECRET_TOKEN] = "vt_", [SECRET_SESSION] = "vs_"};
static const char *const kind_names[SECRET_KINDS] = {[SECRET_TOKEN] = "token", [SECRET_SESSION] = "session"};

/* ---- what is asked for ------------------------------------------------------------------------------------------ */

static velocity_status check_name(const char *name) {
    size_t size = strlen(name);
    bool good = size <= SECRET_NAME_MAX && utf8_valid(velocity_bytes(name, size));
    for (size_t i = 0; i < size && good; i++) good = (unsigned char)name[i] >= ' ' && name[i] != 0x7F;
    if (good) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID, "a token's name has at most %d bytes of UTF-8 without control characters",
                      SECRET_NAME_MAX);
}

/* Rights that one principal sets as a limit. */
static velocity_status check_limit(const struct principal *limit, int role, const struct scope *scope) {
    if (role < (int)limit->role)
        return status_set(VELOCITY_INVALID, "role %s is beyond what \"%s\" may do here", role_name((enum role)role),
                          limit->user);
    if (!scope_covers(&limit->scope, scope))
        return status_set(VELOCITY_INVALID, "the scope reaches beyond what \"%s\" may do here", limit->user);
    return VELOCITY_OK;
}

static bool same_rights(const struct principal *a, const struct principal *b) {
    return a->role == b->role && scope_covers(&a->scope, &b->scope) && scope_covers(&b->scope, &a->scope);
}

bool auth_holds(struct auth *auth, const struct principal *principal) {
    bool holds;
    if (principal->login == LOGIN_OPEN) return !auth_has_users(auth);
    (void)pthread_rwlock_rdlock(&auth->lock);
    if (principal->login == LOGIN_PASSWORD) {
        /* The very one: with another password, or other rights, comes another one. */
        const struct user *user = user_list_find(&auth->users, velocity_str(principal->user));
        holds = user && user->principal == principal;
    } else {
        const struct secret *secret = secret_table_find_id(&auth->secrets, principal->id);
        holds = secret && secret->principal && same_rights(secret->principal, principal);
    }
    (void)pthread_rwlock_unlock(&auth->lock);
    return holds;
}

/* Role and scope of its own, if any: what is asked for, inside of what the user may and whoever asks. */
static velocity_status choose_rights(struct secret *secret, const struct user *user,
                                     const struct auth_secret_options *options) {
    const struct principal *of_user = user->principal, *by = options->by ? options->by : of_user;
    bool own = strcmp(by->user, of_user->user) == 0;
    if (!own && !principal_may(by, PERMISSION_ADMIN))
        return status_set(VELOCITY_INVALID, "\"%s\" may not make a token for \"%s\"", by->user, of_user->user);
    if (options->role < -1 || options->role >= ROLE_COUNT) return status_set(VELOCITY_INVALID, "there is no such role");
    /* One with fewer rights than its user has hands on no more than its own. */
    bool narrowed = own && !same_rights(by, of_user);
    secret->role = options->role < 0 && narrowed ? (int)by->role : options->role;
    const struct scope *scope = !options->scope && narrowed ? &by->scope : options->scope;
    int role = secret->role < 0 ? (int)of_user->role : secret->role;
    velocity_status status = check_limit(of_user, role, scope ? scope : &of_user->scope);
    if (!status && own) status = check_limit(by, role, scope ? scope : &of_user->scope);
    if (status || !scope) return status;
    secret->scoped = true;
    return scope_copy(&secret->scope, scope) ? VELOCITY_OK : status_set(VELOCITY_NO_MEMORY, "no memory for a scope");
}

static velocity_status choose_end(struct secret *secret, const struct auth_secret_options *options) {
    int64_t now = secret->created_at_ms, end = options->expires_at_ms;
    int64_t latest = now + AUTH_TOKEN_MAX_MS;
    if (secret->kind == SECRET_SESSION) {
        secret->expires_at_ms = now + AUTH_SESSION_MS;
        return VELOCITY_OK;
    }
    /* A token can't prolong its own life through another one. */
    if (options->by && options->by->login == LOGIN_TOKEN && options->by->expires_at_ms < latest)
        latest = options->by->expires_at_ms;
    if (end == 0) end = now + AUTH_TOKEN_MS < latest ? now + AUTH_TOKEN_MS : latest;
    if (end <= now || end > latest)
        return status_set(VELOCITY_INVALID, "a token ends in the future, after 366 days at most, and no later than the "
                                            "token it is made with");
    secret->expires_at_ms = end;
    return VELOCITY_OK;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static velocity_status make_text(struct secret *secret, char text[AUTH_SECRET_BYTES]) {
    uint8_t random[AUTH_SECRET_RANDOM_BYTES];
    velocity_status status = env_random(env_posix(), random, sizeof random);
    if (!status) {
        memcpy(text, prefixes[secret->kind], 3);
        size_t size = 3 + base64url_encode(velocity_bytes(random, sizeof random), text + 3);
        text[size] = '\0';
        digest_of(velocity_bytes(text, size), secret->digest);
    }
    if (!status && secret->browser) {
        status = env_random(env_posix(), random, sizeof random);
        hex_write(random, sizeof random, secret->csrf);
    }
    explicit_bzero(random, sizeof random);
    return status;
}

static velocity_status secret_new(struct auth *auth, const struct user *user, enum secret_kind kind,
                                  const struct auth_secret_options *options, char text[AUTH_SECRET_BYTES],
                                  struct secret **out) {
    struct secret *secret = env_alloc_zeroed(sizeof *secret);
    *out = NULL;
    if (!secret) return VELOCITY_NO_MEMORY;
    secret->kind = kind;
    secret->created_at_ms = auth_wall_ms(auth);
    secret->browser = kind == SECRET_SESSION && options->browser;
    (void)strncat(secret->user, user->principal->user, AUTH_NAME_MAX);
    (void)strncat(secret->name, options->name ? options->name : "", SECRET_NAME_MAX);
    if (kind == SECRET_SESSION) user_password_mark(user, secret->password_mark);
    velocity_status status = choose_rights(secret, user, options);
    if (!status) status = choose_end(secret, options);
    if (!status) status = make_text(secret, text);
    if (!status) status = secret_principal(secret, user, &secret->principal);
    if (status)
        secret_free(secret);
    else
        *out = secret;
    return status;
}

static velocity_status check_room(const struct auth *auth, const char *user, enum secret_kind kind) {
    int64_t now = auth_wall_ms(auth);
    size_t count = 0;
    for (size_t i = 0; i < auth->secrets.capacity; i++) {
        const struct secret *secret = auth->secrets.slots[i];
        count += secret && secret->kind == kind && secret->expires_at_ms > now && strcmp(secret->user, user) == 0;
    }
    if (count < AUTH_SECRETS_PER_USER) return VELOCITY_OK;
    return status_set(VELOCITY_BUSY, "\"%s\" has %d %ss already: take back some", user, AUTH_SECRETS_PER_USER,
                      kind_names[kind]);
}

static velocity_status add(struct auth *auth, const struct user *user, enum secret_kind kind,
                           const struct auth_secret_options *options, char text[AUTH_SECRET_BYTES],
                           struct auth_secret *out) {
    struct plan plan;
    struct secret *secret = NULL;
    velocity_status status = check_room(auth, user->principal->user, kind);
    if (status) return status;
    status = plan_begin(auth, &plan);
    if (!status) status = plan_sweep(auth, &plan);
    if (!status) status = secret_new(auth, user, kind, options, text, &secret);
    if (!status) status = plan_add(auth, &plan, secret);
    if (!status) status = plan_commit(auth, &plan);
    if (!status && out) {
        struct principal *principal = principal_acquire(secret->principal);
        *out = (struct auth_secret){.id = principal->id,
                                    .name = options->name ? options->name : "",
                                    .user = principal->user,
                                    .role = principal->role,
                                    .scope = &principal->scope,
                                    .created_at_ms = secret->created_at_ms,
                                    .expires_at_ms = secret->expires_at_ms,
                                    .csrf = principal->csrf,
                                    .principal = principal};
    }
    plan_end(auth, &plan);
    return status;
}

velocity_status auth_token_create(struct auth *auth, const char *user, const struct auth_secret_options *options,
                                  char secret[AUTH_SECRET_BYTES], struct auth_secret *out) {
    velocity_status status = options->name ? check_name(options->name) : VELOCITY_OK;
    secret[0] = '\0';
    if (status) return status;
    pthread_mutex_lock(&auth->change);
    const struct user *found = user_list_find(&auth->users, velocity_str(user));
    status = found ? add(auth, found, SECRET_TOKEN, options, secret, out)
                   : status_set(VELOCITY_NOT_FOUND, "there is no user \"%.100s\"", user);
    pthread_mutex_unlock(&auth->change);
    if (status) explicit_bzero(secret, AUTH_SECRET_BYTES);
    return status;
}

velocity_status auth_session_create(struct auth *auth, const struct principal *principal,
                                    const struct auth_secret_options *options, char secret[AUTH_SECRET_BYTES],
                                    struct auth_secret *out) {
    velocity_status status = options->name ? check_name(options->name) : VELOCITY_OK;
    secret[0] = '\0';
    if (status) return status;
    pthread_mutex_lock(&auth->change);
    const struct user *user = user_list_find(&auth->users, velocity_str(principal->user));
    /* The very one: else rights or password have changed since it logged in. */
    if (user && user->principal == principal)
        status = add(auth, user, SECRET_SESSION, options, secret, out);
    else
        status = status_set(VELOCITY_INVALID, "a session begins with a password that is right now: log in again");
    pthread_mutex_unlock(&auth->change);
    if (status) explicit_bzero(secret, AUTH_SECRET_BYTES);
    return status;
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b) {
    const struct secret *x = *(const struct secret *const *)a, *y = *(const struct secret *const *)b;
    if (x->created_at_ms != y->created_at_ms) return x->created_at_ms < y->created_at_ms ? 1 : -1;
    return memcmp(x->digest, y->digest, DIGEST_BYTES);
}

static struct auth_secret shown(const struct secret *secret, char id[LOGIN_ID_BYTES]) {
    const struct principal *may = secret->principal;
    hex_write(secret->digest, SECRET_ID_BYTES, id);
    return (struct auth_secret){.id = id,
                                .name = secret->name,
                                .user = secret->user,
                                .role = may ? may->role : ROLE_MONITOR,
                                .scope = may ? &may->scope : &secret->scope,
                                .created_at_ms = secret->created_at_ms,
                                .expires_at_ms = secret->expires_at_ms,
                                .csrf = ""};
}

static velocity_status list(struct auth *auth, const char *user, enum secret_kind kind,
                            bool (*row)(void *arg, const struct auth_secret *secret), void *arg) {
    int64_t now = auth_wall_ms(auth);
    size_t count = 0;
    const struct secret **found = env_alloc((auth->secrets.counts[kind] + 1) * sizeof(struct secret *));
    if (!found) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < auth->secrets.capacity; i++) {
        const struct secret *secret = auth->secrets.slots[i];
        if (secret && secret->kind == kind && secret->expires_at_ms > now && (!user || strcmp(secret->user, user) == 0))
            found[count++] = secret;
    }
    qsort(found, count, sizeof(struct secret *), newest_first);
    for (size_t i = 0; i < count; i++) {
        char id[LOGIN_ID_BYTES];
        struct auth_secret secret = shown(found[i], id);
        if (!row(arg, &secret)) break;
    }
    env_free(found);
    return VELOCITY_OK;
}

velocity_status auth_tokens(struct auth *auth, const char *user,
                            bool (*row)(void *arg, const struct auth_secret *token), void *arg) {
    pthread_mutex_lock(&auth->change);
    velocity_status status = list(auth, user, SECRET_TOKEN, row, arg);
    pthread_mutex_unlock(&auth->change);
    return status;
}

velocity_status auth_sessions(struct auth *auth, const char *user,
                              bool (*row)(void *arg, const struct auth_secret *session), void *arg) {
    pthread_mutex_lock(&auth->change);
    velocity_status status = list(auth, user, SECRET_SESSION, row, arg);
    pthread_mutex_unlock(&auth->change);
    return status;
}

/* ---- taking back ------------------------------------------------------------------------------------------------ */

static velocity_status take_back(struct auth *auth, const char *user, const char *id, enum secret_kind kind) {
    struct plan plan;
    struct secret *secret = secret_table_find_id(&auth->secrets, id);
    if (!secret || secret->kind != kind || (user && strcmp(secret->user, user) != 0))
        return status_set(VELOCITY_NOT_FOUND, "there is no such %s", kind_names[kind]);
    velocity_status status = plan_begin(auth, &plan);
    if (!status) status = plan_drop(&plan, secret);
    if (!status) status = plan_commit(auth, &plan);
    plan_end(auth, &plan);
    return status;
}

velocity_status auth_token_revoke(struct auth *auth, const char *user, const char *id) {
    pthread_mutex_lock(&auth->change);
    velocity_status status = take_back(auth, user, id, SECRET_TOKEN);
    pthread_mutex_unlock(&auth->change);
    return status;
}

velocity_status auth_session_end(struct auth *auth, const char *user, const char *id) {
    pthread_mutex_lock(&auth->change);
    velocity_status status = take_back(auth, user, id, SECRET_SESSION);
    pthread_mutex_unlock(&auth->change);
    return status;
}
