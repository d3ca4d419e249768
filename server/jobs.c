/*
 * jobs.c - see jobs.h. A list, newest first, under one mutex; the thread works on the oldest that waits. A job is
 * freed only when it has ended, by whoever adds one more.
 */
#include "server/jobs.h"

#include "engine/status.h"
#include "server/timestamp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    struct job *older;
    struct job_info info;
    char database[DATABASE_NAME_MAX + 1], user[JOB_USER_BYTES + 1];
    /* of one that runs; read without the mutex */
    _Atomic bool cancelled;
    _Atomic uint64_t done, total;
};

struct jobs {
    struct databases *databases;
    struct databases_listener listener;
    pthread_mutex_t mutex; /* a leaf; guards all below, and the jobs' fields but the atomic ones */
    pthread_cond_t wake;
    struct job *newest;
    uint32_t waiting;
    uint64_t next_id;
    bool ending;
    pthread_t thread;
};

const char *job_kind_name(enum job_kind kind) {
    static const char *const names[] = {[JOB_FLUSH] = "flush", [JOB_COMPACT] = "compact"};
    return names[kind];
}

const char *job_state_name(enum job_state state) {
    static const char *const names[] = {[JOB_QUEUED] = "queued",
                                        [JOB_RUNNING] = "running",
                                        [JOB_DONE] = "done",
                                        [JOB_FAILED] = "failed",
                                        [JOB_CANCELLED] = "cancelled"};
    return names[state];
}

static bool has_ended(const struct job *job) {
    return job->info.state > JOB_RUNNING;
}

/* ---- the thread's side ------------------------------------------------------------------------------------------ */

static bool progress(void *arg, uint64_t done, uint64_t total) {
    struct job *job = arg;
    atomic_store_explicit(&job->done, done, memory_order_relaxed);
    atomic_store_explicit(&job->total, total, memory_order_relaxed);
    return !atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

static velocity_status carry_out(struct jobs *jobs, struct job *job) {
    struct database *database;
    velocity_status status = databases_acquire(jobs->databases, velocity_str(job->database), &database);
    if (status != VELOCITY_OK) return status;
    struct store *store = database_store(database);
    switch (job->info.kind) {
    case JOB_FLUSH: status = store->operations->flush(store); break;
    case JOB_COMPACT: status = store->operations->compact(store, NULL, progress, job); break;
    case JOB_KINDS: break;
    }
    database_release(database);
    return status;
}

/* Under the mutex. */
static void end_job(struct job *job, enum job_state state, const char *message) {
    job->info.state = state;
    job->info.ended_at_ms = timestamp_now();
    job->info.message = message;
}

/* The engine's own words name files of the server, which who sees a job need not know: those are for the log. */
static const char *failure_words(velocity_status status) {
    switch (status) {
    case VELOCITY_NOT_FOUND: return "there is no such database";
    case VELOCITY_BUSY: return "the database is in other work";
    case VELOCITY_CORRUPT: return "a file of the database is damaged; the log names it";
    case VELOCITY_IO: return "the disk reported an error; the log says which";
    case VELOCITY_NO_SPACE: return "there is no room on the disk, or in the database's limit";
    case VELOCITY_NO_MEMORY: return "no memory";
    case VELOCITY_READ_ONLY: return "the database takes no writes until the server is started again";
    default: return "it failed; the log says why";
    }
}

static void log_failure(struct jobs *jobs, const struct job *job, velocity_status status) {
    struct logger *log = databases_log(jobs->databases);
    if (!log) return;
    logger_event(log, LOGGER_LEVEL_ERROR, "job_failed", logger_number("job", job->info.id),
                 logger_text("kind", job_kind_name(job->info.kind)), logger_text("database", job->database),
                 logger_text("status", velocity_status_name(status)), logger_text("reason", velocity_error_message()));
}

static bool was_cancelled(struct job *job, velocity_status status) {
    return status == VELOCITY_INCOMPLETE && atomic_load(&job->cancelled);
}

/* Under the mutex, which is let go of while the job runs. */
static void run_job(struct jobs *jobs, struct job *job) {
    job->info.state = JOB_RUNNING;
    job->info.started_at_ms = timestamp_now();
    jobs->waiting--;
    pthread_mutex_unlock(&jobs->mutex);
    velocity_status status = carry_out(jobs, job);
    if (status != VELOCITY_OK && !was_cancelled(job, status)) log_failure(jobs, job, status);
    pthread_mutex_lock(&jobs->mutex);
    if (status == VELOCITY_OK)
        end_job(job, JOB_DONE, "");
    else if (was_cancelled(job, status))
        end_job(job, JOB_CANCELLED, "");
    else
        end_job(job, JOB_FAILED, failure_words(status));
}

/* Under the mutex. NULL: nobody waits. */
static struct job *oldest_waiting(const struct jobs *jobs) {
    struct job *oldest = NULL;
    for (struct job *job = jobs->newest; job; job = job->older)
        if (job->info.state == JOB_QUEUED) oldest = job;
    return oldest;
}

static void *work(void *arg) {
    struct jobs *jobs = arg;
    (void)pthread_setname_np(pthread_self(), "jobs");
    pthread_mutex_lock(&jobs->mutex);
    for (;;) {
        struct job *job = oldest_waiting(jobs);
        if (job)
            run_job(jobs, job);
        else if (jobs->ending)
            break;
        else
            pthread_cond_wait(&jobs->wake, &jobs->mutex);
    }
    pthread_mutex_unlock(&jobs->mutex);
    return NULL;
}

/* ---- the others' side ------------------------------------------------------------------------------------------- */

/* Under the mutex. */
static void cancel(struct jobs *jobs, struct job *job) {
    atomic_store(&job->cancelled, true);
    if (job->info.state != JOB_QUEUED) return;
    jobs->waiting--;
    end_job(job, JOB_CANCELLED, "");
}

/* It is about to be dropped: whoever waits for a compaction of it to end would wait for long. */
static void leave_database(struct databases_listener *listener, struct database *database) {
    struct jobs *jobs = (struct jobs *)((char *)listener - offsetof(struct jobs, listener));
    pthread_mutex_lock(&jobs->mutex);
    for (struct job *job = jobs->newest; job; job = job->older)
        if (!has_ended(job) && strcmp(job->database, database_name(database)) == 0) cancel(jobs, job);
    pthread_mutex_unlock(&jobs->mutex);
}

struct jobs *jobs_new(struct databases *databases) {
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs) return NULL;
    jobs->databases = databases;
    jobs->next_id = 1;
    pthread_mutex_init(&jobs->mutex, NULL);
    pthread_cond_init(&jobs->wake, NULL);
    jobs->listener.leave = leave_database;
    if (pthread_create(&jobs->thread, NULL, work, jobs) == 0) {
        databases_listen(databases, &jobs->listener);
        return jobs;
    }
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
    return NULL;
}

void jobs_free(struct jobs *jobs) {
    if (!jobs) return;
    databases_unlisten(jobs->databases, &jobs->listener);
    pthread_mutex_lock(&jobs->mutex);
    jobs->ending = true;
    for (struct job *job = jobs->newest; job; job = job->older)
        if (!has_ended(job)) cancel(jobs, job);
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->mutex);
    pthread_join(jobs->thread, NULL);
    for (struct job *job = jobs->newest, *older; job; job = older) {
        older = job->older;
        free(job);
    }
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
}

/* Under the mutex: forgets those that ended long ago. */
static void forget_old(struct jobs *jobs) {
    uint32_t ended = 0;
    for (struct job **at = &jobs->newest; *at;) {
        struct job *job = *at;
        if (!has_ended(job) || ++ended <= JOBS_KEPT) {
            at = &job->older;
            continue;
        }
        *at = job->older;
        free(job);
    }
}

/* Under the mutex. NULL: there is none. One that runs may have passed by what was written since. */
static struct job *find_waiting(const struct jobs *jobs, enum job_kind kind, const char *database) {
    for (struct job *job = jobs->newest; job; job = job->older)
        if (job->info.state == JOB_QUEUED && job->info.kind == kind && strcmp(job->database, database) == 0) return job;
    return NULL;
}

/* Under the mutex. */
static velocity_status add(struct jobs *jobs, enum job_kind kind, const char *database, const char *user,
                           uint64_t *id) {
    if (jobs->waiting >= JOBS_WAITING_MAX) return status_set(VELOCITY_BUSY, "%u jobs wait", JOBS_WAITING_MAX);
    struct job *job = calloc(1, sizeof *job);
    if (!job) return status_set(VELOCITY_NO_MEMORY, "no memory for a job");
    (void)snprintf(job->database, sizeof job->database, "%s", database);
    (void)snprintf(job->user, sizeof job->user, "%s", user);
    job->info = (struct job_info){.id = jobs->next_id++, .kind = kind, .created_at_ms = timestamp_now()};
    job->info.database = job->database;
    job->info.user = job->user;
    job->info.message = "";
    job->older = jobs->newest;
    jobs->newest = job;
    jobs->waiting++;
    *id = job->info.id;
    forget_old(jobs);
    pthread_cond_signal(&jobs->wake);
    return VELOCITY_OK;
}

velocity_status jobs_start(struct jobs *jobs, enum job_kind kind, const char *database, const char *user,
                           uint64_t *id) {
    velocity_status status = VELOCITY_OK;
    pthread_mutex_lock(&jobs->mutex);
    struct job *waiting = find_waiting(jobs, kind, database);
    if (waiting)
        *id = waiting->info.id;
    else
        status = add(jobs, kind, database, user, id);
    pthread_mutex_unlock(&jobs->mutex);
    return status;
}

velocity_status jobs_cancel(struct jobs *jobs, uint64_t id) {
    velocity_status status = VELOCITY_NOT_FOUND;
    pthread_mutex_lock(&jobs->mutex);
    for (struct job *job = jobs->newest; job && status == VELOCITY_NOT_FOUND; job = job->older) {
        if (job->info.id != id) continue;
        status = has_ended(job) ? VELOCITY_CONFLICT : VELOCITY_OK;
        if (status == VELOCITY_OK) cancel(jobs, job);
    }
    pthread_mutex_unlock(&jobs->mutex);
    return status;
}

void jobs_list(struct jobs *jobs, bool (*row)(void *arg, const struct job_info *info), void *arg) {
    pthread_mutex_lock(&jobs->mutex);
    for (struct job *job = jobs->newest; job; job = job->older) {
        struct job_info info = job->info;
        info.done = atomic_load_explicit(&job->done, memory_order_relaxed);
        info.total = atomic_load_explicit(&job->total, memory_order_relaxed);
        if (!row(arg, &info)) break;
    }
    pthread_mutex_unlock(&jobs->mutex);
}
