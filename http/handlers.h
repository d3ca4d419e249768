/* handlers.h - what answers the routes: one file per group. */
#ifndef VELOCITY_HTTP_HANDLERS_H
#define VELOCITY_HTTP_HANDLERS_H

struct http_request;

/* keys.c */
void keys_get(struct http_request *request);
void keys_put(struct http_request *request);
void keys_delete(struct http_request *request);
/* listing.c: GET /api/keys, which is keys_get where a key64 parameter names the key */
void keys_list(struct http_request *request);
/* batch.c */
void batch_post(struct http_request *request);
/* stats.c */
void stats_get(struct http_request *request);
/* health.c */
void health_live(struct http_request *request);
void health_ready(struct http_request *request);

#endif
