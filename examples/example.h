/* example.h - what the examples share: how a failure is shown. The message says what happened, and to which file. */
#ifndef VELOCITY_EXAMPLE_H
#define VELOCITY_EXAMPLE_H

#include "engine/velocity.h"

#include <stdio.h>
#include <stdlib.h>

/* Ends the program unless the call answers OK. A real program handles what it can: see errors.c. */
#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        velocity_status must_status = (call);                                                                          \
        if (must_status != VELOCITY_OK) {                                                                              \
            fprintf(stderr, "%s: %s\n", velocity_status_name(must_status), velocity_error_message());                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
