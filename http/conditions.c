/* conditions.c - see conditions.h. */
#include "http/conditions.h"

#include "http/reply.h"

bool conditions_parse(struct http_request *request, struct conditions *out) {
    const struct request_headers *headers = &request->headers;
    memset(out, 0, sizeof *out);
    out->has_match = headers->if_match.data != NULL;
    out->has_none_match = headers->if_none_match.data != NULL;
    if (out->has_match && !etag_condition_parse(headers->if_match, &out->match)) {
        reply_problem(request, PROBLEM_INVALID_HEADER, "If-Match is not a list of entity tags");
        return false;
    }
    if (out->has_none_match && !etag_condition_parse(headers->if_none_match, &out->none_match)) {
        reply_problem(request, PROBLEM_INVALID_HEADER, "If-None-Match is not a list of entity tags");
        return false;
    }
    return true;
}

bool conditions_absent(struct http_request *request) {
    if (!request->headers.if_match.data && !request->headers.if_none_match.data) return true;
    reply_problem(request, PROBLEM_INVALID_HEADER,
                  "If-Match and If-None-Match ask for the version of one key, and this is about others");
    return false;
}

bool conditions_match_holds(const struct conditions *c, uint64_t standing) {
    if (!c->has_match) return true;
    return standing == VELOCITY_EXISTS ? c->match.any : etag_if_match(&c->match, standing);
}

bool conditions_none_match_holds(const struct conditions *c, uint64_t standing) {
    if (!c->has_none_match) return true;
    return standing == VELOCITY_EXISTS ? !c->none_match.any : etag_if_none_match(&c->none_match, standing);
}

bool conditions_hold(void *arg, uint64_t standing) {
    return conditions_match_holds(arg, standing) && conditions_none_match_holds(arg, standing);
}

void conditions_set(struct service_request *service, struct conditions *conditions) {
    bool match = conditions->has_match, none_match = conditions->has_none_match;
    service->precondition = match || none_match ? SERVICE_IF_HOLDS : SERVICE_ALWAYS;
    service->holds = conditions_hold;
    service->holds_arg = conditions;
    if (match && !none_match && conditions->match.any) {
        service->precondition = SERVICE_AT_VERSION;
        service->if_version = VELOCITY_EXISTS;
    } else if (none_match && !match && conditions->none_match.any) {
        service->precondition = SERVICE_AT_VERSION;
        service->if_version = VELOCITY_ABSENT;
    } else if (match && !none_match && etag_single_version(&conditions->match, &service->if_version)) {
        /* "0" and the largest number are the engine's words for absent and any; no version is called so. */
        bool plain = service->if_version != VELOCITY_ABSENT && service->if_version != VELOCITY_EXISTS;
        service->precondition = plain ? SERVICE_AT_VERSION : SERVICE_IF_HOLDS;
    }
}
