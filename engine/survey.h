/*
 * survey.h - all there is in a database's folder, as far as it can be read: what verify reports and repair works with.
 *
 *     survey_begin    lock, list of files, CURRENT, manifest -> which tables and logs count
 *     survey_tables   every block of every table (table_walk.h), and the values that they refer to
 *     survey_logs     every group of the logs (log_salvage)
 *     survey_history  the same of logs that are kept for change feeds alone
 *     survey_order    that versions of a key stand in the right order across tables
 *     survey_end
 *
 * Nothing is changed. What is damaged goes to the report; only what keeps from looking on (memory, a lock, a newer
 * format) ends it. One thread.
 */
#ifndef VELOCITY_SURVEY_H
#define VELOCITY_SURVEY_H

#include "log.h"
#include "manifest.h"
#include "report.h"

struct survey_file {
    enum file_kind kind;
    uint64_t number, bytes;
};

struct survey_table {
    struct table *table;
    int level;       /* -1: no manifest says */
    bool whole_meta; /* the manifest describes it; else number, uid and size are known, the rest once it is surveyed */
    bool missing;    /* there is no such file */
    bool damaged;
    bool unusable;              /* not even its identity is known */
    struct table_meta contents; /* counted from its entries; `entries` 0: none is readable */
};

struct survey_values {
    struct value_file *file;
    uint64_t number;
    bool damaged;
    bool unusable; /* not even its header */
};

struct survey {
    env *env;
    char *path;
    velocity_options options; /* of the database */
    velocity_check_options check;
    velocity_report *report;
    key_ring *keys;
    env_lock *lock;
    cache *cache;
    table_files *files;
    struct survey_file *found; /* by kind and number */
    size_t found_count, found_capacity;
    uint64_t total_bytes, done_bytes; /* for progress */
    struct manifest_state state;
    uint64_t manifest_number; /* 0: none is readable */
    uint64_t database_id[2];
    bool has_database_id, current_is_whole;
    bool lossy; /* the manifest is not whole: which tables count, and where they stand, is not sure */
    struct survey_table *tables;
    size_t table_count;
    struct survey_values *values;
    size_t value_count;
    struct log_segment *segments; /* ascending */
    size_t segment_count;
    bool logs_damaged;
    struct log_segment *history; /* kept for change feeds alone, as the manifest lists them */
    size_t history_count;
    bool history_damaged;
    uint64_t last_sequence; /* the highest that was met anywhere */
    uint64_t clock_ms;      /* the latest time that anything tells of */
};

/* NOT_FOUND: there is no database. *s is for survey_end whatever this answers. */
VELOCITY_CHECK_RESULT velocity_status survey_begin(struct survey *s, env *e, const char *path,
                                                   const velocity_check_options *check, velocity_report *report);
VELOCITY_CHECK_RESULT velocity_status survey_tables(struct survey *s);
/* `apply` (may be NULL) gets each operation that counts, in the order of sequences. `report`: damage is reported. */
VELOCITY_CHECK_RESULT velocity_status survey_logs(struct survey *s, bool report,
                                                  velocity_status (*apply)(void *arg, const struct entry *e),
                                                  void *arg);
VELOCITY_CHECK_RESULT velocity_status survey_history(struct survey *s);
VELOCITY_CHECK_RESULT velocity_status survey_order(struct survey *s);
void survey_end(struct survey *s);

/* survey_values.c; _gather_values is a part of survey_begin. NULL: no such file counts. */
VELOCITY_CHECK_RESULT velocity_status survey_gather_values(struct survey *s);
struct survey_values *survey_values(const struct survey *s, uint64_t number);
/* A version of these tables, with the value files that there are. */
VELOCITY_CHECK_RESULT velocity_status survey_version(const struct survey *s, const struct version_change *tables,
                                                     size_t count, struct version **out);
/* Whether the value can be read that an entry of a table refers to; if not, older ones may show instead. */
VELOCITY_CHECK_RESULT velocity_status survey_read_value(struct survey *s, const struct entry *e, bool report,
                                                        bool *readable);
VELOCITY_CHECK_RESULT velocity_status survey_note_leftover(struct survey *s, const struct survey_file *found);

/* Adds to the progress, and tells it now and then. */
void survey_progress(struct survey *s, uint64_t bytes);
const struct survey_file *survey_find(const struct survey *s, enum file_kind kind, uint64_t number); /* NULL: none */
bool survey_has_file(const struct survey *s, enum file_kind kind, uint64_t number);
/* "<folder>/<name of the file>", for env_free; NULL: no memory. */
char *survey_path(const struct survey *s, enum file_kind kind, uint64_t number);
VELOCITY_CHECK_RESULT velocity_status survey_read_header(struct survey *s, const char *path, enum file_kind kind,
                                                         struct file_header *out);
/* Walks a table: damage goes to the report, as `kind`, its key ranges too. */
VELOCITY_CHECK_RESULT velocity_status survey_walk(struct survey *s, struct survey_table *t, bool report,
                                                  velocity_status (*entry)(void *arg, const struct entry *e),
                                                  void *arg);

#endif
