/* count.c - see count.h. */
#include "http/count.h"

#include "http/reply.h"

#define LOOK_EACH 1024u /* keys between two looks at the clock */

struct count {
    struct store_scan scan;
    uint64_t count, until_us;
};

static bool no_value(void *arg, uint32_t flags, size_t value_size) {
    (void)arg, (void)flags, (void)value_size;
    return false;
}

/* On the executor. */
static bool count_row(void *arg, const struct store_row *row) {
    struct count *count = arg;
    (void)row;
    if (count->count == COUNT_MAX_KEYS) return false;
    if (count->count % LOOK_EACH == 0) {
        uint64_t now = clock_us();
        if (!count->until_us) count->until_us = now + COUNT_MAX_MS * UINT64_C(1000);
        if (now >= count->until_us) return false;
    }
    count->count++;
    return true;
}

static void counted(struct http_request *request) {
    const struct count *count = request->state;
    struct json_writer *w = &request->writer;
    if (request->service.status != VELOCITY_OK) {
        reply_failure(request, false);
        return;
    }
    json_begin_object(w);
    json_name(w, "count");
    json_write_u64(w, count->count);
    json_name(w, "exact");
    json_write_bool(w, count->scan.complete);
    json_end_object(w);
    reply_json(request);
}

void count_keys(struct http_request *request, velocity_slice prefix, velocity_slice start, velocity_slice end,
                bool whole) {
    struct count *count = scratch_alloc(&request->scratch, sizeof *count);
    if (!count) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    *count = (struct count){
        .scan = {
            .prefix = prefix, .start = start, .end = end, .wants_value = no_value, .row = count_row, .arg = count}};
    request->state = count;
    request->service.operation = SERVICE_SCAN;
    request->service.scan = &count->scan;
    request->service.scan_whole = whole;
    request_run(request, counted);
}
