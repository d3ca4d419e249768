/* count.c - see count.h. */
#include "http/count.h"

#include "http/reply.h"

#define LOOK_EACH 1024u /* keys between two looks at the clock */
#define TURN_MS   50u   /* then it is the turn of other requests */

struct count {
    struct store_scan scan;
    uint64_t count, until_us, turn_until_us; /* 0: from the next look on */
    bool paused;                             /* its turn is over; scan.start is where it goes on */
    unsigned char start[VELOCITY_MAX_KEY_BYTES + 1];
};

static bool no_value(void *arg, uint32_t flags, size_t value_size) {
    (void)arg, (void)flags, (void)value_size;
    return false;
}

static bool is_before(uint64_t *until_us, uint64_t now_us, uint64_t ms) {
    if (!*until_us) *until_us = now_us + ms * 1000;
    return now_us < *until_us;
}

/* False: all of its time is over, or its turn, and then it goes on from this key, or behind it. */
static bool is_in_time(struct count *count, velocity_slice key, bool behind) {
    uint64_t now_us = clock_us();
    if (!is_before(&count->until_us, now_us, COUNT_MAX_MS)) return false;
    if (is_before(&count->turn_until_us, now_us, TURN_MS)) return true;
    memcpy(count->start, key.data, key.size);
    count->start[key.size] = 0; /* the least key behind it */
    count->scan.start = velocity_bytes(count->start, key.size + behind);
    count->paused = true;
    return false;
}

/* On the executor. Keys that are gone take their time, too. */
static bool pass_gone(void *arg, velocity_slice key) {
    return is_in_time(arg, key, true);
}

static bool count_row(void *arg, const struct store_row *row) {
    struct count *count = arg;
    if (count->count == COUNT_MAX_KEYS) return false;
    if (count->count % LOOK_EACH == 0 && !is_in_time(count, row->key, false)) return false;
    count->count++;
    return true;
}

static bool goes_on(struct service_request *service) {
    struct http_request *request = (struct http_request *)((char *)service - offsetof(struct http_request, service));
    struct count *count = request->state;
    bool paused = count->paused;
    count->paused = false;
    count->turn_until_us = 0;
    return paused;
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
    memset(count, 0, offsetof(struct count, start));
    count->scan = (struct store_scan){.prefix = prefix,
                                      .start = start,
                                      .end = end,
                                      .wants_value = no_value,
                                      .row = count_row,
                                      .passing = pass_gone,
                                      .arg = count};
    request->state = count;
    request->service.operation = SERVICE_SCAN;
    request->service.scan = &count->scan;
    request->service.scan_whole = whole;
    request->service.goes_on = goes_on;
    request_run(request, counted);
}
