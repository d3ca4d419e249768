/* handlers.h - what answers the routes: one file per group. */
#ifndef VELOCITY_HTTP_HANDLERS_H
#define VELOCITY_HTTP_HANDLERS_H

#include <stdbool.h>

struct http_request;

/* keys.c */
void keys_get(struct http_request *request);
bool keys_put_begin(struct http_request *request);
void keys_put(struct http_request *request);
void keys_delete(struct http_request *request);
/* patch.c */
bool keys_patch_begin(struct http_request *request);
void keys_patch(struct http_request *request);
/* range_delete.c: DELETE /api/keys, which is keys_delete where a key64 parameter names the key */
void keys_delete_range(struct http_request *request);
/* listing.c: GET /api/keys, which is keys_get where a key64 parameter names the key */
void keys_list(struct http_request *request);
/* batch.c */
bool batch_begin(struct http_request *request);
void batch_post(struct http_request *request);
/* transactions.c */
void transactions_post(struct http_request *request);
void transactions_get(struct http_request *request);
void transaction_commit_post(struct http_request *request);
void transaction_delete(struct http_request *request);
/* watch.c */
void watch_get(struct http_request *request);
/* export.c */
void export_get(struct http_request *request);
/* import.c */
bool import_begin(struct http_request *request);
void import_post(struct http_request *request);
extern const struct route_pieces import_pieces;
/* databases.c */
void databases_get(struct http_request *request);
void databases_post(struct http_request *request);
void database_get(struct http_request *request);
void database_patch(struct http_request *request);
void database_delete(struct http_request *request);
/* jobs.c */
void flush_post(struct http_request *request);
void compact_post(struct http_request *request);
void jobs_get(struct http_request *request);
void job_get(struct http_request *request);
void job_delete(struct http_request *request);
/* login.c: sessions and whoami */
void sessions_post(struct http_request *request);
void sessions_get(struct http_request *request);
void session_delete(struct http_request *request);
void whoami_get(struct http_request *request);
void whoami_password_put(struct http_request *request);
/* users.c */
void users_get(struct http_request *request);
void users_post(struct http_request *request);
void user_get(struct http_request *request);
void user_patch(struct http_request *request);
void user_delete(struct http_request *request);
/* tokens.c */
void tokens_get(struct http_request *request);
void tokens_post(struct http_request *request);
void token_delete(struct http_request *request);
/* audit.c */
void audit_get(struct http_request *request);
void audit_verify_get(struct http_request *request);
/* config.c */
void config_get(struct http_request *request);
/* openapi.c */
void openapi_get(struct http_request *request);
/* stats.c */
void stats_get(struct http_request *request);
/* health.c */
void health_live(struct http_request *request);
void health_ready(struct http_request *request);

#endif
