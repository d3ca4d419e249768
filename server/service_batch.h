/*
 * service_batch.h - batches whose gets see the operations before them, over a store that writes batches and reads keys.
 * A part of the service layer; fronts use service.h.
 */
#ifndef VELOCITY_SERVER_SERVICE_BATCH_H
#define VELOCITY_SERVER_SERVICE_BATCH_H

#include "server/service.h"

/* Has it what may take space: a put, an increment, a touch? */
bool service_batch_takes_space(const struct service_batch *batch);
/* Has it anything that reads, or nothing to write? Then service_batch_run, which waits; else service_batch_write_async.
 */
bool service_batch_reads(const struct service_batch *batch);
void service_batch_run(struct service_request *request);
void service_batch_write_async(struct service_request *request);
/* After the commit of service_batch_write_async: the operations' versions. */
void service_batch_committed(struct service_request *request);
/* What its reads pin, and its increments made. */
void service_batch_release(struct service_request *request);

#endif
