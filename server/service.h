/*
 * service.h - the service layer: what every front can ask of the databases, one request at a time, so that limits,
 * admission and counting are the same on all of them.
 */
#ifndef VELOCITY_SERVICE_H
#define VELOCITY_SERVICE_H

#include "engine/velocity.h"

struct service;

struct service_options {
    uint32_t executor_threads;   /* 0: 2 x cores */
    uint32_t executor_queue;     /* requests that may wait for them; 0: 1024 */
    uint64_t max_value_bytes;    /* of one value */
    uint64_t max_inflight_bytes; /* of request bodies held at once */
    uint64_t disk_reserve_bytes; /* free space of data_dir's file system below which writes answer NO_SPACE; 0: none */
    const char *data_dir;        /* copied */
};

/* Serves `db`, which stays the caller's and must outlive the service, as the database "default". NULL when memory or
 * threads could not be had: velocity_error_message() says which. */
struct service *service_new(const struct service_options *options, velocity *db);
/* No front may use it any more. NULL is allowed. */
void service_free(struct service *service);

#endif
