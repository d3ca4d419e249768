/* worker.c - see worker.h. */
#include "http/worker.h"

#include "http/request.h"

void worker_finished(struct http_request *request) {
    struct worker *worker = request->worker;
    struct http_request *head = atomic_load_explicit(&worker->finished, memory_order_relaxed);
    bool first;
    do {
        first = head == NULL;
        request->next = head;
        request->resumed = first;
    } while (!atomic_compare_exchange_weak_explicit(&worker->finished, &head, request, memory_order_release,
                                                    memory_order_relaxed));
    /* The worker passes over a request marked as resumed, so this one cannot go away before it is. */
    if (first) MHD_resume_connection(request->mhd);
}

void worker_resume_finished(struct worker *worker) {
    if (!atomic_load_explicit(&worker->finished, memory_order_relaxed)) return;
    struct http_request *request = atomic_exchange_explicit(&worker->finished, NULL, memory_order_acquire);
    while (request) {
        struct http_request *next = request->next;
        request->next = NULL;
        if (!request->resumed) MHD_resume_connection(request->mhd);
        request = next;
    }
}

size_t latency_bucket(uint64_t us) {
    if (us < 4) return (size_t)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    size_t bucket = 4 * (size_t)(power - 1) + (size_t)(us >> (power - 2) & 3);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

uint64_t latency_bucket_limit(size_t bucket) {
    if (bucket < 4) return bucket;
    unsigned power = (unsigned)(bucket / 4) + 1;
    return ((UINT64_C(4) + bucket % 4 + 1) << (power - 2)) - 1;
}
