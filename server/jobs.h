/*
 * jobs.h - long work that is asked for and not waited for: flushing and compacting a database.
 *
 *     QUEUED --> RUNNING --> DONE | FAILED | CANCELLED
 *        |                                      ^
 *        +--------------------------------------+
 *
 * One thread runs them, one after another: two compactions would only share one disk. What is asked for while the same
 * of the same database waits is that job; one that runs is not joined, as it may have passed by what was written since.
 * The jobs of a database that is about to be dropped are cancelled. The last JOBS_KEPT that ended are remembered, until
 * the process ends.
 *
 * Threads: all functions from any thread; none waits for a job but jobs_free.
 */
#ifndef VELOCITY_SERVER_JOBS_H
#define VELOCITY_SERVER_JOBS_H

#include "server/databases.h"

struct jobs;

#define JOBS_WAITING_MAX 64u
#define JOBS_KEPT        100u
#define JOB_USER_BYTES   64u

enum job_kind { JOB_FLUSH, JOB_COMPACT, JOB_KINDS };
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job_info {
    uint64_t id; /* from 1 on */
    enum job_kind kind;
    enum job_state state;
    const char *database, *user;                       /* user "": nobody had to log in */
    int64_t created_at_ms, started_at_ms, ended_at_ms; /* 0: not yet */
    uint64_t done, total;                              /* entries; total 0: not known */
    const char *message;                               /* FAILED: why, in words for everybody; else "" */
};

/* Over `databases`, which must outlive it. NULL: neither memory nor a thread. */
struct jobs *jobs_new(struct databases *databases);
/* Cancels what waits and what runs, and waits for that. NULL is allowed. */
void jobs_free(struct jobs *jobs);

/* *id is the job's. BUSY: JOBS_WAITING_MAX wait. NO_MEMORY. A database that is not there fails the job. */
VELOCITY_CHECK_RESULT velocity_status jobs_start(struct jobs *jobs, enum job_kind kind, const char *database,
                                                 const char *user, uint64_t *id);
/* One that runs ends as soon as it can: a flush when it is done. NOT_FOUND; CONFLICT: it had ended. */
VELOCITY_CHECK_RESULT velocity_status jobs_cancel(struct jobs *jobs, uint64_t id);

/* The newest first; what is shown lives during the call, which must not wait. False ends it. */
void jobs_list(struct jobs *jobs, bool (*row)(void *arg, const struct job_info *info), void *arg);

const char *job_kind_name(enum job_kind kind);    /* "flush", "compact" */
const char *job_state_name(enum job_state state); /* "queued", "running", "done", "failed", "cancelled" */

#endif
