/* form_request.c - see form.h: a form as a request's body, and its failure as the reply. */
#include "http/form.h"

#include "http/headers.h"
#include "http/reply.h"

#include <stdio.h>

/* As if it were {}. */
static void form_none(struct form *form, const char *const *names, size_t count) {
    memset(form, 0, sizeof *form);
    form->names = names;
    form->count = count;
}

void form_begin(struct form *form, struct http_request *request, const char *const *names, size_t count) {
    if (request->match.route->body == BODY_FORM_OPTIONAL && !request->body.size) {
        form_none(form, names, count);
        return;
    }
    request->secret = true;
    if (media_type_is(request->headers.content_type, "application/json")) {
        form_parse(form, body_slice(&request->body), &request->scratch, names, count);
        return;
    }
    memset(form, 0, sizeof *form);
    form->failed = true;
    form->code = PROBLEM_UNSUPPORTED_MEDIA_TYPE;
    (void)snprintf(form->reason, sizeof form->reason, "Content-Type is application/json here");
}

bool form_end(struct form *form, struct http_request *request) {
    form_free(form);
    if (request->body.memory) explicit_bzero(request->body.memory + BODY_HEADROOM_BYTES, request->body.size);
    if (!form->failed) return true;
    reply_problem_with(
        request, form->code,
        (struct problem){.detail = velocity_str(form->reason), .has_offset = form->has_offset, .offset = form->offset});
    return false;
}

bool form_is_empty(struct http_request *request) {
    struct form form;
    form_begin(&form, request, NULL, 0);
    return form_end(&form, request);
}
