/*
 * health.c - /livez, /readyz, /healthz: answered by the worker itself, behind nothing.
 */
#include "http/health.h"

#include "http/handlers.h"
#include "http/reply.h"
#include "http/server_internal.h"

static void plain(struct http_request *request, const char *text) {
    request->reply.status = MHD_HTTP_OK;
    request->reply.content_type = "text/plain; charset=utf-8";
    request->reply.body = velocity_str(text);
    reply_header(request, "Cache-Control", "no-store");
}

void health_live(struct http_request *request) {
    if (!request_parameters(request, NULL, 0, NULL)) return;
    plain(request, "ok\n");
}

/* ---- remembered -------------------------------------------------------------------------------------------------- */

void health_init(struct health *health) {
    *health = (struct health){.until_us = 0};
    (void)pthread_mutex_init(&health->mutex, NULL);
}

void health_destroy(struct health *health) {
    (void)pthread_mutex_destroy(&health->mutex);
}

bool health_all_well(struct health *health, uint64_t now_us, bool (*look)(void *arg), void *arg) {
    (void)pthread_mutex_lock(&health->mutex);
    if (now_us >= health->until_us) {
        health->all_well = look(arg);
        health->until_us = now_us + HEALTH_REMEMBERED_US;
    }
    bool all_well = health->all_well;
    (void)pthread_mutex_unlock(&health->mutex);
    return all_well;
}

/* ---- all databases ----------------------------------------------------------------------------------------------- */

struct states {
    struct json_writer *writer;
    const struct principal *principal; /* NULL: nobody */
    bool disk_is_low;
    bool all_well;
};

/* Who may know that there is such a database learns how it is; the others only whether all is well. */
static bool write_state(void *arg, const struct database_info *info) {
    struct states *states = arg;
    const struct principal *principal = states->principal;
    const char *state = info->status != VELOCITY_OK ? "damaged"
                        : info->stats.read_only     ? "read-only"
                        : states->disk_is_low       ? "low on disk"
                                                    : "ok";
    if (strcmp(state, "ok") != 0) states->all_well = false;
    if (!principal || !scope_has_database(&principal->scope, velocity_str(info->name))) return true;
    json_name(states->writer, info->name);
    json_write_string(states->writer, velocity_str(state));
    return true;
}

static bool walk(struct http_request *request, const struct principal *principal) {
    struct service *service = request->server->service;
    struct service_stats stats;
    service_stats(service, &stats);
    struct states states = {.writer = &request->writer,
                            .principal = principal,
                            .disk_is_low = stats.disk_reserve_bytes && stats.disk_free_bytes < stats.disk_reserve_bytes,
                            .all_well = true};
    if (databases_list(service_databases(service), velocity_str(""), write_state, &states) == VELOCITY_OK)
        return states.all_well;
    request->writer.failed = true;
    return false;
}

static bool walk_for_strangers(void *request) {
    return walk(request, NULL);
}

/* False: all is not well. */
static bool write_databases(struct http_request *request) {
    struct json_writer *w = &request->writer;
    json_name(w, "databases");
    json_begin_object(w);
    bool all_well = request->principal
                        ? walk(request, request->principal)
                        : health_all_well(&request->server->health, clock_us(), walk_for_strangers, request);
    json_end_object(w);
    return all_well;
}

/* False: it fails. */
static bool write_audit(struct json_writer *w, struct audit *audit) {
    struct audit_stats stats = {0};
    if (!audit) return true;
    audit_stats(audit, &stats);
    json_name(w, "audit");
    json_write_string(w, velocity_str(stats.failing ? "failing" : "ok"));
    return !stats.failing;
}

/* Recovery is over before the server listens, so what is left to ask is whether it is on its way out. */
void health_ready(struct http_request *request) {
    static const char *const names[] = {"verbose"};
    velocity_slice verbose;
    bool detailed = false;
    if (!request_parameters(request, names, 1, &verbose)) return;
    if (verbose.data && verbose.size && !query_bool(verbose, &detailed)) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "verbose is true or false, or stands alone");
        return;
    }
    if (verbose.data && verbose.size == 0) detailed = true;
    if (http_server_draining(request->server)) {
        reply_problem(request, PROBLEM_DRAINING, NULL);
        return;
    }
    if (!detailed) {
        plain(request, "ok\n");
        return;
    }
    struct json_writer *w = &request->writer;
    json_begin_object(w);
    json_name(w, "ready");
    json_write_bool(w, true);
    json_name(w, "draining");
    json_write_bool(w, false);
    bool all_well = write_databases(request);
    if (!write_audit(w, service_audit(request->server->service))) all_well = false;
    json_name(w, "all_well");
    json_write_bool(w, all_well);
    json_end_object(w);
    reply_json(request);
    reply_header(request, "Cache-Control", "no-store");
}
