/*
 * server_parts.c - starts and ends what a server is made of; see server_parts.h. A start that fails says one line and
 * nothing else.
 */
#include "cli/server_parts.h"

#include "cli/command.h"
#include "engine/env.h"
#include "server/address.h"
#include "server/lifecycle.h"
#include "server/pid_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Besides connections, table files and databases: log, audit log, the workers' own. */
#define SPARE_DESCRIPTORS    128u
#define DATABASE_DESCRIPTORS 6u /* log, lock, manifest and their like of each database */
#define LEAST_CONNECTIONS    16u
#define CLOSE_WAIT_MS        5000u
/* Bytes a second at which a large reply must be taken; see http_options. */
#define MIN_REPLY_RATE 16384u
#define TICK_MS        3600000u
#define MIB            ((uint64_t)1 << 20)

/* Why the start failed: one line on standard error, and in the log where that is a file. */
static int refuse(struct server *s, const char *what, const char *why) {
    if (*s->config.logging.file)
        logger_event(s->log, LOGGER_LEVEL_ERROR, "refused", logger_text("reason", what), logger_text("detail", why));
    return complain(EXIT_FAILED, "%s: %s", what, why);
}

/* ---- log, descriptors, data directory ---------------------------------------------------------------------------- */

static int open_log(struct server *s) {
    const struct config *c = &s->config;
    /* What a start that succeeds has to say comes when it did: announce() sets the level that was asked for. */
    s->log = logger_open(c->logging.file, LOGGER_LEVEL_ERROR, (enum logger_format)c->logging.format);
    if (s->log) return EXIT_DONE;
    return complain(EXIT_FAILED, "can't open the log %s: %s", c->logging.file, strerror(errno));
}

/* The signals wait for the main thread from here on, in every thread that is started later. */
static int begin_lifecycle(struct server *s) {
    const char *places[CONFIG_MAX_PLACES];
    struct lifecycle_options options = {.watched = places, .tick_ms = TICK_MS};
    if (s->config.service.watch_config) options.watched_count = config_places(s->request, places);
    s->lifecycle = lifecycle_begin(&options);
    return s->lifecycle ? EXIT_DONE : refuse(s, "can't start", strerror(errno));
}

/* Behind TLS a connection has one, and the two ends of a socket pair. */
static uint64_t descriptors_each(const struct config *c) {
    return c->tls.enabled == CONFIG_TLS_OFF ? 1 : 3;
}

/* Table files come first: a database that can't open its files is worse than a server that takes fewer connections. */
static int check_descriptors(struct server *s) {
    uint64_t each = descriptors_each(&s->config), own = s->config.database.max_open_files + SPARE_DESCRIPTORS +
                                                        s->config.database.max_databases * DATABASE_DESCRIPTORS;
    s->descriptors = lifecycle_raise_descriptors();
    s->max_connections = s->config.server.max_connections;
    if (s->descriptors >= own + s->max_connections * each) return EXIT_DONE;
    if (s->descriptors < own + LEAST_CONNECTIONS * each) {
        char why[160];
        (void)snprintf(why, sizeof why,
                       "%" PRIu64 " descriptors are allowed and %" PRIu64
                       " needed: raise \"ulimit -n\" (LimitNOFILE=) or lower database.max_open_files",
                       s->descriptors, own + LEAST_CONNECTIONS * each);
        return refuse(s, "can't start", why);
    }
    s->max_connections = (s->descriptors - own) / each;
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

/* ---- databases ----------------------------------------------------------------------------------------------------
 */

/* What the configuration says of all databases, the system's too. `key` is the caller's to overwrite. */
static velocity_status engine_options(const struct config *c, velocity_options *out, uint8_t key[32]) {
    *out = velocity_options_default();
    out->bloom_false_positive_rate = c->database.bloom_false_positive_rate;
    out->compaction_threshold = (uint32_t)c->database.compaction_threshold;
    out->compression =
        c->database.enable_compression ? (velocity_compression)c->database.compression : VELOCITY_COMPRESSION_NONE;
    if (!*c->database.encryption_key_file) return VELOCITY_OK;
    velocity_status status = velocity_key_from_file(c->database.encryption_key_file, key);
    if (status == VELOCITY_OK) out->encryption_key = velocity_bytes(key, 32);
    return status;
}

static int open_system(struct server *s, const velocity_options *shared) {
    velocity_options options = *shared;
    char *path = data_directory_path(s->directory, "system");
    options.memtable_bytes = MIB;
    options.cache_bytes = MIB;
    options.background_threads = 1;
    velocity_status status = path ? velocity_open(path, &options, &s->system) : VELOCITY_NO_MEMORY;
    free(path);
    return status == VELOCITY_OK ? EXIT_DONE : refuse(s, "can't open the system database", velocity_error_message());
}

static velocity_status open_all(struct server *s, const velocity_options *shared) {
    const struct config *c = &s->config;
    struct databases_options options = {
        .system = s->system,
        .template = *shared,
        .cache_bytes = c->database.cache_bytes,
        .total_memtable_bytes = c->database.total_memtable_bytes,
        .max_open_files = (uint32_t)c->database.max_open_files,
        .background_threads = (uint32_t)c->performance.background_threads,
        .max_databases = (uint32_t)c->database.max_databases,
        .default_max_disk_bytes = c->database.default_max_disk_bytes,
        .log = s->log,
    };
    options.template.memtable_bytes = c->database.memtable_bytes;
    options.template.durability = (velocity_durability)c->database.durability;
    options.template.interval_ms = (uint32_t)c->database.interval_ms;
    options.template.value_log_threshold = c->database.value_log_threshold;
    options.template.log_retention_bytes = c->database.change_history_bytes;
    char *folder = data_directory_path(s->directory, "databases");
    options.folder = folder;
    velocity_status status = folder ? databases_open(&options, &s->databases) : VELOCITY_NO_MEMORY;
    free(folder);
    return status;
}

static int open_databases(struct server *s) {
    velocity_options shared;
    uint8_t key[32];
    uint64_t started_us = env_monotonic_us(env_posix());
    if (engine_options(&s->config, &shared, key) != VELOCITY_OK)
        return refuse(s, "can't read the encryption key", velocity_error_message());
    int code = open_system(s, &shared);
    if (!code && open_all(s, &shared) != VELOCITY_OK)
        code = refuse(s, "can't open the database \"default\"", velocity_error_message());
    explicit_bzero(key, sizeof key);
    s->recovery_ms = (env_monotonic_us(env_posix()) - started_us) / 1000;
    return code;
}

/* ---- people, audit, service ---------------------------------------------------------------------------------------
 */

/* A container's first start: VELOCITY_ADMIN_PASSWORD makes the first user. */
static int make_admin(struct server *s) {
    const char *password = s->config.admin_password;
    if (!*password || auth_has_users(s->auth)) return EXIT_DONE;
    struct auth_user_change change = {.password = password, .role = ROLE_ADMIN};
    if (auth_user_create(s->auth, "admin", &change) == VELOCITY_OK) {
        server_record(s, "user.create", "admin", "by VELOCITY_ADMIN_PASSWORD");
        return EXIT_DONE;
    }
    return refuse(s, "can't make the user \"admin\" with VELOCITY_ADMIN_PASSWORD", velocity_error_message());
}

static int open_auth(struct server *s) {
    struct auth_settings settings;
    struct auth_configured_user *users = calloc(s->config.user_count + 1, sizeof *users);
    if (!users) return refuse(s, "can't start", "no memory for the users");
    server_auth_settings(&s->config, users, &settings);
    velocity_status status = auth_open(s->system, &settings, &s->auth);
    free(users);
    if (status != VELOCITY_OK) {
        (void)refuse(s, "can't use the users", velocity_error_message());
        return status == VELOCITY_INVALID ? EXIT_CONFIGURATION : EXIT_FAILED;
    }
    return make_admin(s);
}

static int check_users(struct server *s) {
    struct config_error error;
    if (!s->config.needs_users || auth_has_users(s->auth)) return EXIT_DONE;
    config_users_needed(&s->config, &error);
    return complain(EXIT_CONFIGURATION, "%s", error.text);
}

static int open_audit(struct server *s) {
    struct audit_settings settings;
    if (!s->config.security.audit_logging) return EXIT_DONE;
    server_audit_settings(&s->config, &settings);
    char *path = data_directory_path(s->directory, "audit.db");
    velocity_status status = path ? audit_open(path, &settings, s->log, &s->audit) : VELOCITY_NO_MEMORY;
    free(path);
    return status == VELOCITY_OK ? EXIT_DONE : refuse(s, "can't open the audit log", velocity_error_message());
}

static int start_service(struct server *s) {
    const struct config *c = &s->config;
    struct service_limits limits;
    struct service_options options = {
        .max_value_bytes = c->server.max_value_bytes,
        .max_inflight_bytes = c->server.max_inflight_bytes,
        .disk_reserve_bytes = c->server.disk_reserve_bytes,
        .data_dir = c->server.data_dir,
        .transaction_idle_seconds = (uint32_t)c->server.transaction_idle_seconds,
        .transaction_max_seconds = (uint32_t)c->server.transaction_max_seconds,
        .max_transactions_per_user = (uint32_t)c->server.max_transactions_per_user,
        .max_transaction_bytes = c->server.max_transaction_bytes,
        .databases = s->databases,
        .auth = s->auth,
        .audit = s->audit,
    };
    s->service = service_new(&options);
    if (!s->service) return refuse(s, "can't start the service", velocity_error_message());
    server_limits(c, &limits);
    service_set_limits(s->service, &limits);
    return EXIT_DONE;
}

/* ---- TLS, HTTP, the port ------------------------------------------------------------------------------------------
 */

static int open_tls(struct server *s) {
    struct tls_options options;
    if (s->config.tls.enabled == CONFIG_TLS_OFF) return EXIT_DONE;
    char *directory = data_directory_path(s->directory, "tls");
    velocity_status status = VELOCITY_NO_MEMORY;
    if (directory) {
        server_tls_options(s, directory, &options);
        status = tls_open(&options, &s->tls);
    }
    free(directory);
    if (status == VELOCITY_OK) return EXIT_DONE;
    (void)refuse(s, "can't use TLS", velocity_error_message());
    return status == VELOCITY_INVALID ? EXIT_CONFIGURATION : EXIT_FAILED;
}

static void describe_config(void *arg, struct json_writer *w) {
    struct server *s = arg;
    pthread_mutex_lock(&s->config_mutex);
    config_write_json(&s->config, w);
    pthread_mutex_unlock(&s->config_mutex);
}

static int start_http(struct server *s) {
    const struct config *c = &s->config;
    struct http_settings_options settings;
    struct http_options options = {
        .threads = (uint32_t)c->server.http_threads,
        .connection_timeout_seconds = (uint32_t)c->server.connection_timeout_seconds,
        .request_deadline_seconds = (uint32_t)c->server.request_deadline_seconds,
        .min_reply_bytes_per_second = MIN_REPLY_RATE,
        .max_streams = (uint32_t)(s->max_connections + 1) / 2, /* there is always room for who asks something */
        .heartbeat_seconds = (uint32_t)c->server.watch_heartbeat_seconds,
        .max_value_bytes = c->server.max_value_bytes,
        .max_inflight_bytes = c->server.max_inflight_bytes,
        .describe_config = describe_config,
        .describe_arg = s,
        .log = s->log,
    };
    server_http_settings(c, &settings);
    velocity_status status = http_server_start(&options, &settings, s->service, &s->http);
    return status == VELOCITY_OK ? EXIT_DONE : refuse(s, "can't start the HTTP server", velocity_error_message());
}

static int bind_port(struct server *s) {
    const struct config *c = &s->config;
    struct acceptor_options options = {
        .bind_address = c->server.bind_address,
        .max_connections = (uint32_t)s->max_connections,
        .max_connections_per_address = (uint32_t)c->server.max_connections_per_address,
        .deadline_seconds = (uint32_t)c->server.request_deadline_seconds,
        .tls = s->tls,
        .log = s->log,
        .http = {.take = http_server_take, .arg = s->http},
    };
    char what[160];
    if (acceptor_new(&options, &s->acceptor) == VELOCITY_OK) {
        http_server_set_acceptor(s->http, s->acceptor);
        return EXIT_DONE;
    }
    (void)snprintf(what, sizeof what, "can't listen on %.64s; choose another --bind or stop what uses it",
                   c->server.bind_address);
    return refuse(s, what, velocity_error_message());
}

typedef int part_start(struct server *);

static int start_each(struct server *s, part_start *const *parts, size_t count) {
    int code = EXIT_DONE;
    (void)umask(0077);
    for (size_t i = 0; !code && i < count; i++) code = parts[i](s);
    return code;
}

int server_parts_start(struct server *s) {
    static part_start *const parts[] = {open_log,       begin_lifecycle, check_descriptors, open_data_directory,
                                        open_databases, open_audit,      open_auth,         check_users,
                                        start_service,  open_tls,        start_http,        bind_port};
    return start_each(s, parts, sizeof parts / sizeof *parts);
}

int server_parts_prepare(struct server *s) {
    static part_start *const parts[] = {open_log, open_data_directory, open_databases, open_audit, open_auth, open_tls};
    return start_each(s, parts, sizeof parts / sizeof *parts);
}

/* For the commands on the same machine. Losing it in a crash is no harm: the next start writes it anew. */
static void write_url(struct server *s) {
    struct address address;
    char text[ADDRESS_TEXT_BYTES] = "";
    s->url_path = data_directory_path(s->directory, "server.url");
    FILE *file = s->url_path ? fopen(s->url_path, "we") : NULL;
    if (address_parse(s->config.server.bind_address, &address))
        address_format(&address, acceptor_port(s->acceptor), text);
    bool good = file && fprintf(file, "%s://%s\n", s->tls ? "https" : "http", text) > 0;
    if (file && fclose(file) != 0) good = false;
    if (!good)
        logger_event(s->log, LOGGER_LEVEL_WARNING, "url_not_written", logger_text("file", s->url_path),
                     logger_text("detail", strerror(errno)));
}

static int write_pid(struct server *s) {
    char what[512];
    const char *path = s->config.service.pid_file;
    if (!*path || pid_file_write(path)) return EXIT_DONE;
    (void)snprintf(what, sizeof what, "can't write the process id to %s", path);
    return refuse(s, what, strerror(errno));
}

int server_parts_open(struct server *s) {
    int code = write_pid(s);
    if (code) return code;
    s->opened = true;
    if (acceptor_run(s->acceptor) != VELOCITY_OK) return refuse(s, "can't start", velocity_error_message());
    write_url(s);
    return EXIT_DONE;
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

/* A client may have its answer before the commit thread is back from giving it: such a write is still under way. */
static velocity_status close_database(velocity *db) {
    velocity_status status = velocity_close(db);
    for (unsigned waited_ms = 0; status == VELOCITY_BUSY && waited_ms < CLOSE_WAIT_MS; waited_ms++) {
        env_sleep_us(1000);
        status = velocity_close(db);
    }
    return status;
}

static void close_port(struct server *s) {
    if (s->url_path) (void)remove(s->url_path);
    free(s->url_path);
    if (s->opened && *s->config.service.pid_file) pid_file_remove(s->config.service.pid_file);
    if (s->acceptor) acceptor_drain(s->acceptor);
    if (s->http) {
        if (!http_server_stop(s->http, (uint32_t)s->config.server.request_deadline_seconds * 1000))
            logger_event(s->log, LOGGER_LEVEL_WARNING, "requests_cut_off");
    }
    if (s->acceptor) acceptor_stop(s->acceptor);
    acceptor_free(s->acceptor);
}

int server_parts_stop(struct server *s) {
    int code = EXIT_DONE;
    bool served = s->acceptor != NULL;
    close_port(s);
    service_free(s->service);
    audit_close(s->audit);
    auth_free(s->auth);
    if ((s->databases && databases_close(s->databases) != VELOCITY_OK) ||
        (s->system && close_database(s->system) != VELOCITY_OK)) {
        logger_event(s->log, LOGGER_LEVEL_ERROR, "close_failed", logger_text("detail", velocity_error_message()));
        code = EXIT_FAILED;
    }
    tls_free(s->tls);
    data_directory_close(s->directory);
    if (served) logger_event(s->log, LOGGER_LEVEL_INFO, "stopped");
    lifecycle_end(s->lifecycle);
    logger_close(s->log);
    config_free(&s->config);
    return code;
}
