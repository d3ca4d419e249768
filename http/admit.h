/*
 * admit.h - what is judged of a request as soon as its header is there, before any of its body is read.
 *
 *     request_admit -- true --> request_admit_on -- ADMISSION_WAITS --> request_wait ... woken: request_admit_on again
 */
#ifndef VELOCITY_HTTP_ADMIT_H
#define VELOCITY_HTTP_ADMIT_H

#include "http/request.h"

enum admission { ADMISSION_GRANTED, ADMISSION_REFUSED, ADMISSION_WAITS };

/* Finds client, route and the body's limit. False: the request is refused, and the reply says why; or it was answered
 * here (a browser's preflight). */
bool request_admit(struct http_request *request, const char *method, bool http_1_0);
/* Who it is, and whether they may. REFUSED: the reply says why. WAITS: request_wait, then once more. */
enum admission request_admit_on(struct http_request *request);
/* Once all of it is here, which may take as long as the deadline: may they still? False: the reply says no. */
bool request_still_admitted(struct http_request *request);
/* The same for what goes on for long, without a word; also whether the time of token or session has come. Any thread,
 * while the request is nobody else's. */
bool request_holds(struct http_request *request);

#endif
