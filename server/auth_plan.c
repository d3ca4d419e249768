/* auth_plan.c - one change of users, tokens and sessions: first on disk, then in memory. See auth_internal.h. */
#include "server/auth_internal.h"

#include "engine/env.h"
#include "engine/status.h"

velocity_status plan_begin(struct auth *auth, struct plan *plan) {
    *plan = (struct plan){.batch = velocity_batch_new()};
    if (!plan->batch) return status_set(VELOCITY_NO_MEMORY, "no memory for a change");
    /* One more may come. */
    plan->users.items = env_alloc((auth->users.count + 1) * sizeof(struct user *));
    if (!plan->users.items) return VELOCITY_NO_MEMORY;
    plan->users.count = auth->users.count;
    if (auth->users.count) memcpy(plan->users.items, auth->users.items, auth->users.count * sizeof(struct user *));
    return VELOCITY_OK;
}

/* Frees the users of one list that are not in the other. */
static void free_users(struct user_list *users, const struct user_list *other) {
    for (size_t i = 0; i < users->count; i++)
        if (user_list_find(other, velocity_str(users->items[i]->principal->user)) != users->items[i])
            user_free(users->items[i]);
    env_free(users->items);
}

void plan_end(struct auth *auth, struct plan *plan) {
    /* After a commit the plan holds what was. */
    free_users(&plan->users, &auth->users);
    for (size_t i = 0; i < plan->secret_count; i++) {
        principal_release(plan->secrets[i].principal);
        if (plan->committed && plan->secrets[i].drop) secret_free(plan->secrets[i].secret);
    }
    env_free(plan->secrets);
    env_free(plan->larger.slots);
    if (!plan->committed) secret_free(plan->added);
    velocity_batch_free(plan->batch);
}

velocity_status plan_user(struct plan *plan, struct user *old, struct user *new) {
    const struct user *named = new ? new : old;
    size_t place = user_list_place(&plan->users, velocity_str(named->principal->user));
    struct user **at = plan->users.items + place;
    size_t behind = plan->users.count - place;
    plan->takes_back = true;
    if (old && new) {
        *at = new;
    } else if (new) {
        memmove(at + 1, at, behind * sizeof *at);
        *at = new;
        plan->users.count++;
    } else {
        memmove(at, at + 1, (behind - 1) * sizeof *at);
        plan->users.count--;
    }
    if (named->configured) return VELOCITY_OK;
    if (new) return record_put_user(plan->batch, new);
    char key[AUTH_KEY_BYTES];
    record_user_key(old->principal->user, key);
    velocity_batch_delete(plan->batch, velocity_str(key));
    return VELOCITY_OK;
}

/* ---- tokens and sessions ---------------------------------------------------------------------------------------- */

static struct plan_secret *add_item(struct plan *plan, struct secret *secret) {
    if (plan->secret_count == plan->secret_capacity) {
        size_t capacity = plan->secret_capacity ? 2 * plan->secret_capacity : 16;
        struct plan_secret *larger = env_realloc(plan->secrets, capacity * sizeof *larger);
        if (!larger) return NULL;
        plan->secrets = larger;
        plan->secret_capacity = capacity;
    }
    struct plan_secret *item = &plan->secrets[plan->secret_count++];
    *item = (struct plan_secret){.secret = secret};
    return item;
}

velocity_status plan_drop(struct plan *plan, struct secret *secret) {
    char key[AUTH_KEY_BYTES];
    struct plan_secret *item = add_item(plan, secret);
    if (!item) return VELOCITY_NO_MEMORY;
    item->drop = plan->takes_back = true;
    record_secret_key(secret, key);
    velocity_batch_delete(plan->batch, velocity_str(key));
    return VELOCITY_OK;
}

velocity_status plan_sweep(struct auth *auth, struct plan *plan) {
    int64_t now = auth_wall_ms(auth);
    for (size_t i = 0; i < auth->secrets.capacity; i++) {
        struct secret *secret = auth->secrets.slots[i];
        if (!secret || secret->expires_at_ms > now) continue;
        struct plan_secret *item = add_item(plan, secret);
        if (!item) return VELOCITY_NO_MEMORY;
        item->drop = true;
    }
    return VELOCITY_OK;
}

velocity_status plan_add(struct auth *auth, struct plan *plan, struct secret *secret) {
    plan->added = secret;
    if (!secret_table_enlarge(&auth->secrets, 1, &plan->larger)) return VELOCITY_NO_MEMORY;
    return record_put_secret(plan->batch, secret);
}

velocity_status secret_principal(const struct secret *secret, const struct user *user, struct principal **out) {
    static const struct scope everywhere;
    const struct principal *of_user = user->principal;
    struct principal model = {.user = of_user->user,
                              .role = of_user->role,
                              .login = secret->kind == SECRET_TOKEN ? LOGIN_TOKEN : LOGIN_SESSION,
                              .by_cookie_allowed = secret->browser,
                              .expires_at_ms = secret->expires_at_ms,
                              .bucket = of_user->bucket};
    *out = NULL;
    if (secret->role > (int)model.role) model.role = (enum role)secret->role; /* the weaker one */
    hex_write(secret->digest, SECRET_ID_BYTES, model.id);
    memcpy(model.csrf, secret->csrf, sizeof model.csrf);
    enum scope_meeting meeting =
        scope_intersect(&model.scope, secret->scoped ? &secret->scope : &everywhere, &of_user->scope);
    if (meeting == SCOPE_APART) return VELOCITY_OK;
    if (meeting == SCOPE_MEET) *out = principal_new(&model);
    scope_free(&model.scope);
    explicit_bzero(model.csrf, sizeof model.csrf);
    return *out ? VELOCITY_OK : status_set(VELOCITY_NO_MEMORY, "no memory for a token or session");
}

/* A session was made with the password that its user has now. */
static bool password_is_the_same(const struct secret *session, const struct user *user) {
    uint8_t mark[PASSWORD_MARK_BYTES];
    user_password_mark(user, mark);
    return memcmp(session->password_mark, mark, sizeof mark) == 0;
}

/* The session that goes on with another password has its mark from now on. */
static velocity_status rewrite_mark(struct plan *plan, const struct secret *session, const struct user *user) {
    struct secret copy = *session;
    user_password_mark(user, copy.password_mark);
    velocity_status status = record_put_secret(plan->batch, &copy);
    explicit_bzero(&copy, sizeof copy);
    return status;
}

static velocity_status plan_secret(struct plan *plan, struct secret *secret, const struct user *user) {
    velocity_status status = VELOCITY_OK;
    if (!user) return plan_drop(plan, secret);
    if (secret->kind == SECRET_SESSION && !password_is_the_same(secret, user)) {
        if (secret != plan->keep) return plan_drop(plan, secret);
        status = rewrite_mark(plan, secret, user);
    }
    struct plan_secret *item = status ? NULL : add_item(plan, secret);
    if (!item) return status ? status : VELOCITY_NO_MEMORY;
    return secret_principal(secret, user, &item->principal);
}

velocity_status plan_secrets(struct auth *auth, struct plan *plan, const char *name) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < auth->secrets.capacity && !status; i++) {
        struct secret *secret = auth->secrets.slots[i];
        if (!secret || (name && strcmp(secret->user, name) != 0)) continue;
        const struct user *user = user_list_find(&plan->users, velocity_str(secret->user));
        bool as_it_was = secret->principal && user && user == user_list_find(&auth->users, velocity_str(secret->user));
        if (!as_it_was) status = plan_secret(plan, secret, user);
    }
    return status;
}

/* ---- taking effect ---------------------------------------------------------------------------------------------- */

static velocity_status write_batch(struct auth *auth, velocity_batch *batch) {
    velocity_write_options options = velocity_write_options_default();
    options.durability = VELOCITY_DURABILITY_ALWAYS;
    return velocity_batch_count(batch) ? velocity_write(auth->system, batch, &options, NULL) : VELOCITY_OK;
}

/* Under `lock`: what will be for what was, so that plan_end frees that. */
static void exchange(struct auth *auth, struct plan *plan) {
    struct user_list users = auth->users;
    auth->users = plan->users;
    plan->users = users;
    for (size_t i = 0; i < plan->secret_count; i++) {
        struct plan_secret *item = &plan->secrets[i];
        if (item->drop) {
            secret_table_remove(&auth->secrets, item->secret);
            continue;
        }
        struct principal *was = item->secret->principal;
        item->secret->principal = item->principal;
        item->principal = was;
        if (item->secret == plan->keep)
            user_password_mark(user_list_find(&auth->users, velocity_str(item->secret->user)),
                               item->secret->password_mark);
    }
    if (!plan->added) return;
    secret_table_insert(&auth->secrets, plan->added);
}

velocity_status plan_commit(struct auth *auth, struct plan *plan) {
    velocity_status status = write_batch(auth, plan->batch);
    if (status) return status;
    pthread_rwlock_wrlock(&auth->lock);
    if (plan->larger.slots) {
        struct secret **slots = auth->secrets.slots;
        auth->secrets = plan->larger;
        plan->larger.slots = slots;
    }
    exchange(auth, plan);
    atomic_store(&auth->user_count, auth->users.count);
    if (plan->takes_back) atomic_fetch_add(&auth->generation, 1);
    pthread_rwlock_unlock(&auth->lock);
    plan->committed = true;
    return VELOCITY_OK;
}
