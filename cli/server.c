/*
 * server.c - velocity db server: the life of the server process.
 *
 *     configuration -> log -> descriptors -> data directory -> database -> service -> HTTP -> port -> ready
 *     SIGTERM or SIGINT: not ready, no new connections -> requests under way end -> each of these, backwards -> exit 0
 *
 * What was begun is in struct server; stop() ends it in reverse, however far the start came. A start that fails says
 * one line and nothing else; what else there is to say is logged when it succeeded.
 */
#include "http/server.h"
#include "cli/command.h"
#include "engine/env.h"
#include "server/acceptor.h"
#include "server/address.h"
#include "server/config.h"
#include "server/data_directory.h"
#include "server/lifecycle.h"
#include "server/logger.h"
#include "server/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Besides connections and table files: log, lock, manifest, the workers' own. */
#define SPARE_DESCRIPTORS 128u
#define LEAST_CONNECTIONS 16u
#define CLOSE_WAIT_MS     5000u

struct server {
    struct config config;
    struct logger *log;
    struct data_directory *directory;
    velocity *db;
    struct service *service;
    struct http_server *http;
    struct acceptor *acceptor;
    uint64_t max_connections; /* the configured number, or what the descriptors allow */
    uint64_t descriptors;     /* how many are allowed */
    uint64_t recovery_ms;     /* how long opening the database took */
};

/* Why the start failed: one line on standard error, and in the log where that is a file. */
static int refuse(struct server *s, const char *what, const char *why) {
    if (*s->config.logging.file)
        logger_event(s->log, LOGGER_LEVEL_ERROR, "refused", logger_text("reason", what), logger_text("detail", why));
    return complain(EXIT_FAILED, "%s: %s", what, why);
}

/* Table files come first: a database that can't open its files is worse than a server that takes fewer connections. */
static int check_descriptors(struct server *s) {
    uint64_t own = s->config.database.max_open_files + SPARE_DESCRIPTORS;
    s->descriptors = lifecycle_raise_descriptors();
    s->max_connections = s->config.server.max_connections;
    if (s->descriptors >= own + s->max_connections) return EXIT_DONE;
    if (s->descriptors < own + LEAST_CONNECTIONS) {
        char why[160];
        (void)snprintf(why, sizeof why,
                       "%" PRIu64 " descriptors are allowed and %" PRIu64
                       " needed: raise \"ulimit -n\" (LimitNOFILE=) or lower database.max_open_files",
                       s->descriptors, own + LEAST_CONNECTIONS);
        return refuse(s, "can't start", why);
    }
    s->max_connections = s->descriptors - own;
    return EXIT_DONE;
}

static int open_data_directory(struct server *s) {
    const char *path = s->config.server.data_dir;
    char what[512];
    velocity_status status = data_directory_open(path, &s->directory);
    if (status == VELOCITY_OK) return EXIT_DONE;
    if (status == VELOCITY_LOCKED)
        (void)snprintf(what, sizeof what,
                       "the data directory %s is in use; stop the other server or choose another --data-dir", path);
    else
        (void)snprintf(what, sizeof what, "can't use the data directory %s", path);
    return refuse(s, what, velocity_error_message());
}

static int open_database(struct server *s) {
    const struct config *c = &s->config;
    velocity_options options = velocity_options_default();
    options.memtable_bytes = c->database.memtable_bytes;
    options.cache_bytes = c->database.cache_bytes;
    options.bloom_false_positive_rate = c->database.bloom_false_positive_rate;
    options.compaction_threshold = (uint32_t)c->database.compaction_threshold;
    options.compression =
        c->database.enable_compression ? (velocity_compression)c->database.compression : VELOCITY_COMPRESSION_NONE;
    options.durability = (velocity_durability)c->database.durability;
    options.interval_ms = (uint32_t)c->database.interval_ms;
    options.max_open_files = (uint32_t)c->database.max_open_files;
    options.background_threads = (uint32_t)c->performance.background_threads;

    uint64_t started_us = env_monotonic_us(env_posix());
    char *path = data_directory_database(s->directory, "default");
    velocity_status status = path ? velocity_open(path, &options, &s->db) : VELOCITY_NO_MEMORY;
    env_free(path);
    if (status != VELOCITY_OK) return refuse(s, "can't open the database \"default\"", velocity_error_message());
    s->recovery_ms = (env_monotonic_us(env_posix()) - started_us) / 1000;
    return EXIT_DONE;
}

static int start_service(struct server *s) {
    const struct config *c = &s->config;
    struct service_options options = {
        .max_value_bytes = c->server.max_value_bytes,
        .max_inflight_bytes = c->server.max_inflight_bytes,
        .disk_reserve_bytes = c->server.disk_reserve_bytes,
        .data_dir = c->server.data_dir,
    };
    s->service = service_new(&options, s->db);
    return s->service ? EXIT_DONE : refuse(s, "can't start the service", velocity_error_message());
}

static int start_http(struct server *s) {
    const struct config *c = &s->config;
    struct http_options options = {
        .threads = (uint32_t)c->server.http_threads,
        .connection_timeout_seconds = (uint32_t)c->server.connection_timeout_seconds,
        .request_deadline_seconds = (uint32_t)c->server.request_deadline_seconds,
        .max_value_bytes = c->server.max_value_bytes,
        .max_inflight_bytes = c->server.max_inflight_bytes,
        .allowed_hosts = (const char *const *)c->server.allowed_hosts.items,
        .allowed_host_count = c->server.allowed_hosts.count,
    };
    if (http_server_start(&options, s->service, &s->http) == VELOCITY_OK) return EXIT_DONE;
    return refuse(s, "can't start the HTTP server", velocity_error_message());
}

static int open_port(struct server *s) {
    const struct config *c = &s->config;
    struct acceptor_options options = {
        .bind_address = c->server.bind_address,
        .max_connections = (uint32_t)s->max_connections,
        .max_connections_per_address = (uint32_t)c->server.max_connections_per_address,
        .deadline_seconds = (uint32_t)c->server.request_deadline_seconds,
        .http = {http_server_take, s->http},
    };
    char what[160];
    if (acceptor_new(&options, &s->acceptor) == VELOCITY_OK && acceptor_run(s->acceptor) == VELOCITY_OK)
        return EXIT_DONE;
    (void)snprintf(what, sizeof what, "can't listen on %.64s; choose another --bind or stop what uses it",
                   c->server.bind_address);
    return refuse(s, what, velocity_error_message());
}

static int start(struct server *s) {
    const struct config *c = &s->config;
    (void)umask(0077);
    s->log = logger_open(c->logging.file, (enum logger_level)c->logging.level, (enum logger_format)c->logging.format);
    if (!s->log) return complain(EXIT_FAILED, "can't open the log %s: %s", c->logging.file, strerror(errno));
    lifecycle_begin();
    int code = check_descriptors(s);
    if (!code) code = open_data_directory(s);
    if (!code) code = open_database(s);
    if (!code) code = start_service(s);
    if (!code) code = start_http(s);
    if (!code) code = open_port(s);
    return code;
}

static void announce(struct server *s) {
    const struct config *c = &s->config;
    struct address address;
    char text[ADDRESS_TEXT_BYTES] = "";
    if (address_parse(c->server.bind_address, &address)) address_format(&address, acceptor_port(s->acceptor), text);
    if (s->max_connections < c->server.max_connections)
        logger_event(s->log, LOGGER_LEVEL_WARNING, "few_descriptors", logger_number("allowed", s->descriptors),
                     logger_number("max_connections", s->max_connections),
                     logger_number("wanted_connections", c->server.max_connections),
                     logger_text("advice", "raise ulimit -n (LimitNOFILE=) or lower server.max_connections"));
    logger_event(s->log, LOGGER_LEVEL_WARNING, "no_users",
                 logger_text("detail", "anyone on this machine can read and write everything"));
    logger_event(s->log, LOGGER_LEVEL_DEBUG, "configured", logger_text("file", c->file ? c->file : "none"),
                 logger_number("cache_bytes", c->database.cache_bytes),
                 logger_number("memtable_bytes", c->database.memtable_bytes));
    logger_event(s->log, LOGGER_LEVEL_INFO, "ready", logger_text("address", text),
                 logger_text("version", velocity_version()), logger_text("data_dir", c->server.data_dir),
                 logger_number("recovery_ms", s->recovery_ms), logger_number("pid", (uint64_t)getpid()));
    lifecycle_notify("READY=1");
}

static void serve(struct server *s) {
    while (lifecycle_wait() == LIFECYCLE_REOPEN_LOG) {
        if (logger_reopen(s->log))
            logger_event(s->log, LOGGER_LEVEL_INFO, "log_reopened");
        else
            logger_event(s->log, LOGGER_LEVEL_ERROR, "log_not_reopened", logger_text("detail", strerror(errno)));
    }
    lifecycle_end_on_signal();
    lifecycle_notify("STOPPING=1");
    logger_event(s->log, LOGGER_LEVEL_INFO, "stopping");
}

/* A client may have its answer before the commit thread is back from giving it: such a write is still under way. */
static velocity_status close_database(velocity *db) {
    velocity_status status = velocity_close(db);
    for (unsigned waited_ms = 0; status == VELOCITY_BUSY && waited_ms < CLOSE_WAIT_MS; waited_ms++) {
        env_sleep_us(1000);
        status = velocity_close(db);
    }
    return status;
}

/* Answers the exit code. */
static int stop(struct server *s) {
    int code = EXIT_DONE;
    bool served = s->acceptor != NULL;
    if (served) acceptor_drain(s->acceptor);
    if (s->http) {
        if (!http_server_stop(s->http, (uint32_t)s->config.server.request_deadline_seconds * 1000))
            logger_event(s->log, LOGGER_LEVEL_WARNING, "requests_cut_off");
    }
    acceptor_free(s->acceptor);
    service_free(s->service);
    if (s->db && close_database(s->db) != VELOCITY_OK) {
        logger_event(s->log, LOGGER_LEVEL_ERROR, "close_failed", logger_text("detail", velocity_error_message()));
        code = EXIT_FAILED;
    }
    data_directory_close(s->directory);
    if (served) logger_event(s->log, LOGGER_LEVEL_INFO, "stopped");
    logger_close(s->log);
    config_free(&s->config);
    return code;
}

int run_server(const struct command *command, const struct command_arguments *arguments) {
    struct server server = {0};
    int code = command_configuration(command, arguments, &server.config);
    if (code) return code;
    code = start(&server);
    if (!code) {
        announce(&server);
        serve(&server);
    }
    int stopped = stop(&server);
    return code ? code : stopped;
}
