/* database.h - opening in a given environment: for velocity_open and for tests. */
#ifndef VELOCITY_DATABASE_H
#define VELOCITY_DATABASE_H

#include "env.h"

/* As velocity_open. options->shared, if set, must be of the same environment. */
VELOCITY_CHECK_RESULT velocity_status database_open(env *e, const char *path, const velocity_options *options,
                                                    velocity **out);
/* The caller's options (NULL: none) over the defaults, as far as its struct reaches, checked. */
VELOCITY_CHECK_RESULT velocity_status database_take_options(const velocity_options *from, velocity_options *to);
/* As velocity_shared_new. */
velocity_shared *shared_new(env *e, const velocity_shared_options *options);

#endif
