/* auth_users.c - users: making, changing, deleting, listing. See auth.h and auth_internal.h. */
#include "server/auth_internal.h"

#include "engine/env.h"
#include "engine/status.h"

#include <search.h>

/* ---- one user --------------------------------------------------------------------------------------------------- */

static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool auth_name_is_good(velocity_slice name) {
    const char *p = name.data;
    if (name.size == 0 || name.size > AUTH_NAME_MAX || !is_alphanumeric(p[0])) return false;
    for (size_t i = 1; i < name.size; i++)
        if (!is_alphanumeric(p[i]) && (p[i] == '\0' || !strchr("._-@", p[i]))) return false;
    return true;
}

static int compare_buckets(const void *a, const void *b) {
    return strcmp(((const struct user_bucket *)a)->name, ((const struct user_bucket *)b)->name);
}

/* The one of this name, which stays when a user goes: who comes back under the name has no more than was left. */
static struct rate_bucket *bucket_of(struct auth *auth, const char *name) {
    struct user_bucket *bucket = env_alloc_zeroed(sizeof *bucket);
    if (!bucket) return NULL;
    memcpy(bucket->name, name, strlen(name) + 1);
    void *node = tsearch(bucket, &auth->buckets, compare_buckets);
    struct user_bucket *found = node ? *(struct user_bucket **)node : NULL;
    if (found != bucket) env_free(bucket);
    return found ? &found->bucket : NULL;
}

struct user *user_new(struct auth *auth, const struct user_model *model) {
    char name[AUTH_NAME_MAX + 1] = "";
    struct principal principal = {.user = strncat(name, model->name, AUTH_NAME_MAX),
                                  .role = model->role,
                                  .login = LOGIN_PASSWORD,
                                  .bucket = bucket_of(auth, name)};
    struct user *user = principal.bucket ? env_alloc_zeroed(sizeof *user) : NULL;
    if (!user) return NULL;
    if (model->scope) principal.scope = *model->scope; /* lent, for the copy */
    user->principal = principal_new(&principal);
    memcpy(user->hash, model->hash, strlen(model->hash) + 1);
    user->password_number =
        model->password_number ? model->password_number : atomic_fetch_add(&auth->next_password_number, 1);
    user->configured = model->configured;
    user->created_at_ms = model->created_at_ms;
    if (user->principal) return user;
    user_free(user);
    return NULL;
}

void user_free(struct user *user) {
    if (!user) return;
    principal_release(user->principal);
    explicit_bzero(user->hash, sizeof user->hash);
    env_free(user);
}

void user_password_mark(const struct user *user, uint8_t out[PASSWORD_MARK_BYTES]) {
    uint8_t digest[DIGEST_BYTES];
    digest_of(velocity_str(user->hash), digest);
    memcpy(out, digest, PASSWORD_MARK_BYTES);
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static int compare_name(velocity_slice name, const struct user *user) {
    velocity_slice other = velocity_str(user->principal->user);
    size_t shared = name.size < other.size ? name.size : other.size;
    int order = shared ? memcmp(name.data, other.data, shared) : 0;
    if (order) return order;
    return name.size < other.size ? -1 : name.size > other.size;
}

size_t user_list_place(const struct user_list *users, velocity_slice name) {
    size_t low = 0, high = users->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_name(name, users->items[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct user *user_list_find(const struct user_list *users, velocity_slice name) {
    size_t place = user_list_place(users, name);
    if (place == users->count || compare_name(name, users->items[place]) != 0) return NULL;
    return users->items[place];
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static velocity_status check_password(const char *password) {
    size_t size = strlen(password);
    if (size >= AUTH_PASSWORD_MIN && size <= AUTH_PASSWORD_MAX) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID, "a password has %d to %d bytes", AUTH_PASSWORD_MIN, AUTH_PASSWORD_MAX);
}

static velocity_status check_change(const struct auth_user_change *change) {
    if (change->role < -1 || change->role >= ROLE_COUNT) return status_set(VELOCITY_INVALID, "there is no such role");
    return change->password ? check_password(change->password) : VELOCITY_OK;
}

static velocity_status taken(const char *name) {
    return status_set(VELOCITY_CONFLICT, "there is a user \"%s\" already", name);
}

/* One that the API may change. */
static velocity_status find_own(const struct user_list *users, const char *name, struct user **out) {
    *out = user_list_find(users, velocity_str(name));
    if (!*out) return status_set(VELOCITY_NOT_FOUND, "there is no user \"%.100s\"", name);
    if (!(*out)->configured) return VELOCITY_OK;
    return status_set(VELOCITY_UNSUPPORTED, "user \"%s\" stands in the configuration and is changed there", name);
}

static bool rules(const struct user *user) {
    return principal_may(user->principal, PERMISSION_ADMIN);
}

/* The users that will be have an admin, if those that are have one. */
static velocity_status check_admin_stays(const struct auth *auth, const struct plan *plan) {
    bool had = false, has = false;
    for (size_t i = 0; i < auth->users.count; i++) had |= rules(auth->users.items[i]);
    for (size_t i = 0; i < plan->users.count; i++) has |= rules(plan->users.items[i]);
    if ((has || !had) && plan->users.count) return VELOCITY_OK;
    return status_set(VELOCITY_CONFLICT, "the last admin can't go: nobody could make another one");
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static velocity_status create(struct auth *auth, const char *name, const struct auth_user_change *change,
                              const char *hash) {
    struct plan plan;
    /* The first one rules: else nobody could make a second one. */
    bool first = auth->users.count == 0;
    struct user_model model = {.name = name,
                               .role = first              ? ROLE_ADMIN
                                       : change->role < 0 ? ROLE_WRITE
                                                          : (enum role)change->role,
                               .scope = first ? NULL : change->scope,
                               .hash = hash,
                               .created_at_ms = auth_wall_ms(auth)};
    if (user_list_find(&auth->users, velocity_str(name))) return taken(name);
    velocity_status status = plan_begin(auth, &plan);
    struct user *user = status ? NULL : user_new(auth, &model);
    if (!status && !user) status = status_set(VELOCITY_NO_MEMORY, "no memory for a user");
    if (!status) status = plan_user(&plan, NULL, user);
    if (!status) status = plan_commit(auth, &plan);
    plan_end(auth, &plan);
    return status;
}

velocity_status auth_user_create(struct auth *auth, const char *name, const struct auth_user_change *change) {
    char hash[PASSWORD_HASH_BYTES];
    if (!auth_name_is_good(velocity_str(name)))
        return status_set(VELOCITY_INVALID,
                          "a user's name has 1 to %d letters, digits and \"._-@\", and begins with a letter or digit",
                          AUTH_NAME_MAX);
    if (!change->password) return status_set(VELOCITY_INVALID, "a new user needs a password");
    velocity_status status = check_change(change);
    if (status) return status;
    /* Before a hash is paid for; it counts below. */
    (void)pthread_rwlock_rdlock(&auth->lock);
    bool there = user_list_find(&auth->users, velocity_str(name)) != NULL;
    (void)pthread_rwlock_unlock(&auth->lock);
    if (there) return taken(name);
    status = auth_hash(auth, change->password, hash);
    if (!status) {
        pthread_mutex_lock(&auth->change);
        status = create(auth, name, change, hash);
        pthread_mutex_unlock(&auth->change);
    }
    explicit_bzero(hash, sizeof hash);
    return status;
}

/* Makes `new` take the place of `old`, with all that follows for tokens and sessions. `new` is taken over. */
static velocity_status replace(struct auth *auth, struct user *old, struct user *new, const struct secret *keep) {
    struct plan plan;
    velocity_status status = plan_begin(auth, &plan);
    if (status) {
        user_free(new);
    } else {
        plan.keep = keep;
        status = plan_user(&plan, old, new);
    }
    if (!status) status = check_admin_stays(auth, &plan);
    if (!status) status = plan_secrets(auth, &plan, old->principal->user);
    if (!status) status = plan_commit(auth, &plan);
    plan_end(auth, &plan);
    return status;
}

/* What the change says of databases and prefixes, and what `before` does of those that it keeps. To be freed. */
static velocity_status merge_scope(const struct auth_user_change *change, const struct scope *before,
                                   struct scope *out) {
    const struct scope *from = change->keep_databases ? before : change->scope;
    const struct scope *prefixes = change->keep_prefixes ? before : change->scope;
    return scope_ask(out, (const char *const *)from->databases, from->database_count, prefixes->prefixes,
                     prefixes->prefix_count);
}

/* hash NULL: the password stays. */
static velocity_status change_user(struct auth *auth, const char *name, const struct auth_user_change *change,
                                   const char *hash) {
    struct user *old;
    struct scope scope = {0};
    velocity_status status = find_own(&auth->users, name, &old);
    if (!status && change->scope) status = merge_scope(change, &old->principal->scope, &scope);
    if (status) return status;
    struct user_model model = {.name = name,
                               .role = change->role < 0 ? old->principal->role : (enum role)change->role,
                               .scope = change->scope ? &scope : &old->principal->scope,
                               .hash = hash ? hash : old->hash,
                               .password_number = hash ? 0 : old->password_number,
                               .created_at_ms = old->created_at_ms};
    struct user *new = user_new(auth, &model);
    scope_free(&scope);
    return new ? replace(auth, old, new, NULL) : status_set(VELOCITY_NO_MEMORY, "no memory for a user");
}

velocity_status auth_user_change(struct auth *auth, const char *name, const struct auth_user_change *change) {
    char hash[PASSWORD_HASH_BYTES];
    struct user *user;
    velocity_status status = check_change(change);
    if (status) return status;
    (void)pthread_rwlock_rdlock(&auth->lock);
    status = find_own(&auth->users, name, &user);
    (void)pthread_rwlock_unlock(&auth->lock);
    if (!status && change->password) status = auth_hash(auth, change->password, hash);
    if (!status) {
        pthread_mutex_lock(&auth->change);
        status = change_user(auth, name, change, change->password ? hash : NULL);
        pthread_mutex_unlock(&auth->change);
    }
    explicit_bzero(hash, sizeof hash);
    return status;
}

static velocity_status delete_user(struct auth *auth, const char *name) {
    struct plan plan;
    struct user *user;
    velocity_status status = find_own(&auth->users, name, &user);
    if (status) return status;
    status = plan_begin(auth, &plan);
    if (!status) status = plan_user(&plan, user, NULL);
    if (!status) status = check_admin_stays(auth, &plan);
    if (!status) status = plan_secrets(auth, &plan, name);
    if (!status) status = plan_commit(auth, &plan);
    plan_end(auth, &plan);
    return status;
}

velocity_status auth_user_delete(struct auth *auth, const char *name) {
    pthread_mutex_lock(&auth->change);
    velocity_status status = delete_user(auth, name);
    pthread_mutex_unlock(&auth->change);
    return status;
}

/* ---- the own password ------------------------------------------------------------------------------------------- */

/* Whose hash it was before, and which number. */
static velocity_status own_hash(struct auth *auth, const char *name, char hash[PASSWORD_HASH_BYTES], uint64_t *number) {
    struct user *user;
    (void)pthread_rwlock_rdlock(&auth->lock);
    velocity_status status = find_own(&auth->users, name, &user);
    if (!status) {
        memcpy(hash, user->hash, PASSWORD_HASH_BYTES);
        *number = user->password_number;
    }
    (void)pthread_rwlock_unlock(&auth->lock);
    return status;
}

/* A stolen session is no way to guess the password: failures count here, too, for this user alone. */
static velocity_status verify_own(struct auth *auth, const char *name, const char *hash, const char *old) {
    velocity_slice user = velocity_str(name);
    uint32_t seconds = failures_banned(auth->failures, NULL, user, auth_monotonic_ms(auth));
    if (seconds)
        return status_set(VELOCITY_BUSY, "the old password was wrong too often; try again in %u seconds", seconds);
    velocity_status status = auth_verify(auth, hash, velocity_str(old));
    if (status == VELOCITY_OK) failures_forget(auth->failures, NULL, user);
    if (status != VELOCITY_NOT_FOUND) return status;
    (void)failures_add(auth->failures, NULL, user, auth_monotonic_ms(auth));
    return status_set(VELOCITY_INVALID, "the old password is wrong");
}

static velocity_status set_own(struct auth *auth, const char *name, uint64_t verified_number, const char *hash,
                               const char *keep_session) {
    struct user *old;
    velocity_status status = find_own(&auth->users, name, &old);
    if (status) return status;
    if (old->password_number != verified_number)
        return status_set(VELOCITY_CONFLICT, "the password of \"%s\" was changed meanwhile", name);
    const struct secret *keep = keep_session ? secret_table_find_id(&auth->secrets, keep_session) : NULL;
    if (keep && strcmp(keep->user, name) != 0) keep = NULL;
    struct user_model model = {.name = name,
                               .role = old->principal->role,
                               .scope = &old->principal->scope,
                               .hash = hash,
                               .created_at_ms = old->created_at_ms};
    struct user *new = user_new(auth, &model);
    return new ? replace(auth, old, new, keep) : status_set(VELOCITY_NO_MEMORY, "no memory for a user");
}

velocity_status auth_own_password(struct auth *auth, const char *name, const char *old, const char *password,
                                  const char *keep_session) {
    char hash[PASSWORD_HASH_BYTES];
    uint64_t number = 0;
    velocity_status status = check_password(password);
    if (status) return status;
    if (atomic_exchange(&auth->changing_own, true))
        return status_set(VELOCITY_BUSY, "another password is being changed; try again");
    status = own_hash(auth, name, hash, &number);
    if (!status) status = verify_own(auth, name, hash, old);
    if (!status) status = auth_hash(auth, password, hash);
    if (!status) {
        pthread_mutex_lock(&auth->change);
        status = set_own(auth, name, number, hash, keep_session);
        pthread_mutex_unlock(&auth->change);
    }
    atomic_store(&auth->changing_own, false);
    explicit_bzero(hash, sizeof hash);
    return status;
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

velocity_status auth_users(struct auth *auth, const char *name, bool (*row)(void *arg, const struct auth_user *user),
                           void *arg) {
    velocity_status status = VELOCITY_OK;
    /* Keeps changes away, not those who look things up. */
    pthread_mutex_lock(&auth->change);
    size_t from = name ? user_list_place(&auth->users, velocity_str(name)) : 0;
    size_t to = name ? from + 1 : auth->users.count;
    if (name && !user_list_find(&auth->users, velocity_str(name))) {
        status = status_set(VELOCITY_NOT_FOUND, "there is no user \"%.100s\"", name);
        to = from;
    }
    for (size_t i = from; i < to; i++) {
        const struct user *user = auth->users.items[i];
        struct auth_user shown = {.name = user->principal->user,
                                  .role = user->principal->role,
                                  .scope = &user->principal->scope,
                                  .configured = user->configured,
                                  .created_at_ms = user->created_at_ms};
        if (!row(arg, &shown)) break;
    }
    pthread_mutex_unlock(&auth->change);
    return status;
}
