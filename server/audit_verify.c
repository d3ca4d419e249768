/*
 * audit_verify.c - computes the chain anew, from the anchor to the head.
 *
 * Rows are read a thousand at a time, each portion in a transaction of its own, so that the WAL of a busy server can be
 * emptied in between, and the time that a portion may take is enough on any machine, though each row may hold the
 * largest key. Rows that were pruned meanwhile are taken from the anchor, whose row is then still to come. The head
 * that this process itself wrote is known: while the server runs, a cut tail or a chain that was rewritten as a whole
 * shows, too.
 */
#include "server/audit_internal.h"

#include "engine/status.h"

#include <inttypes.h>
#include <stdio.h>

#define PORTION_ROWS       1000
#define PORTION_TIMEOUT_MS 10000

struct walk {
    struct audit_reader reader;
    sqlite3_stmt *rows;
    struct audit_chain chain;
    struct audit_head known; /* what this process wrote last before the walk */
    struct audit_anchor anchor;
    bool anchor_stated; /* its row was met */
    struct audit_head at;
    uint64_t until; /* the number at which the walk may end */
    uint32_t portion;
    struct audit_verification *out;
};

static void broken(struct walk *walk, uint64_t at, const char *why) {
    walk->out->intact = false;
    walk->out->broken_at = at;
    (void)snprintf(walk->out->reason, sizeof walk->out->reason, "row %" PRIu64 ": %s", at, why);
}

/* Does this row say what the anchor does? */
static bool states_anchor(const struct walk *walk, const struct audit_value row[AUDIT_COLUMNS]) {
    char stated[AUDIT_PRUNE_DETAIL_BYTES];
    audit_prune_detail(&walk->anchor.last, stated);
    velocity_slice action = row[AUDIT_ACTION].bytes, detail = row[AUDIT_DETAIL].bytes;
    size_t size = strlen(stated);
    return row[AUDIT_ACTION].type == AUDIT_TEXT && row[AUDIT_DETAIL].type == AUDIT_TEXT &&
           action.size == strlen(AUDIT_PRUNE_ACTION) && memcmp(action.data, AUDIT_PRUNE_ACTION, action.size) == 0 &&
           detail.size > size && memcmp(detail.data, stated, size) == 0 && ((const char *)detail.data)[size] == ' ';
}

static void check_row(struct walk *walk) {
    struct audit_value row[AUDIT_COLUMNS];
    struct audit_hash hash, computed;
    uint64_t number = (uint64_t)sqlite3_column_int64(walk->rows, 0);
    if (!audit_read_row(walk->rows, row, &hash)) {
        broken(walk, number, "it holds something that was never written");
    } else if (number > walk->at.number + 1) {
        broken(walk, number, "the one before it was removed");
    } else if (number != walk->at.number + 1) {
        broken(walk, number, "it stands before the first one");
    } else if (!audit_chain_next(&walk->chain, &walk->at.hash, row, &computed) ||
               memcmp(&computed, &hash, sizeof hash) != 0) {
        broken(walk, number, "its hash is not that of its fields and the row before: one of them was changed");
    } else if (number == walk->anchor.row && !states_anchor(walk, row)) {
        broken(walk, number, "it does not say which rows were pruned, as the anchor claims: the anchor is forged");
    } else if (number == walk->known.number && memcmp(&hash, &walk->known.hash, sizeof hash) != 0) {
        broken(walk, number, "it is not the one that this process wrote: all was rewritten");
    }
    if (!walk->out->intact) return;
    if (number == walk->anchor.row) walk->anchor_stated = true;
    if (walk->out->rows++ == 0) walk->out->first = number;
    walk->out->last = number;
    walk->at = (struct audit_head){number, hash};
}

/* Where the anchor stands in this portion. */
static velocity_status look_at_anchor(struct walk *walk, bool first) {
    struct audit_anchor anchor;
    velocity_status status = audit_read_anchor(walk->reader.db, walk->reader.path, &anchor);
    if (status || (!first && anchor.last.number == walk->anchor.last.number)) return status;
    static const struct audit_anchor none;
    walk->anchor = anchor;
    walk->anchor_stated = anchor.row == 0 && memcmp(&anchor.last, &none.last, sizeof anchor.last) == 0;
    if (first || anchor.last.number > walk->at.number) walk->at = anchor.last;
    if (walk->until < anchor.row) walk->until = anchor.row;
    return VELOCITY_OK;
}

/* *again: there are more rows. */
static velocity_status check_portion(struct walk *walk, bool first, bool *again) {
    uint32_t count = 0;
    int code = SQLITE_ROW;
    *again = false;
    walk->reader.until_ms = audit_clock_ms(CLOCK_MONOTONIC) + PORTION_TIMEOUT_MS;
    if (sqlite3_exec(walk->reader.db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return audit_reader_status(&walk->reader, "verifying");
    velocity_status status = look_at_anchor(walk, first);
    /* From the very beginning, so that what was put before the anchor shows. */
    (void)sqlite3_bind_int64(walk->rows, 1, first ? INT64_MIN : (int64_t)walk->at.number);
    (void)sqlite3_bind_int64(walk->rows, 2, walk->portion);
    while (!status && walk->out->intact && (code = sqlite3_step(walk->rows)) == SQLITE_ROW) {
        check_row(walk);
        count++;
    }
    if (!status && code != SQLITE_ROW && code != SQLITE_DONE) status = audit_reader_status(&walk->reader, "verifying");
    (void)sqlite3_reset(walk->rows);
    if (sqlite3_exec(walk->reader.db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK && !status)
        status = audit_reader_status(&walk->reader, "verifying");
    *again = !status && walk->out->intact && count == walk->portion && walk->at.number < walk->until;
    return status;
}

static velocity_status check_all(struct walk *walk) {
    static const char sql[] = "SELECT " AUDIT_COLUMN_LIST " FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2";
    bool again = true;
    velocity_status status = VELOCITY_OK;
    if (sqlite3_prepare_v2(walk->reader.db, sql, -1, &walk->rows, NULL) != SQLITE_OK)
        return audit_reader_status(&walk->reader, "verifying");
    for (bool first = true; !status && again; first = false) status = check_portion(walk, first, &again);
    (void)sqlite3_finalize(walk->rows);
    if (status || !walk->out->intact) return status;
    if (!walk->anchor_stated)
        broken(walk, walk->anchor.row, "it was removed, or the anchor is forged");
    else if (walk->at.number < walk->known.number)
        broken(walk, walk->at.number + 1, "it and all after it were removed");
    return VELOCITY_OK;
}

velocity_status audit_verify_stepwise(struct audit *audit, uint32_t rows_at_once, struct audit_verification *out) {
    *out = (struct audit_verification){.intact = true};
    (void)audit_settle_waiting(audit); /* where it fails, what is there is read */
    struct walk walk = {.out = out, .portion = rows_at_once, .known = audit_written_head(audit)};
    walk.until = walk.known.number;
    if (!audit_chain_init(&walk.chain))
        return status_set(VELOCITY_NO_MEMORY, "%s: no memory to verify it", audit->path);
    velocity_status status = audit_reader_open(&walk.reader, audit, PORTION_TIMEOUT_MS);
    if (!status) {
        status = check_all(&walk);
        audit_reader_close(&walk.reader);
    }
    audit_chain_destroy(&walk.chain);
    audit_hash_hex(&walk.at.hash, out->head);
    if (status != VELOCITY_CORRUPT) return status;
    broken(&walk, walk.at.number + 1, velocity_error_message());
    return VELOCITY_OK;
}

velocity_status audit_verify(struct audit *audit, struct audit_verification *out) {
    return audit_verify_stepwise(audit, PORTION_ROWS, out);
}
