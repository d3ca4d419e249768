/* verify.h - verify and repair in a given environment: for velocity_verify, velocity_repair and tests. */
#ifndef VELOCITY_VERIFY_H
#define VELOCITY_VERIFY_H

#include "env.h"

/* As velocity_verify_with and velocity_repair_with. */
VELOCITY_CHECK_RESULT velocity_status database_verify(env *e, const char *path, const velocity_check_options *options,
                                                      velocity_report *report);
VELOCITY_CHECK_RESULT velocity_status database_repair(env *e, const char *path, const velocity_check_options *options,
                                                      velocity_report *report);

#endif
