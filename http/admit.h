/*
 * admit.h - what is judged of a request as soon as its header is there, before any of its body is read.
 */
#ifndef VELOCITY_HTTP_ADMIT_H
#define VELOCITY_HTTP_ADMIT_H

#include "http/request.h"

/* Finds the route and the body's limit. False: the request is refused, and the reply says why. */
bool request_admit(struct http_request *request, const char *method, bool http_1_0);

#endif
