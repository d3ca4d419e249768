/*
 * server_parts.h - what a running server is made of, in the order in which it is started; it ends in reverse.
 *
 *     configuration -> log -> descriptors -> data directory -> system database -> databases -> audit log -> users
 *         -> service -> TLS -> HTTP -> port
 */
#ifndef VELOCITY_CLI_SERVER_PARTS_H
#define VELOCITY_CLI_SERVER_PARTS_H

#include "http/server.h"
#include "http/settings.h"
#include "server/acceptor.h"
#include "server/audit.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/data_directory.h"
#include "server/databases.h"
#include "server/logger.h"
#include "server/service.h"
#include "server/tls.h"

#include <pthread.h>

struct server {
    struct config_request *request; /* to read the configuration anew */
    pthread_mutex_t config_mutex;   /* guards config against the HTTP threads that show it; only the main thread changes
                                       it */
    struct config config;
    struct logger *log;
    struct lifecycle *lifecycle;
    struct data_directory *directory;
    velocity *system; /* users, tokens, limits of databases */
    struct databases *databases;
    struct auth *auth;
    struct audit *audit; /* NULL: none is kept */
    struct service *service;
    struct tls *tls; /* NULL: not spoken */
    struct http_server *http;
    struct acceptor *acceptor;
    bool opened;              /* server_parts_open was called: there may be files that say so */
    char *url_path;           /* the file that says where it listens; NULL: not written yet */
    uint64_t max_connections; /* the configured number, or what the descriptors allow */
    uint64_t descriptors;     /* how many are allowed */
    uint64_t recovery_ms;     /* how long opening the databases took */
};

/* Starts everything up to the port, which listens but does not accept yet. Answers EXIT_DONE, or complains and answers
 * the exit code; server_parts_stop is needed either way. */
int server_parts_start(struct server *s);
/* What a first start makes of a data directory, and nothing that serves: databases, audit log, the users that the
 * configuration asks for, the certificate. Answers as server_parts_start does. */
int server_parts_prepare(struct server *s);
/* Accepts from now on, and says where in <data_dir>/server.url. */
int server_parts_open(struct server *s);
/* Ends what was started, however far it came. Answers the exit code. */
int server_parts_stop(struct server *s);

/* The configuration was read anew: what of it can change does. */
void server_reload(struct server *s);
/* What the server itself does, to the audit log. */
void server_record(struct server *s, const char *action, const char *about, const char *detail);
/* Makes a self-signed certificate that ends soon anew, with the same key. To be called now and then. */
void server_renew_certificate(struct server *s);

/* What of the configuration the parts take, for start and reload alike. */
void server_http_settings(const struct config *c, struct http_settings_options *out);
void server_limits(const struct config *c, struct service_limits *out);
void server_audit_settings(const struct config *c, struct audit_settings *out);
/* `users` has room for config.user_count. */
void server_auth_settings(const struct config *c, struct auth_configured_user *users, struct auth_settings *out);
void server_tls_options(const struct server *s, const char *directory, struct tls_options *out);

#endif
