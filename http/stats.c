/*
 * stats.c - GET /api/stats: every figure there is, and null where there is none.
 */
#include "http/handlers.h"
#include "http/reply.h"
#include "http/server_internal.h"

#include <stdlib.h>

static void number(struct json_writer *w, const char *name, uint64_t value) {
    json_name(w, name);
    json_write_u64(w, value);
}

/* part / whole, or null where there is no whole. */
static void ratio(struct json_writer *w, const char *name, uint64_t part, uint64_t whole) {
    json_name(w, name);
    if (whole)
        json_write_double(w, (double)part / (double)whole);
    else
        json_write_null(w);
}

/* ---- the database ----------------------------------------------------------------------------------------------- */

static void write_groups(struct json_writer *w, const velocity_stats *s) {
    static const char *const names[VELOCITY_GROUP_BUCKETS] = {"1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "65+"};
    json_name(w, "group_commit");
    json_begin_object(w);
    number(w, "groups", s->groups);
    number(w, "syncs", s->syncs);
    json_name(w, "batches_per_group");
    json_begin_object(w);
    for (int i = 0; i < VELOCITY_GROUP_BUCKETS; i++) number(w, names[i], s->group_batches[i]);
    json_end_object(w);
    json_end_object(w);
}

static void write_levels(struct json_writer *w, const velocity_stats *s) {
    json_name(w, "levels");
    json_begin_array(w);
    for (int i = 0; i < VELOCITY_LEVELS; i++) {
        json_begin_object(w);
        number(w, "level", (uint64_t)i);
        number(w, "tables", s->level_tables[i]);
        number(w, "bytes", s->level_bytes[i]);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_operations(struct json_writer *w, const velocity_stats *s) {
    json_name(w, "operations");
    json_begin_object(w);
    number(w, "gets", s->gets);
    number(w, "get_hits", s->get_hits);
    number(w, "iterators", s->iterators);
    number(w, "writes", s->writes);
    number(w, "write_operations", s->write_operations);
    number(w, "write_bytes", s->write_bytes);
    json_end_object(w);
    json_name(w, "log");
    json_begin_object(w);
    number(w, "bytes_written", s->log_bytes_written);
    number(w, "live_bytes", s->log_live_bytes);
    json_end_object(w);
    json_name(w, "memtable");
    json_begin_object(w);
    number(w, "bytes", s->memtable_bytes);
    number(w, "entries", s->memtable_entries);
    number(w, "immutable", s->immutable_memtables);
    json_end_object(w);
}

static void write_background(struct json_writer *w, const velocity_stats *s) {
    json_name(w, "background");
    json_begin_object(w);
    number(w, "jobs", s->background_jobs);
    number(w, "flushes", s->flushes);
    number(w, "flush_bytes_written", s->flush_bytes_written);
    number(w, "compactions", s->compactions);
    number(w, "compaction_bytes_read", s->compaction_bytes_read);
    number(w, "compaction_bytes_written", s->compaction_bytes_written);
    number(w, "compaction_pending_bytes", s->compaction_pending_bytes);
    number(w, "trivial_moves", s->trivial_moves);
    number(w, "stalls", s->stalls);
    number(w, "stall_ms", s->stall_ms);
    ratio(w, "write_amplification", s->log_bytes_written + s->flush_bytes_written + s->compaction_bytes_written,
          s->write_bytes);
    json_end_object(w);
}

static void write_tables(struct json_writer *w, const velocity_stats *s) {
    json_name(w, "tables");
    json_begin_object(w);
    number(w, "entries", s->table_entries);
    number(w, "raw_bytes", s->table_raw_bytes);
    number(w, "bytes", s->table_bytes);
    ratio(w, "compression_ratio", s->table_raw_bytes, s->table_bytes);
    number(w, "open", s->open_tables);
    json_end_object(w);
    json_name(w, "filter");
    json_begin_object(w);
    number(w, "checks", s->filter_checks);
    number(w, "negatives", s->filter_negatives);
    number(w, "false_positives", s->filter_false_positives);
    ratio(w, "hit_rate", s->filter_negatives, s->filter_checks);
    json_end_object(w);
    json_name(w, "cache");
    json_begin_object(w);
    number(w, "hits", s->cache_hits);
    number(w, "misses", s->cache_misses);
    ratio(w, "hit_rate", s->cache_hits, s->cache_hits + s->cache_misses);
    number(w, "used_bytes", s->cache_used_bytes);
    number(w, "capacity_bytes", s->cache_capacity_bytes);
    json_end_object(w);
}

static void write_open_database(struct json_writer *w, const velocity_stats *s) {
    json_name(w, "version");
    json_write_u64_string(w, s->last_sequence);
    json_name(w, "read_only");
    json_write_bool(w, s->read_only);
    json_name(w, "out_of_space");
    json_write_bool(w, s->out_of_space);
    number(w, "snapshots", s->snapshots);
    number(w, "live_handles", s->live_handles);
    write_operations(w, s);
    write_groups(w, s);
    write_levels(w, s);
    write_tables(w, s);
    number(w, "disk_bytes", s->disk_bytes);
    write_background(w, s);
}

struct listing {
    struct json_writer *writer;
    const struct scope *scope; /* NULL: all */
};

static bool write_database(void *arg, const struct database_info *info) {
    const struct listing *listing = arg;
    struct json_writer *w = listing->writer;
    if (listing->scope && !scope_has_database(listing->scope, velocity_str(info->name))) return true;
    json_name(w, info->name);
    json_begin_object(w);
    json_name(w, "status");
    json_write_string(w, velocity_str(info->status == VELOCITY_OK ? "open" : "damaged"));
    json_name(w, "max_disk_bytes");
    if (info->max_disk_bytes)
        json_write_u64(w, info->max_disk_bytes);
    else
        json_write_null(w);
    if (info->status == VELOCITY_OK) write_open_database(w, &info->stats);
    json_end_object(w);
    return true;
}

/* ---- the server ------------------------------------------------------------------------------------------------- */

/* The workers' counters together. */
struct totals {
    uint64_t statuses[600], begun, ended, received, sent;
    uint64_t latency[LATENCY_CLASSES][LATENCY_BUCKETS];
};

static uint64_t load(_Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void sum(struct http_server *server, struct totals *t) {
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct worker_counters *c = &server->workers[i].counters;
        t->ended += load(&c->ended);
        t->begun += load(&c->begun);
        t->received += load(&c->body_bytes_received);
        t->sent += load(&c->body_bytes_sent);
        for (size_t s = 0; s < 600; s++) t->statuses[s] += load(&c->statuses[s]);
        for (size_t k = 0; k < LATENCY_CLASSES; k++)
            for (size_t b = 0; b < LATENCY_BUCKETS; b++) t->latency[k][b] += load(&c->latency[k][b]);
    }
}

/* The upper end of the bucket that holds the percentile; null where nothing was measured. */
static void percentile(struct json_writer *w, const char *name, const uint64_t *buckets, uint64_t count, double share) {
    json_name(w, name);
    uint64_t rank = (uint64_t)(share * (double)count), seen = 0;
    for (size_t i = 0; count && i < LATENCY_BUCKETS; i++) {
        seen += buckets[i];
        if (seen <= rank && seen < count) continue;
        json_write_u64(w, latency_bucket_limit(i));
        return;
    }
    json_write_null(w);
}

static void write_latency(struct json_writer *w, const struct totals *t) {
    static const char *const names[LATENCY_CLASSES] = {"reads", "writes", "others"};
    json_name(w, "latency_us");
    json_begin_object(w);
    for (size_t k = 0; k < LATENCY_CLASSES; k++) {
        uint64_t count = 0;
        for (size_t b = 0; b < LATENCY_BUCKETS; b++) count += t->latency[k][b];
        json_name(w, names[k]);
        json_begin_object(w);
        number(w, "count", count);
        percentile(w, "p50", t->latency[k], count, 0.5);
        percentile(w, "p90", t->latency[k], count, 0.9);
        percentile(w, "p99", t->latency[k], count, 0.99);
        percentile(w, "p999", t->latency[k], count, 0.999);
        json_end_object(w);
    }
    json_end_object(w);
}

static void write_requests(struct json_writer *w, const struct totals *t) {
    uint64_t all = 0;
    for (size_t s = 0; s < 600; s++) all += t->statuses[s];
    json_name(w, "requests");
    json_begin_object(w);
    number(w, "answered", all);
    number(w, "under_way", t->begun - t->ended);
    number(w, "body_bytes_received", t->received);
    number(w, "body_bytes_sent", t->sent);
    json_name(w, "by_status");
    json_begin_object(w);
    for (size_t s = 100; s < 600; s++) {
        if (!t->statuses[s]) continue;
        char name[4] = {(char)('0' + s / 100), (char)('0' + s / 10 % 10), (char)('0' + s % 10), 0};
        number(w, name, t->statuses[s]);
    }
    json_end_object(w);
    json_end_object(w);
}

static void write_limits(struct json_writer *w, struct http_server *server) {
    struct service_stats s;
    service_stats(server->service, &s);
    json_name(w, "limits");
    json_begin_object(w);
    number(w, "inflight_bytes", s.inflight_bytes);
    number(w, "max_inflight_bytes", s.max_inflight_bytes);
    number(w, "reply_bytes", atomic_load(&server->reply_bytes));
    number(w, "executor_waiting", s.executor_waiting);
    number(w, "refused_inflight", s.refused_inflight);
    number(w, "refused_queue_full", s.refused_queue_full);
    number(w, "refused_disk_low", s.refused_disk_low);
    number(w, "refused_rate", s.refused_rate);
    number(w, "requests_cut", atomic_load(&server->connections.cut));
    json_end_object(w);
    json_name(w, "disk");
    json_begin_object(w);
    json_name(w, "free_bytes");
    if (s.disk_free_bytes == UINT64_MAX)
        json_write_null(w);
    else
        json_write_u64(w, s.disk_free_bytes);
    number(w, "reserve_bytes", s.disk_reserve_bytes);
    json_end_object(w);
}

static void write_transactions(struct json_writer *w, struct transactions *transactions) {
    struct transactions_stats s;
    transactions_stats(transactions, &s);
    json_name(w, "transactions");
    json_begin_object(w);
    number(w, "open", s.open);
    number(w, "bytes", s.bytes);
    number(w, "max_bytes", s.max_bytes);
    number(w, "begun", s.begun);
    number(w, "committed", s.committed);
    number(w, "conflicts", s.conflicts);
    number(w, "rolled_back", s.rolled_back);
    number(w, "timed_out", s.timed_out);
    number(w, "refused", s.refused);
    number(w, "answers_remembered", s.remembered);
    json_end_object(w);
}

static void write_logins(struct json_writer *w, struct auth *auth) {
    struct auth_stats s;
    auth_stats(auth, &s);
    json_name(w, "logins");
    json_begin_object(w);
    number(w, "users", s.users);
    number(w, "tokens", s.tokens);
    number(w, "sessions", s.sessions);
    number(w, "failures", s.failures);
    number(w, "bans", s.bans);
    number(w, "banned", s.banned_now);
    number(w, "passwords_hashed", s.hashes);
    number(w, "refused_queue_full", s.queue_full);
    json_end_object(w);
}

static void write_audit(struct json_writer *w, struct audit *audit) {
    struct audit_stats s;
    json_name(w, "audit");
    if (!audit) {
        json_write_null(w);
        return;
    }
    audit_stats(audit, &s);
    json_begin_object(w);
    number(w, "recorded", s.recorded);
    number(w, "written", s.written);
    number(w, "queued", s.queued);
    number(w, "batches", s.batches);
    number(w, "pruned", s.pruned);
    number(w, "write_failures", s.write_failures);
    number(w, "operations_waited", s.waited);
    number(w, "operations_refused", s.refused);
    number(w, "file_bytes", s.file_bytes);
    json_name(w, "failing");
    json_write_bool(w, s.failing);
    json_end_object(w);
}

static void write_streams(struct json_writer *w, struct http_server *server) {
    struct streams_stats streams;
    struct follow_stats follow;
    streams_stats(&server->streams, &streams);
    followers_stats(server->followers, &follow);
    json_name(w, "streams");
    json_begin_object(w);
    number(w, "open", streams.open);
    number(w, "max", streams.limit);
    number(w, "begun", streams.begun);
    number(w, "refused", streams.refused);
    json_name(w, "watches");
    json_begin_object(w);
    number(w, "open", follow.followers);
    number(w, "behind", follow.behind);
    number(w, "databases", follow.hubs);
    number(w, "events", follow.events);
    number(w, "recent_events_bytes", follow.ring_bytes);
    number(w, "behind_bytes", follow.held_bytes);
    json_end_object(w);
    json_end_object(w);
}

static bool write_server(struct json_writer *w, struct http_server *server) {
    struct totals *t = calloc(1, sizeof *t);
    if (!t) return false;
    sum(server, t);
    json_begin_object(w);
    json_name(w, "software");
    json_write_string(w, velocity_str(velocity_version()));
    json_name(w, "uptime_seconds");
    json_write_double(w, (double)(clock_us() - server->started_us) / 1e6);
    json_name(w, "draining");
    json_write_bool(w, http_server_draining(server));
    json_name(w, "connections");
    json_begin_object(w);
    number(w, "open", connections_count(&server->connections));
    number(w, "accepted", atomic_load(&server->connections.accepted));
    json_end_object(w);
    write_streams(w, server);
    write_requests(w, t);
    write_latency(w, t);
    write_limits(w, server);
    write_transactions(w, service_transactions(server->service));
    write_logins(w, service_auth(server->service));
    write_audit(w, service_audit(server->service));
    json_end_object(w);
    free(t);
    return true;
}

void stats_get(struct http_request *request) {
    struct json_writer *w = &request->writer;
    struct listing listing = {.writer = w, .scope = request->principal ? &request->principal->scope : NULL};
    if (!request_parameters(request, NULL, 0, NULL)) return;
    json_begin_object(w);
    json_name(w, "databases");
    json_begin_object(w);
    velocity_status status =
        databases_list(service_databases(request->server->service), velocity_str(""), write_database, &listing);
    if (status != VELOCITY_OK) {
        reply_problem(request, PROBLEM_INTERNAL, "%s", velocity_error_message());
        return;
    }
    json_end_object(w);
    json_name(w, "server");
    if (!write_server(w, request->server)) w->failed = true;
    json_end_object(w);
    reply_json(request);
    reply_header(request, "Cache-Control", "no-store");
}
