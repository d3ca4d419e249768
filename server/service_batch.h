/*
 * service_batch.h - batches whose gets see the operations before them, over a store that writes batches and reads keys.
 * A part of the service layer; fronts use service.h.
 */
#ifndef VELOCITY_SERVER_SERVICE_BATCH_H
#define VELOCITY_SERVER_SERVICE_BATCH_H

#include "server/service.h"

/* Has it what may take space: a put, an increment, a touch? */
bool service_batch_takes_space(const struct service_batch *batch);
/*
 * Three ways. A batch that only writes is written. One that also increments, and is not large, is composed in the
 * commit queue: any number of increments of one key share a sync. What else reads does so on the executor, and writes
 * on condition that nothing has moved.
 */
/* True: commit.done will run, or has run. False: nothing was done, the executor is needed. */
VELOCITY_CHECK_RESULT bool service_batch_start(struct service_request *request);
/* On the executor. True: answered. False: commit.done will run, or has run. */
VELOCITY_CHECK_RESULT bool service_batch_run(struct service_request *request);
/* In commit.done: takes the commit, and what the operations came to. */
void service_batch_committed(struct service_request *request);

#endif
