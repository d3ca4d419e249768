/* auth.c - opening, configuring, and who is it by a secret. See auth.h and auth_internal.h. */
#include "server/auth_internal.h"

#include "engine/env.h"
#include "engine/status.h"

#include <search.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t real_wall_ms(void *arg) {
    (void)arg;
    return read_clock(CLOCK_REALTIME);
}

static int64_t real_monotonic_ms(void *arg) {
    (void)arg;
    return read_clock(CLOCK_MONOTONIC);
}

/* ---- the configuration ------------------------------------------------------------------------------------------ */

static velocity_status configured_scope(const struct auth_configured_user *from, struct scope *out) {
    velocity_slice prefixes[SCOPE_MAX_PREFIXES];
    size_t bytes = 0;
    for (size_t i = 0; i < from->database_count; i++) bytes += strlen(from->databases[i]) + 1;
    for (size_t i = 0; i < from->prefix_count; i++) bytes += strlen(from->prefixes[i]);
    if (from->database_count > SCOPE_MAX_DATABASES || from->prefix_count > SCOPE_MAX_PREFIXES ||
        bytes > SCOPE_MAX_BYTES)
        return status_set(VELOCITY_INVALID,
                          "configured user \"%s\": at most %d databases and %d prefixes, together at most %d bytes",
                          from->name, SCOPE_MAX_DATABASES, SCOPE_MAX_PREFIXES, SCOPE_MAX_BYTES);
    for (size_t i = 0; i < from->prefix_count; i++) prefixes[i] = velocity_str(from->prefixes[i]);
    if (scope_make(out, from->databases, from->database_count, prefixes, from->prefix_count)) return VELOCITY_OK;
    return status_set(VELOCITY_NO_MEMORY, "no memory for a user");
}

static velocity_status check_configured(const struct auth_configured_user *from) {
    if (!auth_name_is_good(velocity_str(from->name)))
        return status_set(
            VELOCITY_INVALID,
            "configured user \"%.100s\": a name has 1 to %d letters, digits and \"._-@\", and begins with a "
            "letter or digit",
            from->name, AUTH_NAME_MAX);
    if ((unsigned)from->role >= ROLE_COUNT)
        return status_set(VELOCITY_INVALID, "configured user \"%s\" has no role", from->name);
    if (password_hash_check(from->password)) {
        char why[256];
        (void)snprintf(why, sizeof why, "%s", velocity_error_message());
        return status_set(VELOCITY_INVALID, "configured user \"%s\": %s", from->name, why);
    }
    return VELOCITY_OK;
}

static bool is_the_same(const struct user *user, const struct auth_configured_user *from, const struct scope *scope) {
    return user && user->configured && user->principal->role == from->role && strcmp(user->hash, from->password) == 0 &&
           scope_covers(&user->principal->scope, scope) && scope_covers(scope, &user->principal->scope);
}

/* Puts one configured user among those that will be: the present one, where nothing changed. */
static velocity_status add_configured(struct auth *auth, struct user_list *users,
                                      const struct auth_configured_user *from) {
    velocity_status status = check_configured(from);
    if (status) return status;
    velocity_slice name = velocity_str(from->name);
    const struct user *there = user_list_find(users, name);
    if (there && there->configured) return status_set(VELOCITY_INVALID, "user \"%s\" is configured twice", from->name);
    if (there)
        return status_set(VELOCITY_INVALID,
                          "user \"%s\" is configured, but was also made through the API: rename or delete one of them",
                          from->name);
    struct scope scope;
    status = configured_scope(from, &scope);
    if (status) return status;
    struct user *user = user_list_find(&auth->users, name);
    if (!is_the_same(user, from, &scope)) {
        struct user_model model = {
            .name = from->name, .role = from->role, .scope = &scope, .hash = from->password, .configured = true};
        user = user_new(auth, &model);
    }
    scope_free(&scope);
    if (!user) return status_set(VELOCITY_NO_MEMORY, "no memory for a user");
    size_t place = user_list_place(users, name);
    memmove(users->items + place + 1, users->items + place, (users->count - place) * sizeof *users->items);
    users->items[place] = user;
    users->count++;
    return VELOCITY_OK;
}

/* Those who were made through the API stay, the configured ones are those of the settings. */
static velocity_status plan_users(struct auth *auth, struct plan *plan, const struct auth_settings *settings) {
    size_t room = auth->users.count + settings->user_count + 1;
    struct user **items = env_realloc(plan->users.items, room * sizeof(struct user *));
    if (!items) return VELOCITY_NO_MEMORY;
    plan->users = (struct user_list){.items = items};
    for (size_t i = 0; i < auth->users.count; i++)
        if (!auth->users.items[i]->configured) items[plan->users.count++] = auth->users.items[i];
    for (size_t i = 0; i < settings->user_count; i++) {
        velocity_status status = add_configured(auth, &plan->users, &settings->users[i]);
        if (status) return status;
    }
    plan->takes_back = true;
    return VELOCITY_OK;
}

velocity_status auth_configure(struct auth *auth, const struct auth_settings *settings) {
    struct plan plan;
    pthread_mutex_lock(&auth->change);
    velocity_status status = plan_begin(auth, &plan);
    if (!status) status = plan_users(auth, &plan, settings);
    if (!status && auth->users.count && plan.users.count == 0)
        status = status_set(VELOCITY_INVALID, "the last user can't go while the server runs: everyone would be admin");
    if (!status) status = plan_secrets(auth, &plan, NULL);
    if (!status) status = plan_commit(auth, &plan);
    if (!status) failures_configure(auth->failures, settings->max_auth_failures, settings->ban_seconds);
    plan_end(auth, &plan);
    pthread_mutex_unlock(&auth->change);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static velocity_status load_user(struct auth *auth, velocity_slice key, velocity_slice value) {
    struct user *user = NULL;
    velocity_status status = record_read_user(auth, key, value, &user);
    if (status) return status;
    /* In powers of two; keys come in the order of names. */
    size_t count = auth->users.count;
    if ((count & (count - 1)) == 0) {
        struct user **larger = env_realloc(auth->users.items, (count ? 2 * count : 1) * sizeof *larger);
        if (!larger) {
            user_free(user);
            return VELOCITY_NO_MEMORY;
        }
        auth->users.items = larger;
    }
    auth->users.items[auth->users.count++] = user;
    return VELOCITY_OK;
}

static velocity_status load_secret(struct auth *auth, velocity_slice key, velocity_slice value, enum secret_kind kind) {
    struct secret *secret = NULL;
    struct secret_table larger;
    velocity_status status = record_read_secret(key, value, kind, &secret);
    if (status) return status;
    if (!secret_table_enlarge(&auth->secrets, 1, &larger)) {
        secret_free(secret);
        return VELOCITY_NO_MEMORY;
    }
    if (larger.slots) {
        env_free(auth->secrets.slots);
        auth->secrets = larger;
    }
    secret_table_insert(&auth->secrets, secret);
    return VELOCITY_OK;
}

static velocity_status load_token(struct auth *auth, velocity_slice key, velocity_slice value) {
    return load_secret(auth, key, value, SECRET_TOKEN);
}

static velocity_status load_session(struct auth *auth, velocity_slice key, velocity_slice value) {
    return load_secret(auth, key, value, SECRET_SESSION);
}

static velocity_status load(struct auth *auth, const char *prefix,
                            velocity_status (*one)(struct auth *, velocity_slice key, velocity_slice value)) {
    velocity_range range = velocity_range_default();
    velocity_status status = VELOCITY_OK;
    range.prefix = velocity_str(prefix);
    velocity_iterator *it = velocity_iterator_new(auth->system, &range);
    for (; !status && velocity_iterator_valid(it); velocity_iterator_next(it)) {
        velocity_slice value = velocity_iterator_value(it);
        if (velocity_iterator_valid(it)) status = one(auth, velocity_iterator_key(it), value);
    }
    if (!status) status = velocity_iterator_status(it);
    velocity_iterator_free(it);
    return status;
}

static velocity_status start(struct auth *auth) {
    pthread_rwlockattr_t attributes;
    struct principal nobody = {.role = ROLE_ADMIN, .login = LOGIN_OPEN, .bucket = &auth->nobody_bucket};
    (void)pthread_mutex_init(&auth->change, NULL);
    (void)pthread_rwlockattr_init(&attributes);
    /* A change must not starve under a steady stream of requests. Nobody reads within a reading. */
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&auth->lock, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
    atomic_init(&auth->generation, 1);
    atomic_init(&auth->next_password_number, 1);
    auth->failures = failures_new();
    auth->remembered = remembered_new();
    auth->nobody = principal_new(&nobody);
    auth->hasher = executor_new(1, AUTH_QUEUE_LIMIT);
    if (!auth->failures || !auth->remembered || !auth->nobody || !auth->hasher)
        return status_set(VELOCITY_NO_MEMORY, "no memory, thread or random numbers for users");
    return env_random(env_posix(), auth->seed, sizeof auth->seed);
}

velocity_status auth_open_in(velocity *system, const struct auth_settings *settings,
                             const struct auth_environment *environment, struct auth **out) {
    *out = NULL;
    struct auth *auth = env_alloc_zeroed(sizeof *auth);
    if (!auth) return VELOCITY_NO_MEMORY;
    auth->system = system;
    auth->environment = *environment;
    velocity_status status = start(auth);
    if (!status) status = load(auth, "user/", load_user);
    if (!status) status = load(auth, "token/", load_token);
    if (!status) status = load(auth, "session/", load_session);
    /* What is stored gets its rights from the users that there are now, or goes if its user did. */
    if (!status) status = auth_configure(auth, settings);
    if (status)
        auth_free(auth);
    else
        *out = auth;
    return status;
}

velocity_status auth_open(velocity *system, const struct auth_settings *settings, struct auth **out) {
    static const struct auth_environment real = {
        .wall_ms = real_wall_ms, .monotonic_ms = real_monotonic_ms, .hash = password_hash};
    return auth_open_in(system, settings, &real, out);
}

void auth_free(struct auth *auth) {
    if (!auth) return;
    executor_free(auth->hasher);
    for (size_t i = 0; i < auth->users.count; i++) user_free(auth->users.items[i]);
    env_free(auth->users.items);
    secret_table_free(&auth->secrets);
    tdestroy(auth->buckets, env_free);
    principal_release(auth->nobody);
    remembered_free(auth->remembered);
    failures_free(auth->failures);
    (void)pthread_rwlock_destroy(&auth->lock);
    (void)pthread_mutex_destroy(&auth->change);
    env_free(auth);
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

bool auth_has_users(struct auth *auth) {
    return atomic_load(&auth->user_count) > 0;
}

uint64_t auth_generation(struct auth *auth) {
    return atomic_load(&auth->generation);
}

struct principal *auth_nobody(struct auth *auth) {
    return principal_acquire(auth->nobody);
}

static bool looks_like_secret(velocity_slice text) {
    return text.size == AUTH_SECRET_TEXT_BYTES &&
           (memcmp(text.data, "vt_", 3) == 0 || memcmp(text.data, "vs_", 3) == 0);
}

/* NULL: it is none, or has ended. *known: there is such a one. */
static struct principal *look_up(struct auth *auth, velocity_slice secret, bool *known) {
    uint8_t digest[DIGEST_BYTES];
    struct principal *principal = NULL;
    *known = false;
    if (!looks_like_secret(secret)) return NULL;
    int64_t now_ms = auth_wall_ms(auth);
    digest_of(secret, digest);
    (void)pthread_rwlock_rdlock(&auth->lock);
    const struct secret *found = secret_table_find(&auth->secrets, digest);
    *known = found != NULL;
    if (found && found->principal && found->expires_at_ms > now_ms) principal = principal_acquire(found->principal);
    (void)pthread_rwlock_unlock(&auth->lock);
    return principal;
}

enum auth_result auth_bearer(struct auth *auth, velocity_slice secret, const char *address,
                             struct principal **principal, uint32_t *retry_after_seconds) {
    bool known;
    *retry_after_seconds = 0;
    *principal = look_up(auth, secret, &known);
    if (*principal) return AUTH_OK;
    if (known) return AUTH_REFUSED; /* who has it guesses at nothing */
    int64_t now_ms = auth_monotonic_ms(auth);
    velocity_slice nobody = {0};
    *retry_after_seconds = failures_banned(auth->failures, address, nobody, now_ms);
    if (*retry_after_seconds) return AUTH_BANNED;
    *retry_after_seconds = failures_add(auth->failures, address, nobody, now_ms);
    return AUTH_REFUSED;
}

enum auth_result auth_cookie(struct auth *auth, velocity_slice secret, struct principal **principal) {
    bool known;
    *principal = look_up(auth, secret, &known);
    if (*principal && (*principal)->by_cookie_allowed) return AUTH_OK;
    principal_release(*principal);
    *principal = NULL;
    return AUTH_REFUSED;
}

void auth_stats(struct auth *auth, struct auth_stats *out) {
    struct failures_stats failures;
    failures_stats(auth->failures, auth_monotonic_ms(auth), &failures);
    *out = (struct auth_stats){.failures = failures.failures,
                               .bans = failures.bans,
                               .banned_now = failures.banned_now,
                               .hashes = atomic_load_explicit(&auth->hashes, memory_order_relaxed),
                               .queue_full = atomic_load_explicit(&auth->queue_full, memory_order_relaxed)};
    (void)pthread_rwlock_rdlock(&auth->lock);
    out->users = auth->users.count;
    out->tokens = auth->secrets.counts[SECRET_TOKEN];
    out->sessions = auth->secrets.counts[SECRET_SESSION];
    (void)pthread_rwlock_unlock(&auth->lock);
}
