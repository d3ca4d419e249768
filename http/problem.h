/*
 * problem.h - the one shape of an error: application/problem+json (RFC 9457), from one table of codes.
 *
 * A code is stable: programs may rely on it. Titles and details are for people. docs/errors.md describes each code; a
 * test holds table and document together.
 */
#ifndef VELOCITY_HTTP_PROBLEM_H
#define VELOCITY_HTTP_PROBLEM_H

#include "server/json_write.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

/* clang-format off */
/* name, HTTP status, code, title */
#define PROBLEM_TABLE(X)                                                                                               \
    X(INVALID_REQUEST,        400, "invalid_request",        "The request is malformed")                               \
    X(INVALID_TARGET,         400, "invalid_target",         "The request target is malformed")                        \
    X(INVALID_KEY,            400, "invalid_key",            "The key is empty, too long or malformed")                \
    X(UNKNOWN_PARAMETER,      400, "unknown_parameter",      "A query parameter is not known here")                    \
    X(REPEATED_PARAMETER,     400, "repeated_parameter",     "A query parameter is given twice")                       \
    X(INVALID_PARAMETER,      400, "invalid_parameter",      "A query parameter has an impossible value")              \
    X(INVALID_CURSOR,         400, "invalid_cursor",         "The cursor does not belong to this listing")             \
    X(INVALID_HEADER,         400, "invalid_header",         "A header field has an impossible value")                 \
    X(INVALID_JSON,           400, "invalid_json",           "The body is not JSON")                                   \
    X(INVALID_BODY,           400, "invalid_body",           "The body is not what this request takes")                \
    X(INVALID_OPERATION,      400, "invalid_operation",      "An operation of the batch is invalid; nothing was done") \
    X(INVALID_CONDITION,      400, "invalid_condition",      "A condition of the batch is invalid; nothing was done")  \
    X(LOGIN_REQUIRED,         401, "login_required",          "Who asks must log in")                                  \
    X(LOGIN_REFUSED,          401, "login_refused",           "The credentials are not valid")                         \
    X(TLS_REQUIRED,           403, "tls_required",            "This server is only to be used over TLS")               \
    X(FORBIDDEN,              403, "forbidden",               "The role does not allow this")                          \
    X(OUT_OF_SCOPE,           403, "out_of_scope",            "This is outside of the scope")                          \
    X(CSRF,                   403, "csrf",                    "The request does not repeat its CSRF token")            \
    X(CROSS_SITE,             403, "cross_site",             "The request comes from another site's page")             \
    X(NOT_FOUND,              404, "not_found",              "There is nothing at this address")                       \
    X(KEY_NOT_FOUND,          404, "key_not_found",          "The key is not there")                                   \
    X(DATABASE_NOT_FOUND,     404, "database_not_found",     "The database is not there")                              \
    X(TRANSACTION_NOT_FOUND,  404, "transaction_not_found",   "The transaction is not there")                          \
    X(METHOD_NOT_ALLOWED,     405, "method_not_allowed",     "The address does not take this method")                  \
    X(REQUEST_TIMEOUT,        408, "request_timeout",        "The request took too long to arrive")                    \
    X(CONFLICT,               409, "conflict",               "The request conflicts with the state of the database")   \
    X(NAME_TAKEN,             409, "name_taken",              "The name is in use")                                    \
    X(LAST_ADMIN,             409, "last_admin",              "The last admin has to stay")                            \
    X(CONFIGURED,             409, "configured",              "This stands in the configuration and is changed there") \
    X(DATABASE_IN_USE,        409, "database_in_use",         "The database is in use")                                \
    X(TOO_MANY,               409, "too_many",                "There are as many as there may be")                     \
    X(TRANSACTION_BUSY,       409, "transaction_busy",        "Another request is inside of the transaction")          \
    X(TRANSACTION_CONFLICT,   409, "transaction_conflict",    "The transaction lost against another; nothing was done") \
    X(TRANSACTION_EXPIRED,    410, "transaction_expired",     "The transaction was idle or open for too long")         \
    X(TRANSACTION_ENDED,      410, "transaction_ended",       "The transaction is over")                               \
    X(HISTORY_GONE,           410, "history_gone",           "That part of the history is no longer there")            \
    X(LENGTH_REQUIRED,        411, "length_required",        "The request needs a Content-Length")                     \
    X(PRECONDITION_FAILED,    412, "precondition_failed",    "A condition does not hold; nothing was done")            \
    X(TOO_LARGE,              413, "too_large",              "The body is larger than allowed")                        \
    X(TRANSACTION_TOO_LARGE,  413, "transaction_too_large",   "The transaction would hold too much; this was not done") \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type", "The body has a media type that is not taken here")       \
    X(RANGE_NOT_SATISFIABLE,  416, "range_not_satisfiable",  "The value has none of the bytes that were asked for")    \
    X(EXPECTATION_FAILED,     417, "expectation_failed",     "The expectation can't be met")                           \
    X(FOREIGN_HOST,           421, "foreign_host",           "This server does not answer for that host")              \
    X(VALUE_NOT_JSON,         422, "value_not_json",         "The body is declared as JSON and is not")                \
    X(HEADERS_TOO_LARGE,      431, "headers_too_large",      "The header fields are larger than allowed")              \
    X(RATE_LIMITED,           429, "rate_limited",            "Too many requests; nothing was done")                   \
    X(BANNED,                 429, "banned",                  "Too many wrong credentials; nothing was done")          \
    X(INTERNAL,               500, "internal_error",         "The server failed")                                      \
    X(CORRUPT,                500, "corrupt",                "A file of the database is damaged")                      \
    X(OVERLOADED,             503, "overloaded",             "Too much is under way; nothing was done")                \
    X(DRAINING,               503, "draining",               "The server is shutting down; nothing was done")          \
    X(READ_ONLY,              503, "read_only",              "The database takes no writes; nothing was done")         \
    X(DATABASE_DAMAGED,       503, "database_damaged",        "The database could not be opened")                      \
    X(AUDIT_FAILING,          503, "audit_failing",           "The audit log cannot be written; nothing was done")     \
    X(OUTCOME_UNKNOWN,        504, "outcome_unknown",        "Whether the write took effect is not known")             \
    X(NO_SPACE,               507, "no_space",               "The disk or a limit is full; nothing was done")
/* clang-format on */

#define PROBLEM_ENUM(name, status, code, title) PROBLEM_##name,
enum problem_code { PROBLEM_TABLE(PROBLEM_ENUM) PROBLEM_COUNT };
#undef PROBLEM_ENUM

struct problem_kind {
    unsigned status;   /* HTTP's */
    const char *code;  /* lower case and underscores */
    const char *title; /* the same for every problem of the kind */
};

const struct problem_kind *problem_kind(enum problem_code code);

struct problem {
    enum problem_code code;
    velocity_slice detail;     /* what happened this time; empty: left out */
    velocity_slice request_id; /* empty: left out */
    bool has_current_version;  /* "current_version": null where the key is absent */
    uint64_t current_version;  /* 0: absent */
    velocity_slice key;        /* "key", or "key64" where it is not UTF-8: the one that it is about; empty: left out */
    bool has_index;            /* "index": which operation or condition of a batch, from 0 */
    uint64_t index;
    bool has_offset; /* "offset": of the byte of the body that can't be */
    uint64_t offset;
    bool has_line; /* "line": of an import, from 1 on; "imported": how many before it are in */
    uint64_t line, imported;
};

/* Its kind's; but nobody is told that nothing was done where the first lines of an import were stored. */
velocity_slice problem_title(const struct problem *p);

/* Appends the object; the writer's failure is the caller's to look at. */
void problem_write(struct json_writer *w, const struct problem *p);

#endif
