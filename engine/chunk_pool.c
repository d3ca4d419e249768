/* chunk_pool.c - see chunk_pool.h. */
#include "chunk_pool.h"

enum {
    READY_CHUNKS = 4, /* prepared ahead: a writer takes some ms to fill one, about as long as the slowest takes */
    REST_US = 1000 * 1000,
};

/* Stands at the front of a kept chunk. */
struct kept {
    struct kept *next;
};

struct chunk_pool {
    env *env;
    pool *jobs;
    struct pool_job prepare_job;
    env_mutex mutex; /* guards what follows; a leaf, but for the pool's own */
    struct kept *kept;
    uint64_t count, expected_bytes, last_take_us;
    bool prepare_queued;
};

static void prepare(struct pool_job *job);

chunk_pool *chunk_pool_new(env *e, pool *jobs) {
    chunk_pool *chunks = env_alloc_zeroed(sizeof *chunks);
    if (!chunks) return NULL;
    chunks->env = e;
    chunks->jobs = jobs;
    chunks->prepare_job.run = prepare;
    env_mutex_init(&chunks->mutex);
    return chunks;
}

static void *take_kept(chunk_pool *chunks) {
    struct kept *chunk = chunks->kept;
    if (!chunk) return NULL;
    chunks->kept = chunk->next;
    chunks->count--;
    return chunk;
}

/* At most so many bytes stay. */
static void trim(chunk_pool *chunks, uint64_t bytes) {
    void *chunk;
    do {
        env_mutex_lock(&chunks->mutex);
        chunk = chunks->count * ENV_HUGE_BYTES > bytes ? take_kept(chunks) : NULL;
        env_mutex_unlock(&chunks->mutex);
        env_free_huge(chunk, ENV_HUGE_BYTES);
    } while (chunk);
}

void chunk_pool_free(chunk_pool *chunks) {
    if (!chunks) return;
    trim(chunks, 0);
    env_mutex_destroy(&chunks->mutex);
    env_free(chunks);
}

static void keep(chunk_pool *chunks, void *chunk) {
    struct kept *kept = chunk;
    kept->next = chunks->kept;
    chunks->kept = kept;
    chunks->count++;
}

/* One chunk a run, so that the jobs of other databases are not kept waiting. */
static void prepare(struct pool_job *job) {
    chunk_pool *chunks = (chunk_pool *)((char *)job - offsetof(chunk_pool, prepare_job));
    void *chunk = env_alloc_huge(ENV_HUGE_BYTES);
    if (chunk) env_populate(chunk, ENV_HUGE_BYTES);
    env_mutex_lock(&chunks->mutex);
    if (chunk) keep(chunks, chunk);
    chunks->prepare_queued = chunk && chunks->count < READY_CHUNKS;
    if (chunks->prepare_queued) pool_submit(chunks->jobs, POOL_PROMPT, job);
    env_mutex_unlock(&chunks->mutex);
}

void *chunk_pool_take(chunk_pool *chunks) {
    env_mutex_lock(&chunks->mutex);
    void *chunk = take_kept(chunks);
    chunks->last_take_us = env_monotonic_us(chunks->env);
    if (chunks->count < READY_CHUNKS / 2 && !chunks->prepare_queued && !env_inline_jobs(chunks->env)) {
        chunks->prepare_queued = true;
        pool_submit(chunks->jobs, POOL_PROMPT, &chunks->prepare_job);
    }
    env_mutex_unlock(&chunks->mutex);
    return chunk ? chunk : env_alloc_huge(ENV_HUGE_BYTES);
}

void chunk_pool_give(chunk_pool *chunks, void *chunk) {
    env_mutex_lock(&chunks->mutex);
    keep(chunks, chunk);
    env_mutex_unlock(&chunks->mutex);
}

void chunk_pool_expect(chunk_pool *chunks, uint64_t bytes) {
    env_mutex_lock(&chunks->mutex);
    if (bytes > chunks->expected_bytes) chunks->expected_bytes = bytes;
    env_mutex_unlock(&chunks->mutex);
}

void chunk_pool_tend(chunk_pool *chunks) {
    uint64_t now_us = env_monotonic_us(chunks->env);
    env_mutex_lock(&chunks->mutex);
    uint64_t bytes = now_us - chunks->last_take_us > REST_US ? 0 : chunks->expected_bytes;
    env_mutex_unlock(&chunks->mutex);
    trim(chunks, bytes);
}

uint64_t chunk_pool_bytes(chunk_pool *chunks) {
    env_mutex_lock(&chunks->mutex);
    uint64_t bytes = chunks->count * ENV_HUGE_BYTES;
    env_mutex_unlock(&chunks->mutex);
    return bytes;
}
