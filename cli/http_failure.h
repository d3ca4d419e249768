/*
 * http_failure.h - what is said of a request that failed, in one line: of a transfer that did not come about or broke
 * off, and of a reply that is a refusal. What a server says is shown without its control characters.
 *
 * Each complains, and answers the exit code.
 */
#ifndef VELOCITY_CLI_HTTP_FAILURE_H
#define VELOCITY_CLI_HTTP_FAILURE_H

#include "cli/http_peer.h"

/* libcurl's words, which it has left in `error`: they live as long as that. */
const char *http_failure_why(CURLcode result, char error[CURL_ERROR_SIZE]);
/* `safe`: it changes nothing, so that nobody needs to wonder whether it was done. */
int http_failure_of_transfer(const struct http_peer *peer, CURLcode result, char error[CURL_ERROR_SIZE], bool safe);

/* A reply that is not 2xx, which `curl` has just brought; `about` as in struct http_request. EXIT_NOT_FOUND: 404. */
int http_failure_of_reply(const struct http_peer *peer, CURL *curl, const struct http_reply *reply, const char *about);

#endif
