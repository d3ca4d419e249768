/* pool.c - see pool.h. */
#include "pool.h"

enum { PATIENT_MAX = 256 /* threads; more would only wait for one another */ };

struct queue {
    struct pool_job *first, *last;
};

struct worker {
    pool *pool;
    enum pool_urgency least; /* what is less urgent it leaves to others */
    env_thread thread;
};

struct pool {
    env *env;
    env_mutex mutex; /* guards everything below */
    env_condition work, ticked;
    struct queue queues[POOL_URGENCIES];
    struct worker *workers;
    uint32_t worker_limit, worker_count; /* workers[0] takes prompt jobs, workers[1] urgent ones too, the others all */
    uint32_t idle_patient;
    struct pool_ticker *tickers;
    env_thread timer;
    bool timer_runs, stopping;
};

static struct pool_job *pop(struct queue *queue) {
    struct pool_job *job = queue->first;
    if (job && !(queue->first = job->next)) queue->last = NULL;
    return job;
}

static struct pool_job *take(pool *p, enum pool_urgency least) {
    struct pool_job *job = NULL;
    for (int urgency = POOL_PROMPT; !job && urgency <= (int)least; urgency++) job = pop(&p->queues[urgency]);
    return job;
}

static void *work(void *arg) {
    struct worker *w = arg;
    pool *p = w->pool;
    bool patient = w->least == POOL_PATIENT;
    env_mutex_lock(&p->mutex);
    for (;;) {
        struct pool_job *job = take(p, w->least);
        if (job) {
            env_mutex_unlock(&p->mutex);
            job->run(job);
            env_mutex_lock(&p->mutex);
        } else if (p->stopping) {
            break;
        } else {
            p->idle_patient += patient;
            env_condition_wait(&p->work, &p->mutex);
            p->idle_patient -= patient;
        }
    }
    env_mutex_unlock(&p->mutex);
    return NULL;
}

/* Under the mutex, or before the pool is known. */
static bool start_worker(pool *p) {
    static const char *const names[POOL_URGENCIES] = {
        [POOL_PROMPT] = "velocity-prompt", [POOL_URGENT] = "velocity-flush", [POOL_PATIENT] = "velocity-work"};
    struct worker *w = &p->workers[p->worker_count];
    w->pool = p;
    w->least = p->worker_count < POOL_PATIENT ? (enum pool_urgency)p->worker_count : POOL_PATIENT;
    if (env_thread_start(&w->thread, names[w->least], work, w)) return false;
    p->worker_count++;
    return true;
}

pool *pool_new(env *e, uint32_t threads) {
    pool *p = env_alloc_zeroed(sizeof *p);
    if (!p) return NULL;
    p->env = e;
    p->worker_limit = (threads ? threads < PATIENT_MAX ? threads : PATIENT_MAX : env_core_count()) + POOL_PATIENT;
    p->workers = env_alloc_zeroed(p->worker_limit * sizeof *p->workers);
    if (!p->workers) {
        env_free(p);
        return NULL;
    }
    env_mutex_init(&p->mutex);
    env_condition_init(&p->work);
    env_condition_init(&p->ticked);
    /* One thread of each kind from the beginning: then every job is served, and pool_submit can't fail. */
    if (env_inline_jobs(e) || (start_worker(p) && start_worker(p) && start_worker(p))) return p;
    pool_free(p);
    return NULL;
}

void pool_free(pool *p) {
    if (!p) return;
    env_mutex_lock(&p->mutex);
    p->stopping = true;
    env_condition_broadcast(&p->work);
    env_condition_broadcast(&p->ticked);
    env_mutex_unlock(&p->mutex);
    for (uint32_t i = 0; i < p->worker_count; i++) env_thread_join(p->workers[i].thread);
    if (p->timer_runs) env_thread_join(p->timer);
    env_condition_destroy(&p->work);
    env_condition_destroy(&p->ticked);
    env_mutex_destroy(&p->mutex);
    env_free(p->workers);
    env_free(p);
}

void pool_submit(pool *p, enum pool_urgency urgency, struct pool_job *job) {
    env_mutex_lock(&p->mutex);
    struct queue *queue = &p->queues[urgency];
    job->next = NULL;
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
    bool more = urgency == POOL_PATIENT && p->idle_patient == 0 && p->worker_count < p->worker_limit;
    if (!env_inline_jobs(p->env) && more && !start_worker(p)) { /* it waits for those there are */
    }
    /* All are woken: which of them may take the job is theirs to find out. They are few. */
    env_condition_broadcast(&p->work);
    env_mutex_unlock(&p->mutex);
}

bool pool_run_one(pool *p) {
    env_mutex_lock(&p->mutex);
    struct pool_job *job = take(p, POOL_PATIENT);
    env_mutex_unlock(&p->mutex);
    if (job) job->run(job);
    return job != NULL;
}

/* ---- the timer --------------------------------------------------------------------------------------------------- */

static void *time_passes(void *arg) {
    pool *p = arg;
    env_mutex_lock(&p->mutex);
    while (!p->stopping) {
        uint64_t now = env_monotonic_us(p->env) / 1000, next = now + 1000;
        struct pool_ticker *due = NULL;
        for (struct pool_ticker *t = p->tickers; t; t = t->next) {
            if (t->due_ms <= now && (!due || t->due_ms < due->due_ms)) due = t; /* the latest: none is starved */
            if (t->due_ms < next) next = t->due_ms;
        }
        if (due) {
            due->due_ms = now + due->period_ms;
            due->running = true;
            env_mutex_unlock(&p->mutex);
            due->tick(due);
            env_mutex_lock(&p->mutex);
            due->running = false;
            env_condition_broadcast(&p->ticked);
        } else if (p->tickers) {
            (void)env_condition_wait_ms(&p->ticked, &p->mutex, next - now);
        } else {
            env_condition_wait(&p->ticked, &p->mutex);
        }
    }
    env_mutex_unlock(&p->mutex);
    return NULL;
}

velocity_status pool_ticker_add(pool *p, struct pool_ticker *ticker) {
    if (env_inline_jobs(p->env)) return VELOCITY_OK;
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&p->mutex);
    if (!p->timer_runs) {
        status = env_thread_start(&p->timer, "velocity-timer", time_passes, p);
        p->timer_runs = !status;
    }
    if (!status) {
        ticker->due_ms = env_monotonic_us(p->env) / 1000 + ticker->period_ms;
        ticker->next = p->tickers;
        p->tickers = ticker;
        env_condition_broadcast(&p->ticked);
    }
    env_mutex_unlock(&p->mutex);
    return status;
}

void pool_ticker_hurry(pool *p, struct pool_ticker *ticker) {
    env_mutex_lock(&p->mutex);
    ticker->due_ms = 0;
    env_condition_broadcast(&p->ticked);
    env_mutex_unlock(&p->mutex);
}

void pool_ticker_set_period(pool *p, struct pool_ticker *ticker, uint32_t period_ms) {
    env_mutex_lock(&p->mutex);
    ticker->period_ms = period_ms;
    uint64_t due_ms = env_monotonic_us(p->env) / 1000 + period_ms;
    if (ticker->due_ms > due_ms) ticker->due_ms = due_ms;
    env_condition_broadcast(&p->ticked);
    env_mutex_unlock(&p->mutex);
}

void pool_ticker_remove(pool *p, struct pool_ticker *ticker) {
    env_mutex_lock(&p->mutex);
    for (struct pool_ticker **at = &p->tickers; *at; at = &(*at)->next) {
        if (*at != ticker) continue;
        *at = ticker->next;
        break;
    }
    while (ticker->running) env_condition_wait(&p->ticked, &p->mutex);
    env_mutex_unlock(&p->mutex);
}
