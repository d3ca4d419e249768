/*
 * forwarded.h - whom a proxy says that it forwards: X-Forwarded-For, X-Forwarded-Proto, or Forwarded (RFC 7239). Pure
 * functions; whether the proxy's word counts is the caller's to know.
 */
#ifndef VELOCITY_HTTP_FORWARDED_H
#define VELOCITY_HTTP_FORWARDED_H

#include "engine/velocity.h"

/* Takes the last element off a comma-separated list, without white space around it; quotes count. False: no more. */
bool forwarded_last(velocity_slice *list, velocity_slice *element);
/* The value of a parameter ("for", "proto") of one element of Forwarded, without its quotes. False: not there. */
bool forwarded_parameter(velocity_slice element, const char *name, velocity_slice *value);

#endif
