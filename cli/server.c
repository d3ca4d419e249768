/*
 * server.c - velocity db server: the life of the server process.
 *
 *     parts started -> ready -> events: reload, stop
 *     SIGTERM or SIGINT: not ready, no new connections -> requests under way end -> the parts, backwards -> exit 0
 */
#include "cli/command.h"
#include "cli/server_parts.h"
#include "server/address.h"
#include "server/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void announce_logins(struct server *s) {
    char fingerprint[TLS_FINGERPRINT_BYTES];
    if (!auth_has_users(s->auth))
        logger_event(s->log, LOGGER_LEVEL_WARNING, "no_users",
                     logger_text("detail", "anyone on this machine can read and write everything"),
                     logger_text("advice", "velocity admin create-user --username NAME"));
    if (!s->tls) return;
    tls_fingerprint(s->tls, fingerprint);
    logger_event(s->log, LOGGER_LEVEL_INFO, "tls", logger_text("fingerprint", fingerprint),
                 logger_text("certificate", tls_is_self_signed(s->tls) ? "self-signed" : s->config.tls.cert_path));
}

static void announce(struct server *s) {
    const struct config *c = &s->config;
    struct address address;
    char text[ADDRESS_TEXT_BYTES] = "";
    logger_configure(s->log, (enum logger_level)c->logging.level, (enum logger_format)c->logging.format);
    if (address_parse(c->server.bind_address, &address)) address_format(&address, acceptor_port(s->acceptor), text);
    if (s->max_connections < c->server.max_connections)
        logger_event(s->log, LOGGER_LEVEL_WARNING, "few_descriptors", logger_number("allowed", s->descriptors),
                     logger_number("max_connections", s->max_connections),
                     logger_number("wanted_connections", c->server.max_connections),
                     logger_text("advice", "raise ulimit -n (LimitNOFILE=) or lower server.max_connections"));
    announce_logins(s);
    if (s->audit) audit_log_head(s->audit);
    logger_event(s->log, LOGGER_LEVEL_DEBUG, "configured", logger_text("file", c->file ? c->file : "none"),
                 logger_number("cache_bytes", c->database.cache_bytes),
                 logger_number("memtable_bytes", c->database.memtable_bytes));
    logger_event(s->log, LOGGER_LEVEL_INFO, "ready", logger_text("address", text),
                 logger_text("version", velocity_version()), logger_text("data_dir", c->server.data_dir),
                 logger_number("databases", databases_count(s->databases)),
                 logger_number("recovery_ms", s->recovery_ms), logger_number("pid", (uint64_t)getpid()));
    lifecycle_notify("READY=1");
}

static void reopen_log(struct server *s) {
    if (logger_reopen(s->log))
        logger_event(s->log, LOGGER_LEVEL_INFO, "log_reopened");
    else
        logger_event(s->log, LOGGER_LEVEL_ERROR, "log_not_reopened", logger_text("detail", strerror(errno)));
}

static void serve(struct server *s) {
    enum lifecycle_event event;
    while ((event = lifecycle_wait(s->lifecycle)) != LIFECYCLE_STOP) {
        if (event == LIFECYCLE_TICK) {
            server_renew_certificate(s);
            continue;
        }
        if (event == LIFECYCLE_HANGUP) reopen_log(s);
        server_reload(s);
    }
    lifecycle_end_on_signal();
    lifecycle_notify("STOPPING=1");
    logger_event(s->log, LOGGER_LEVEL_INFO, "stopping");
}

int run_server(const struct command *command, const struct command_arguments *arguments) {
    struct server server = {.config_mutex = PTHREAD_MUTEX_INITIALIZER};
    int code = command_configuration(command, arguments, &server.config);
    if (code) return code;
    server.request = command_request(command, arguments);
    if (!server.request) {
        config_free(&server.config);
        return complain(EXIT_FAILED, "no memory to start");
    }
    code = server_parts_start(&server);
    if (!code) code = server_parts_open(&server);
    if (!code) {
        announce(&server);
        serve(&server);
    }
    int stopped = server_parts_stop(&server);
    config_request_free(server.request);
    return code ? code : stopped;
}
