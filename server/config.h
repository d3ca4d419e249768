/*
 * config.h - the server's configuration: what can be set, from where it came, and what was wrong with it.
 *
 * One const table (config_keys) holds every setting once; parsing, defaults, environment variables and the page
 * docs/configuration.md come from it. Users are no settings but a list. Precedence, key by key: flag > environment >
 * file > default.
 *
 *     config_load ---> in force ---config_reload (SIGHUP, the file changed)---> next: the caller puts it in force
 *                         ^                                                       |
 *                         +-------------------------------------------------------+
 *
 * Threads: a loaded config is not changed any more and may be read from all threads.
 */
#ifndef VELOCITY_SERVER_CONFIG_H
#define VELOCITY_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_MAX_KEYS        96
#define CONFIG_MAX_FILE_BYTES  (1u << 20)
#define CONFIG_MAX_ERROR_BYTES 1024
#define CONFIG_MAX_USERS       1000 /* in the file; more belong into the data directory */
#define CONFIG_MAX_PLACES      2    /* files that are looked for */

enum config_type {
    CONFIG_TEXT,    /* char * */
    CONFIG_LIST,    /* struct config_list */
    CONFIG_INTEGER, /* uint64_t */
    CONFIG_BYTES,   /* uint64_t; a number, or text with a unit: "64 MiB" */
    CONFIG_REAL,    /* double */
    CONFIG_SWITCH,  /* bool */
    CONFIG_CHOICE,  /* unsigned: the `value` of one of the key's choices; choices "true" and "false" are switches */
};

enum config_flags {
    CONFIG_RELOADABLE = 1, /* can change while the server runs */
    CONFIG_OR_ZERO = 2,    /* a number that may be 0, too, though `minimum` is more */
    CONFIG_SECRET = 4,     /* a text that is never shown and never in the file: it comes from its variable, or from the
                              file that <variable>_FILE names; without a section. Empty: not given */
};

struct config_list {
    char **items;
    size_t count;
};

struct config_choice {
    const char *name; /* NULL ends the list */
    unsigned value;
    const char *refusal; /* not NULL: a name that is known but can't be chosen, and why */
};

struct config_key {
    const char *section, *name; /* "addons.service": [addons.service] */
    enum config_type type;
    unsigned flags;          /* of enum config_flags */
    size_t offset;           /* into struct config */
    double minimum, maximum; /* of the numbers; all of them are exact as doubles */
    const char *preset;      /* the default, as it would stand in an environment variable */
    const struct config_choice *choices;
    const char *help; /* one sentence or two, for the documentation */
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config_origin {
    enum config_source source;
    unsigned line;        /* CONFIG_FILE */
    const char *option;   /* CONFIG_FLAG: "bind" */
    bool restart_pending; /* another value was read since, and waits for a restart */
};

/* A user that stands in the file. */
struct config_user {
    char *name;
    char *password; /* "$argon2id$..."; its parameters are checked by who takes the users over */
    unsigned role;  /* enum role */
    struct config_list databases, prefixes; /* empty: all */
    unsigned line;                          /* where the user begins */
};

enum config_tls { CONFIG_TLS_OFF, CONFIG_TLS_ON, CONFIG_TLS_AUTO };

/* What is derived from other settings is derived when it is loaded: the values here are those in force. */
struct config {
    struct {
        char *bind_address;
        char *data_dir;
        uint64_t max_connections;
        uint64_t max_connections_per_address; /* 0: no limit */
        uint64_t connection_timeout_seconds;
        uint64_t watch_heartbeat_seconds;
        uint64_t request_deadline_seconds;
        uint64_t rate_limit_per_second; /* of one user; 0: no limit, as with the other two */
        uint64_t connection_rate_limit_per_second;
        uint64_t global_rate_limit_per_second;
        uint64_t max_value_bytes;
        uint64_t max_frame_bytes; /* never 0 */
        uint64_t max_inflight_bytes;
        uint64_t transaction_idle_seconds;
        uint64_t transaction_max_seconds;
        uint64_t max_transactions_per_user;
        uint64_t max_transaction_bytes;
        uint64_t disk_reserve_bytes;
        uint64_t http_threads; /* 0: as many as cores */
        bool allow_plaintext;
        struct config_list allowed_hosts;
        struct config_list cors_origins;    /* each a good origin: "https://app.example:8443" */
        struct config_list trusted_proxies; /* each one network_parse reads */
        char *external_url;                 /* "" or a good origin */
    } server;
    struct {
        unsigned enabled;                            /* CONFIG_TLS_OFF or CONFIG_TLS_ON */
        char *cert_path, *key_path, *client_ca_path; /* "": none; the first two both or none */
    } tls;
    struct {
        uint64_t max_memtable_size; /* entries; not 0: memtable_bytes follows from it */
        uint64_t memtable_bytes;
        uint64_t total_memtable_bytes;
        uint64_t cache_size; /* blocks; not 0: cache_bytes follows from it */
        uint64_t cache_bytes;
        double bloom_false_positive_rate; /* 1: no filters */
        uint64_t compaction_threshold;
        bool enable_compression;
        unsigned compression; /* velocity_compression */
        unsigned durability;  /* velocity_durability */
        uint64_t interval_ms;
        uint64_t value_log_threshold;    /* 0: never */
        char *encryption_key_file;       /* "": not encrypted */
        uint64_t default_max_disk_bytes; /* 0: no limit */
        uint64_t max_databases;
        uint64_t change_history_bytes; /* velocity_options.log_retention_bytes */
        uint64_t max_open_files;
    } database;
    struct {
        uint64_t background_threads; /* 0: as many as cores */
    } performance;
    struct {
        bool audit_logging;
        unsigned audit_level;          /* enum audit_level */
        unsigned audit_keys;           /* enum audit_keys */
        uint64_t audit_retention_days; /* 0: no end */
        uint64_t audit_max_bytes;      /* 0: no end */
        unsigned audit_on_failure;     /* enum audit_on_failure */
        uint64_t max_auth_failures;    /* 0: any number */
        uint64_t auth_ban_duration;    /* seconds */
    } security;
    struct {
        unsigned level;  /* enum logger_level */
        unsigned format; /* enum logger_format */
        char *file;      /* "": stderr */
    } logging;
    struct {
        char *pid_file; /* "": none */
        bool watch_config;
    } service;
    char *admin_password; /* of the admin that the first start makes; "": none given */

    struct config_user *users; /* by name, ascending */
    size_t user_count;
    /* The address is reachable from other machines, and neither users nor admin_password are given: it must not be
     * bound unless the data directory holds users. See config_users_needed. */
    bool needs_users;

    char *file;                                    /* the configuration file that was read; NULL: none */
    struct config_origin origins[CONFIG_MAX_KEYS]; /* by index in config_keys */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* A setting given on the command line. */
struct config_flag {
    const char *key;    /* "server.bind_address" */
    const char *value;  /* as in an environment variable */
    const char *option; /* "bind" for --bind; must outlive the config */
};

struct config_request {
    const char *path;         /* the file; NULL: ./velocity.toml, else /etc/velocity/velocity.toml, else none */
    char *const *environment; /* as `environ`; NULL: none */
    const struct config_flag *flags;
    size_t flag_count;
    void (*warn)(void *arg, const char *line); /* for what is odd but no error; NULL: nobody listens */
    void *warn_arg;
};

struct config_error {
    enum config_source source;         /* where the bad setting stands */
    char text[CONFIG_MAX_ERROR_BYTES]; /* one line: place, key, what is expected */
};

/* True: *out is complete and valid and must be freed. False: *error says why, *out need not be freed. */
bool config_load(const struct config_request *request, struct config *out, struct config_error *error);
/* What is secret is overwritten. All zero is allowed. */
void config_free(struct config *config);
/* Where needs_users is set and there are none: the error to tell. */
void config_users_needed(const struct config *config, struct config_error *error);

/* ---- reading it again ------------------------------------------------------------------------------------------- */

/* A copy to keep for config_reload: without secrets, which count at the start only, and without `warn`. NULL: no
 * memory. */
struct config_request *config_request_copy(const struct config_request *request);
void config_request_free(struct config_request *copy); /* NULL is allowed */
/* The files in which the request looks, the first that is there counts. Answers how many. */
size_t config_places(const struct config_request *request, const char *places[CONFIG_MAX_PLACES]);

/* Indices into config_keys, ascending. */
struct config_changes {
    size_t changed[CONFIG_MAX_KEYS]; /* have another value in `next` */
    size_t changed_count;
    size_t restart[CONFIG_MAX_KEYS]; /* were read with another value, which waits for a restart */
    size_t restart_count;
    bool users;
};

/*
 * Reads everything anew. True: *next is what shall be in force from now on, complete and valid, and to be freed;
 * settings that can't change while the server runs have the value of `current` in it. False: *error says why, and
 * `current` stays in force.
 */
bool config_reload(const struct config *current, const struct config_request *request, struct config *next,
                   struct config_changes *changes, struct config_error *error);

/* ---- one setting at a time ---------------------------------------------------------------------------------- */

struct toml_value;

/* What a value of this key must be, in words: "a whole number from 1 to 64". */
void config_expectation(const struct config_key *key, char *out, size_t size);
/* Sets one key. False, with *error filled but for the place, where the value is not what the key expects. */
bool config_set(struct config *config, const struct config_key *key, const struct toml_value *value, char *error,
                size_t error_size);
/* The same from a text: the form of defaults, environment variables and flags. */
bool config_set_text(struct config *config, const struct config_key *key, const char *text, char *error,
                     size_t error_size);
/* NULL where there is no such key. */
const struct config_key *config_find(const char *section, const char *name);
/* "VELOCITY_SERVER_BIND_ADDRESS". */
void config_variable(const struct config_key *key, char *out, size_t size);

/* ---- showing it ------------------------------------------------------------------------------------------------- */

struct json_writer;

/* Prints every setting as it is in force, with where it came from. */
void config_print(const struct config *config, FILE *out);
/* The same as one JSON object: {"file","settings":[...],"users":[...]}. Secrets are "(redacted)". */
void config_write_json(const struct config *config, struct json_writer *out);
/* Prints the page docs/configuration.md. */
void config_document(FILE *out);
/* Prints a configuration file with every setting in a comment, as its default and with its help. */
void config_write_template(FILE *out);

#endif
