/*
 * expiry_reclaim.h - which tables to rewrite, or to drop, because what they hold has expired. Nobody needs to read them
 * for that: their summaries tell (expiry.h).
 *
 * What counts as expired is what has expired for everybody, the oldest snapshot too; so a table that is rewritten is
 * never due again for the same entries.
 */
#ifndef VELOCITY_EXPIRY_RECLAIM_H
#define VELOCITY_EXPIRY_RECLAIM_H

#include "database_internal.h"

/* Whether some table is due now. Cheap. db->mutex may be held. */
bool expiry_is_due(velocity *db, const struct version *version);
/* Whether all of the table has expired by then and it hides nothing: it can go unread. */
bool expiry_is_droppable(const struct version *version, int level, const struct table *table, uint64_t now_ms);
/* Whether anything in the table has expired by then. */
bool expiry_has_begun(const struct table *table, uint64_t now_ms);
/* The due table with the most to give back; its table NULL: none is due. */
struct version_change expiry_worst(const struct version *version, uint64_t now_ms);

#endif
