/*
 * batch_parse.h - the body of POST /api/batch, read into the service's terms.
 */
#ifndef VELOCITY_HTTP_BATCH_PARSE_H
#define VELOCITY_HTTP_BATCH_PARSE_H

#include "http/problem.h"
#include "server/scratch.h"
#include "server/service.h"

#define BATCH_MAX_OPERATIONS 10000u

struct batch_error {
    enum problem_code code;
    const char *reason; /* static */
    bool has_index, has_offset;
    uint64_t index, offset;
};

/* What it fills borrows `body` and `scratch`. False: *error says what is wrong with what. */
bool batch_parse(velocity_slice body, uint64_t max_value_bytes, struct scratch *scratch, struct service_batch *out,
                 struct batch_error *error);

#endif
