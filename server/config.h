/*
 * config.h - the server's configuration: what can be set, from where it came, and what was wrong with it.
 *
 * One const table (config_keys) holds every setting once; parsing, defaults, environment variables and the page
 * docs/configuration.md come from it. Precedence, key by key: flag > environment > file > default.
 *
 * Threads: a loaded config is not changed any more and may be read from all threads.
 */
#ifndef VELOCITY_SERVER_CONFIG_H
#define VELOCITY_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_MAX_KEYS        64
#define CONFIG_MAX_FILE_BYTES  (1u << 20)
#define CONFIG_MAX_ERROR_BYTES 1024

enum config_type {
    CONFIG_TEXT,    /* char * */
    CONFIG_LIST,    /* struct config_list */
    CONFIG_INTEGER, /* uint64_t */
    CONFIG_BYTES,   /* uint64_t; a number, or text with a unit: "64 MiB" */
    CONFIG_REAL,    /* double */
    CONFIG_SWITCH,  /* bool */
    CONFIG_CHOICE,  /* unsigned: the `value` of one of the key's choices */
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
    const char *section, *name;
    enum config_type type;
    size_t offset;           /* into struct config */
    double minimum, maximum; /* of the numbers; all of them are exact as doubles */
    const char *preset;      /* the default, as it would stand in an environment variable */
    const struct config_choice *choices;
    const char *help; /* one sentence or two, for the documentation */
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config_origin {
    enum config_source source;
    unsigned line;      /* CONFIG_FILE */
    const char *option; /* CONFIG_FLAG: "bind" */
};

struct config {
    struct {
        char *bind_address;
        char *data_dir;
        uint64_t max_connections;
        uint64_t max_connections_per_address; /* 0: no limit */
        uint64_t connection_timeout_seconds;
        uint64_t request_deadline_seconds;
        uint64_t max_value_bytes;
        uint64_t max_inflight_bytes;
        uint64_t disk_reserve_bytes;
        uint64_t http_threads; /* 0: as many as cores */
        struct config_list allowed_hosts;
    } server;
    struct {
        uint64_t memtable_bytes;
        uint64_t cache_bytes;
        double bloom_false_positive_rate; /* 1: no filters */
        uint64_t compaction_threshold;
        bool enable_compression;
        unsigned compression; /* velocity_compression */
        unsigned durability;  /* velocity_durability */
        uint64_t interval_ms;
        uint64_t max_open_files;
    } database;
    struct {
        uint64_t background_threads; /* 0: as many as cores */
    } performance;
    struct {
        unsigned level;  /* enum log_level */
        unsigned format; /* enum log_format */
        char *file;      /* "": stderr */
    } logging;

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
void config_free(struct config *config);

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

/* Prints every setting as it is in force, with where it came from. */
void config_print(const struct config *config, FILE *out);
/* Prints the page docs/configuration.md. */
void config_document(FILE *out);

#endif
