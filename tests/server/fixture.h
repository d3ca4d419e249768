/*
 * fixture.h - a service over everything that stands behind it, in a folder of its own, and a front that waits for its
 * answers.
 */
#ifndef VELOCITY_TESTS_SERVER_FIXTURE_H
#define VELOCITY_TESTS_SERVER_FIXTURE_H

#include "server/service.h"
#include "tests/server/cmocka_all.h"

#include <pthread.h>

struct fixture {
    char folder[64];
    velocity *system;
    struct databases *databases;
    struct auth *auth;
    struct audit *audit;
    struct service *service;
};

/* What differs from test to test; all zero: no reserve, nothing audited. */
struct fixture_options {
    uint64_t disk_reserve_bytes;
    uint64_t max_inflight_bytes;          /* 0: 1000 */
    const struct audit_settings *audited; /* NULL: no audit log */
};

bool fixture_open(struct fixture *f, const struct fixture_options *options);
bool fixture_close(struct fixture *f); /* and removes the folder */

/* A request and its answer. */
struct call {
    struct service_request request;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    int answers;
    enum service_verdict verdict;
    bool started;
};

/* Through the whole service: admitted, done, settled with 200 or 400. As an admin, in "default", and as an operation
 * that anyone may write with, where the request does not say otherwise. */
velocity_status perform(struct fixture *f, struct call *call);
/* The same in two steps: what was begun is under way, or answered. */
void start_call(struct fixture *f, struct call *call);
velocity_status await_call(struct fixture *f, struct call *call);
void end(struct call *call);

struct call make_put(const char *key, const char *value);
uint64_t put(struct fixture *f, const char *key, const char *value);
void assert_value(struct fixture *f, const char *key, const char *value); /* NULL: there is none */

#endif
