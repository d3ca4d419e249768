/*
 * admin_audit.h - what is changed in a data directory without a server stands in its audit log like everything else.
 * Nobody logged in, so it says which user of this system it was.
 */
#ifndef VELOCITY_CLI_ADMIN_AUDIT_H
#define VELOCITY_CLI_ADMIN_AUDIT_H

#include "cli/admin.h"
#include "server/audit.h"

/* Room for one event, before anything is done. *out is NULL where nothing is to be recorded. Complains, and answers the
 * exit code. */
int admin_audit_begin(const struct config *config, const struct admin_order *order, struct audit **out);
/* Records how it went, on disk, and closes. NULL is allowed. */
int admin_audit_end(struct audit *audit, const struct admin_order *order, velocity_status status);

#endif
