/* principal.c - see principal.h. What a scope is, and where it reaches, stands in scope.c. */
#include "server/principal.h"

#include "engine/env.h"

static const char *const role_names[ROLE_COUNT] = {"admin", "write", "read", "monitor"};

const char *role_name(enum role role) {
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "none";
}

bool role_parse(velocity_slice name, enum role *out) {
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (name.size != strlen(role_names[i]) || memcmp(name.data, role_names[i], name.size) != 0) continue;
        *out = (enum role)i;
        return true;
    }
    return false;
}

struct principal *principal_new(const struct principal *from) {
    const char *user = from->user ? from->user : "";
    size_t user_bytes = strlen(user) + 1;
    struct principal *p = env_alloc_zeroed(sizeof *p + user_bytes);
    if (!p) return NULL;
    if (!scope_copy(&p->scope, &from->scope)) {
        env_free(p);
        return NULL;
    }
    atomic_init(&p->references, 1);
    p->user = (char *)(p + 1);
    memcpy(p->user, user, user_bytes);
    p->role = from->role;
    p->login = from->login;
    memcpy(p->id, from->id, sizeof p->id);
    p->by_cookie_allowed = from->by_cookie_allowed;
    memcpy(p->csrf, from->csrf, sizeof p->csrf);
    p->expires_at_ms = from->expires_at_ms;
    p->bucket = from->bucket;
    return p;
}

struct principal *principal_acquire(struct principal *principal) {
    /* Who acquires holds a reference, or the lock under which the last one would be given up: no order is needed. */
    atomic_fetch_add_explicit(&principal->references, 1, memory_order_relaxed);
    return principal;
}

void principal_release(struct principal *principal) {
    if (!principal || atomic_fetch_sub_explicit(&principal->references, 1, memory_order_acq_rel) != 1) return;
    scope_free(&principal->scope);
    explicit_bzero(principal->csrf, sizeof principal->csrf);
    env_free(principal);
}

bool principal_may(const struct principal *principal, enum permission permission) {
    switch (permission) {
    case PERMISSION_NONE:
    case PERMISSION_LOGIN:
    case PERMISSION_MONITOR: return true;
    case PERMISSION_READ: return principal->role <= ROLE_READ;
    case PERMISSION_WRITE: return principal->role <= ROLE_WRITE;
    case PERMISSION_ADMIN: return principal->role == ROLE_ADMIN && scope_is_all(&principal->scope);
    }
    return false;
}
