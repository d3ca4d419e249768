/*
 * health.h - whether all is well, remembered for a moment: anyone may ask without a login or a limit, and finding out
 * takes a walk over all databases. So strangers share one walk a second.
 *
 * Threads: any. `mutex` guards the rest and is held for a walk, so who waits for it waits no longer than for its own.
 */
#ifndef VELOCITY_HTTP_HEALTH_H
#define VELOCITY_HTTP_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HEALTH_REMEMBERED_US UINT64_C(1000000)

struct health {
    pthread_mutex_t mutex;
    uint64_t until_us; /* it is remembered; 0: nothing is */
    bool all_well;
};

void health_init(struct health *health);
void health_destroy(struct health *health);
/* What `look` answers, or answered less than a second ago. `now_us` is monotonic. */
bool health_all_well(struct health *health, uint64_t now_us, bool (*look)(void *arg), void *arg);

#endif
