/*
 * management.h - what the handlers of users, tokens, sessions and databases have in common: role and scope of a form,
 * whose things a listing is about, and what a status means.
 */
#ifndef VELOCITY_HTTP_MANAGEMENT_H
#define VELOCITY_HTTP_MANAGEMENT_H

#include "http/form.h"
#include "http/problem.h"
#include "server/auth.h"

struct http_request;

/* ---- role and scope --------------------------------------------------------------------------------------------- */

/* Of a form: these four members, in this order. */
#define RIGHTS_NAMES "role", "databases", "prefixes", "prefixes64"
enum { RIGHTS_ROLE, RIGHTS_DATABASES, RIGHTS_PREFIXES, RIGHTS_PREFIXES64, RIGHTS_COUNT };

/* What was given, in scratch. A list of null is given and empty: everywhere. */
struct rights {
    int role; /* enum role, or -1 */
    bool has_databases, has_prefixes;
    const char *const *databases;
    size_t database_count;
    velocity_slice *prefixes;
    size_t prefix_count;
};

/* The four members that begin at `first`. */
void rights_take(struct form *form, int first, struct rights *out);
static inline bool rights_have_scope(const struct rights *rights) {
    return rights->has_databases || rights->has_prefixes;
}
/* Their scope, and that of `base` (NULL: everywhere) where they say nothing. To be freed. */
VELOCITY_CHECK_RESULT velocity_status rights_scope(const struct rights *rights, const struct scope *base,
                                                   struct scope *out);

/* ---- requests --------------------------------------------------------------------------------------------------- */

struct auth *auth_of(struct http_request *request);
/* An admin without a scope, or whoever there is while there are no users. */
bool is_admin(const struct http_request *request);
/* Answers with a listing of what users have, the own ones or, by the parameters user= and all=, those of others:
 * `write` writes it, of this user or (NULL) of all. */
void owned_get(struct http_request *request, velocity_status (*write)(struct http_request *request, const char *user));
/* "name=value name=value" for the audit log, in scratch; "" where there is nothing to say. */
const char *rights_remark(struct http_request *request, const struct rights *rights, const char *more);

/* What request->writer holds, which no cache may keep. */
void management_reply(struct http_request *request, unsigned status);
/* 204. */
void management_done(struct http_request *request);

/* What a status means here. */
struct meanings {
    enum problem_code not_found, conflict, busy;
};
/* After a call that ended in anything but OK. */
void management_failure(struct http_request *request, const struct meanings *meanings);

#endif
