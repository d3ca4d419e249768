/*
 * range_delete.c - DELETE /api/keys: all keys of a range, as one step; how many they are, where dry_run asks for that;
 * or the one key that key64 names.
 *
 * A bound that is given is not empty, and who means everything says all=true: a script whose variable is not set
 * deletes nothing.
 */
#include "http/conditions.h"
#include "http/count.h"
#include "http/handlers.h"
#include "http/reply.h"
#include "server/key_range.h"

enum { PREFIX, START, END, ALL, DRY_RUN, KEY64, PARAMETERS };
static const char *const parameters[PARAMETERS] = {"prefix", "start", "end", "all", "dry_run", "key64"};

static bool take_bounds(struct http_request *request, const velocity_slice *values) {
    bool all = false, bounded = false;
    for (int i = PREFIX; i <= END; i++) {
        if (!values[i].data) continue;
        if (values[i].size == 0) return reply_bad_parameter(request, "a bound is empty");
        if (values[i].size > HTTP_MAX_KEY_BYTES)
            return reply_bad_parameter(request, "a bound is longer than a key can be");
        bounded = true;
    }
    if (values[ALL].data && !query_bool(values[ALL], &all)) return reply_bad_parameter(request, "all is true or false");
    if (all && bounded) return reply_bad_parameter(request, "all=true stands without bounds");
    return all || bounded || reply_bad_parameter(request, "give prefix, start or end; all=true deletes every key");
}

/* What the audit log shall say of it: the key is the prefix, or else the first bound. */
static void describe(struct service_request *service, const velocity_slice *values) {
    const velocity_slice *named = values[PREFIX].data  ? &values[PREFIX]
                                  : values[START].data ? &values[START]
                                                       : &values[END];
    if (values[ALL].data && !named->data) {
        service->remark = "every key";
        return;
    }
    service->key = *named;
    if (values[PREFIX].data)
        service->remark = values[START].data || values[END].data ? "keys with this prefix, between bounds"
                                                                 : "every key with this prefix";
    else if (values[START].data)
        service->remark = values[END].data ? "the keys from this one to another" : "every key from this one on";
    else
        service->remark = "every key before this one";
}

static void deleted(struct http_request *request) {
    reply_written(request, MHD_HTTP_NO_CONTENT, "Velocity-Version", false);
}

void keys_delete_range(struct http_request *request) {
    velocity_slice values[PARAMETERS];
    struct service_request *service = &request->service;
    bool dry_run = false, others = false;
    if (!request_parameters(request, parameters, PARAMETERS, values)) return;
    for (int i = 0; i < KEY64; i++) others = others || values[i].data;
    if (values[KEY64].data && !others) {
        service->action = &route_of_action("delete")->action;
        keys_delete(request);
        return;
    }
    if (values[KEY64].data) {
        (void)reply_bad_parameter(request, "key64 stands alone");
        return;
    }
    if (!conditions_absent(request) || !take_bounds(request, values)) return;
    if (values[DRY_RUN].data && !query_bool(values[DRY_RUN], &dry_run)) {
        (void)reply_bad_parameter(request, "dry_run is true or false");
        return;
    }
    service->range_start = values[START];
    service->range_end = values[END];
    unsigned char *buffer = scratch_alloc(&request->scratch, values[PREFIX].size);
    if (!buffer || !key_range_narrow(&service->range_start, &service->range_end, values[PREFIX], buffer)) {
        (void)reply_bad_parameter(request, buffer ? "no key can lie between these bounds" : "no memory");
        return;
    }
    describe(service, values);
    if (dry_run) {
        service->remark = "dry run";
        count_keys(request, velocity_bytes(NULL, 0), service->range_start, service->range_end, true);
        return;
    }
    service->operation = SERVICE_DELETE_RANGE;
    request_run(request, deleted);
}
