/*
 * audit_prune.c - rows that are too old, or too many for the file's size, leave: a few thousand in a transaction, which
 * also writes the row that says so and the anchor that the chain begins with from then on.
 */
#include "server/audit_file_internal.h"

#include "engine/status.h"

#include <inttypes.h>
#include <stdio.h>

#define STEP_ROWS  5000
#define KEPT_ROWS  100 /* the newest, which stay whatever max_bytes says, and as many to come: each step adds a row */
#define SLACK_PART 32  /* a file that is full loses this part more, so that not every batch has to prune */
#define FREE_PART  8   /* free pages beyond this part go back to the file system... */
#define FREE_PAGES 64  /* ...if they are so many; fewer are kept for the next rows */

void audit_prune_detail(const struct audit_head *last, char out[AUDIT_PRUNE_DETAIL_BYTES]) {
    char hex[AUDIT_HEX_BYTES];
    audit_hash_hex(&last->hash, hex);
    (void)snprintf(out, AUDIT_PRUNE_DETAIL_BYTES, "last=%" PRIu64 " hash=%s", last->number, hex);
}

/* How many of the oldest rows the size asks for. */
static uint64_t too_many(const struct audit_file *file, uint64_t max_bytes) {
    uint64_t rows = file->head.number + 1 - file->first, used = file->pages - file->free_pages;
    uint64_t allowed = max_bytes / file->page_bytes;
    if (!max_bytes || used <= allowed || rows <= 2 * KEPT_ROWS) return 0;
    uint64_t wanted = allowed - allowed / SLACK_PART;
    double part = (double)(used - wanted) / (double)used;
    uint64_t count = (uint64_t)(part * (double)rows) + 1;
    if (count > rows - KEPT_ROWS) count = rows - KEPT_ROWS;
    return count < STEP_ROWS ? count : STEP_ROWS;
}

/* How many of the oldest, up to a step, are older than that. */
static velocity_status too_old(struct audit_file *file, int64_t before_ms, uint64_t *count) {
    sqlite3_stmt *young = file->statements[AUDIT_YOUNG];
    uint64_t rows = file->head.number + 1 - file->first, first_young = 0;
    uint64_t step = rows < STEP_ROWS ? rows : STEP_ROWS;
    *count = 0;
    if (step == 0) return VELOCITY_OK;
    (void)sqlite3_bind_int64(young, 1, (int64_t)(file->first + step));
    (void)sqlite3_bind_int64(young, 2, before_ms);
    (void)sqlite3_bind_int64(young, 3, (int64_t)file->first); /* what somebody put before it is none of ours */
    velocity_status status = audit_file_number(file, AUDIT_YOUNG, &first_young);
    if (!status && first_young > file->first) *count = first_young - file->first;
    if (!status && !first_young) *count = step;
    return status;
}

static velocity_status read_hash(struct audit_file *file, struct audit_head *row) {
    sqlite3_stmt *hash_of = file->statements[AUDIT_HASH_OF];
    velocity_status status = VELOCITY_OK;
    (void)sqlite3_bind_int64(hash_of, 1, (int64_t)row->number);
    int code = sqlite3_step(hash_of);
    if (code == SQLITE_ROW && sqlite3_column_bytes(hash_of, 0) == AUDIT_HASH_BYTES)
        memcpy(row->hash.bytes, sqlite3_column_blob(hash_of, 0), AUDIT_HASH_BYTES);
    else if (code == SQLITE_ROW || code == SQLITE_DONE)
        status = status_set(VELOCITY_CORRUPT, "%s: row %" PRIu64 " is missing or has no hash", file->path, row->number);
    else
        status = audit_sqlite_status(file->db, file->path, "reading a hash");
    (void)sqlite3_reset(hash_of);
    return status;
}

/* Inside a transaction. */
static velocity_status move_anchor(struct audit_file *file, const struct audit_head *last, int64_t now_ms) {
    struct audit_value row[AUDIT_COLUMNS] = {{0}};
    char stated[AUDIT_PRUNE_DETAIL_BYTES], detail[AUDIT_PRUNE_DETAIL_BYTES + 32];
    audit_prune_detail(last, stated);
    (void)snprintf(detail, sizeof detail, "%s rows=%" PRIu64, stated, last->number + 1 - file->first);
    row[AUDIT_TIME_MS] = audit_integer(now_ms);
    row[AUDIT_ACTION] = audit_text(velocity_str(AUDIT_PRUNE_ACTION));
    row[AUDIT_DETAIL] = audit_text(velocity_str(detail));
    velocity_status status = audit_file_append(file, row);
    if (status) return status;
    (void)sqlite3_bind_int64(file->statements[AUDIT_REMOVE], 1, (int64_t)last->number);
    status = audit_file_step(file, AUDIT_REMOVE, "removing old rows");
    if (status) return status;
    sqlite3_stmt *set = file->statements[AUDIT_SET_ANCHOR];
    (void)sqlite3_bind_int64(set, 1, (int64_t)last->number);
    (void)sqlite3_bind_blob(set, 2, last->hash.bytes, AUDIT_HASH_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_int64(set, 3, (int64_t)file->head.number);
    return audit_file_step(file, AUDIT_SET_ANCHOR, "moving the anchor");
}

static velocity_status remove_rows(struct audit_file *file, uint64_t count, int64_t now_ms) {
    struct audit_head last = {.number = file->first + count - 1};
    velocity_status status = audit_file_begin(file);
    if (status) return status;
    status = read_hash(file, &last);
    if (!status) status = move_anchor(file, &last, now_ms);
    if (!status) status = audit_file_commit(file);
    if (status)
        audit_file_rollback(file);
    else
        file->first = last.number + 1;
    return status;
}

static bool has_slack(const struct audit_file *file, uint64_t max_bytes) {
    if (!file->free_pages) return false;
    if (max_bytes && audit_file_bytes(file) > max_bytes) return true;
    return file->free_pages > FREE_PAGES && file->free_pages > file->pages / FREE_PART;
}

velocity_status audit_file_prune(struct audit_file *file, const struct audit_limits *limits, int64_t now_ms,
                                 uint64_t *removed, bool *again) {
    uint64_t old = 0, many = too_many(file, limits->max_bytes);
    *removed = 0;
    *again = false;
    velocity_status status = too_old(file, limits->before_ms, &old);
    uint64_t count = old > many ? old : many;
    if (!status && count) {
        status = remove_rows(file, count, now_ms);
        if (!status) *removed = count;
    }
    uint64_t pages = file->pages;
    bool shrink = !status && has_slack(file, limits->max_bytes);
    if (shrink) {
        status = audit_file_step(file, AUDIT_SHRINK, "shrinking the file");
        if (!status) status = audit_file_measure(file);
    }
    *again = !status && (count == STEP_ROWS || too_many(file, limits->max_bytes) ||
                         (shrink && file->pages < pages && has_slack(file, limits->max_bytes)));
    return status;
}
