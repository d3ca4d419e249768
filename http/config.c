/*
 * config.c - GET /api/config: the configuration in force, and where each value came from. What it says is the
 * program's, which gives the server a function that writes it; secrets are not in it.
 */
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"

void config_get(struct http_request *request) {
    struct http_server *server = request->server;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    if (!server->describe_config) {
        reply_problem(request, PROBLEM_NOT_FOUND, "this server has no configuration of its own");
        return;
    }
    server->describe_config(server->describe_arg, &request->writer);
    management_reply(request, MHD_HTTP_OK);
}
