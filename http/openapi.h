/*
 * openapi.h - the OpenAPI 3.1 description: what the route table says, and what only people know of its rows.
 *
 *     routes (router.c) + operations, parameters, schemas (openapi_table.c) --openapi_write--> document
 *
 * Texts of schemas and parameters are JSON with ' for ", so that they can be read.
 */
#ifndef VELOCITY_HTTP_OPENAPI_H
#define VELOCITY_HTTP_OPENAPI_H

#include "http/router.h"
#include "server/json_write.h"

/* What a request of an action takes and answers. Lists are words with a space between. */
struct openapi_operation {
    const char *action;
    const char *path;       /* NULL: wherever the action stands; else only there */
    const char *parameters; /* by their name in components: "prefix limit" */
    const char *body;       /* schema; "": any bytes; NULL: none */
    unsigned status;        /* of success */
    const char *reply;      /* schema; "": any bytes; NULL: none */
    const char *problems;   /* codes, besides those that many operations have */
};

/* Part of components, by name. */
struct openapi_component {
    const char *name, *json;
};

/* Header fields that a success of the action may have. */
struct openapi_reply_headers {
    const char *action;
    const char *names; /* with a space between, as in components */
};

extern const struct openapi_operation openapi_operations[];
extern const size_t openapi_operation_count;
extern const struct openapi_component openapi_parameters[];
extern const size_t openapi_parameter_count;
extern const struct openapi_component openapi_headers[];
extern const size_t openapi_header_count;
extern const struct openapi_reply_headers openapi_reply_headers[];
extern const size_t openapi_reply_header_count;
extern const struct openapi_component openapi_schemas[];
extern const size_t openapi_schema_count;

/* NULL: the table has none. */
const struct openapi_operation *openapi_operation(const struct route *route);
/* Names of header fields; "": none. */
const char *openapi_headers_of(const struct route *route);
/* The whole document. */
void openapi_write(struct json_writer *w);

#endif
