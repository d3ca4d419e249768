/*
 * conditions.h - what If-Match and If-None-Match ask of a key's version (RFC 9110, section 13).
 */
#ifndef VELOCITY_HTTP_CONDITIONS_H
#define VELOCITY_HTTP_CONDITIONS_H

#include "http/headers.h"
#include "http/request.h"

struct conditions {
    bool has_match, has_none_match;
    struct etag_condition match, none_match;
};

/* False: malformed, and the reply says so. */
bool conditions_parse(struct http_request *request, struct conditions *out);
/* For what has no version of its own, and so can't be asked for one: to do it all the same would be to do what the
 * client has ruled out. False: it was asked, and the reply says no. */
bool conditions_absent(struct http_request *request);
/* Do they hold for a key that stands there (store_standing)? What a transaction has put itself has no version: no tag
 * names it, but "*" does. */
bool conditions_match_holds(const struct conditions *conditions, uint64_t standing);
bool conditions_none_match_holds(const struct conditions *conditions, uint64_t standing);
/* Both. `arg` is a struct conditions. */
bool conditions_hold(void *arg, uint64_t standing);
/* Into the service's terms: where one version is named the write carries it, else the key must be read first. */
void conditions_set(struct service_request *service, struct conditions *conditions);

#endif
