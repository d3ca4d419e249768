/*
 * patch.c - PATCH of one key: a JSON merge patch (RFC 7396; RFC 5789 is about the method).
 */
#include "http/conditions.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"

#define MERGE_PATCH_TYPE "application/merge-patch+json"

bool keys_patch_begin(struct http_request *request) {
    struct conditions *conditions = scratch_alloc(&request->scratch, sizeof *conditions);
    if (!conditions) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    if (!request_key(request, &request->service.key) || !conditions_parse(request, conditions)) return false;
    conditions_set(&request->service, conditions);
    if (media_type_is(request->headers.content_type, MERGE_PATCH_TYPE)) return true;
    reply_problem(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "a patch has the Content-Type " MERGE_PATCH_TYPE);
    reply_header(request, "Accept-Patch", MERGE_PATCH_TYPE);
    return false;
}

static void patched(struct http_request *request) {
    reply_written(request, MHD_HTTP_NO_CONTENT, "ETag", true);
}

void keys_patch(struct http_request *request) {
    request->service.operation = SERVICE_PATCH;
    request->service.value = body_slice(&request->body);
    request->service.look_into = item_look_into;
    request_run(request, patched);
}
