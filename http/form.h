/*
 * form.h - a JSON body of a few members, as management takes it: users, tokens, databases.
 *
 *     enum { NAME, LIMIT, MEMBERS };
 *     static const char *const names[MEMBERS] = {"name", "max_bytes"};
 *     struct form form;
 *     form_begin(&form, request, names, MEMBERS);
 *     const char *name = form_text(&form, NAME, FORM_REQUIRED, 1, 63);
 *     (void)form_i64(&form, LIMIT, FORM_OPTIONAL, 0, 100, &limit);
 *     if (!form_end(&form, request)) return;      // the reply says what is wrong
 *
 * Strict: application/json only; a member that is unknown, given twice or of another type is an error, and so is a text
 * that holds a NUL. The first error stays, and every getter after it answers nothing: one look at the end is enough.
 *
 * A form may hold a password, and what comes of it a secret: the parsed tree and the request's body are overwritten
 * when the form ends, and the request's scratch, where the copies are that getters answer, and its reply when the
 * request does.
 *
 * cJSON reads what our own scanner has accepted: it would take invalid UTF-8, "01" and what follows a NUL.
 */
#ifndef VELOCITY_HTTP_FORM_H
#define VELOCITY_HTTP_FORM_H

#include "engine/velocity.h"
#include "http/problem.h"
#include "server/scratch.h"

struct http_request;
struct cJSON;

#define FORM_MEMBERS_MAX  12
#define FORM_REASON_BYTES 200
#define FORM_INTEGER_MAX  INT64_C(9007199254740991) /* cJSON's numbers are doubles: whole up to 2^53 - 1 */

struct form {
    struct scratch *scratch;
    const char *const *names;
    size_t count;
    struct cJSON *root;
    const struct cJSON *members[FORM_MEMBERS_MAX]; /* NULL: not there */
    bool failed;
    enum problem_code code; /* failed */
    bool has_offset;
    uint64_t offset;
    char reason[FORM_REASON_BYTES];
};

enum form_need {
    FORM_REQUIRED,
    FORM_OPTIONAL,
    FORM_NULLABLE, /* may be absent, or null: form_is_null tells which */
};

void form_begin(struct form *form, struct http_request *request, const char *const *names, size_t count);
/* True: nothing was wrong. False: the reply says what was. Everything but the copies is gone. */
bool form_end(struct form *form, struct http_request *request);

/* Where nothing is asked for: true: none came, or one without members; false: the reply says what was wrong. */
bool form_is_empty(struct http_request *request);

/* The two steps without a request. */
void form_parse(struct form *form, velocity_slice body, struct scratch *scratch, const char *const *names,
                size_t count);
void form_free(struct form *form);

/* There, perhaps as null. */
bool form_has(const struct form *form, int member);
bool form_is_null(const struct form *form, int member);
/* Is it exactly this text? Says nothing where it is not. */
bool form_is_word(const struct form *form, int member, const char *word);

/* NULL: absent, null or wrong. Sizes are bytes. */
const char *form_text(struct form *form, int member, enum form_need need, size_t minimum, size_t maximum);
/* False: absent, null or wrong, and *out is unchanged. |minimum|, maximum <= FORM_INTEGER_MAX. */
bool form_i64(struct form *form, int member, enum form_need need, int64_t minimum, int64_t maximum, int64_t *out);
bool form_bool(struct form *form, int member, enum form_need need, bool *out);
/* A list of 1 to max_count texts; NULL and *count 0: absent, null or wrong. */
const char *const *form_texts(struct form *form, int member, enum form_need need, size_t max_count, size_t max_size,
                              size_t *count);
/* What only the caller can tell: the form fails with invalid_body. */
void form_refuse(struct form *form, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
