/* admin_audit.c - see admin_audit.h. */
#include "cli/admin_audit.h"
#include "cli/server_parts.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* As the HTTP interface calls them. NULL: nothing is changed. */
static const char *const actions[ADMIN_VERB_COUNT] = {
    [ADMIN_CREATE_USER] = "user.create",
    [ADMIN_SET_PASSWORD] = "user.change",
    [ADMIN_SET_OWN_PASSWORD] = "user.own_password",
    [ADMIN_DELETE_USER] = "user.delete",
    [ADMIN_CREATE_TOKEN] = "token.create",
    [ADMIN_REVOKE_TOKEN] = "token.revoke",
};

/* HTTP's number for how it went. */
static unsigned status_number(velocity_status status) {
    switch (status) {
    case VELOCITY_OK: return 200;
    case VELOCITY_NOT_FOUND: return 404;
    case VELOCITY_INVALID: return 400;
    case VELOCITY_CONFLICT:
    case VELOCITY_UNSUPPORTED: return 409;
    case VELOCITY_NO_SPACE: return 507;
    default: return 500;
    }
}

int admin_audit_begin(const struct config *config, const struct admin_order *order, struct audit **out) {
    struct audit_settings settings;
    char path[4096];
    *out = NULL;
    if (!actions[order->verb] || !config->security.audit_logging) return EXIT_DONE;
    if (snprintf(path, sizeof path, "%s/audit.db", config->server.data_dir) >= (int)sizeof path)
        return complain(EXIT_USAGE, "%s: the path is too long", config->server.data_dir);
    server_audit_settings(config, &settings);
    if (audit_open(path, &settings, NULL, out) != VELOCITY_OK)
        return complain(EXIT_FAILED, "can't open the audit log: %s", velocity_error_message());
    if (audit_reserve_waiting(*out) == AUDIT_GO) return EXIT_DONE;
    audit_close(*out);
    *out = NULL;
    return complain(EXIT_FAILED, "the audit log %s can't be written; nothing was done", path);
}

int admin_audit_end(struct audit *audit, const struct admin_order *order, velocity_status status) {
    const struct passwd *user = getpwuid(geteuid());
    const char *about = order->name ? order->name : order->login;
    char detail[128];
    if (!audit) return EXIT_DONE;
    (void)snprintf(detail, sizeof detail, "without a server, by user %s of the system",
                   user ? user->pw_name : "unknown");
    if (order->verb == ADMIN_CREATE_TOKEN) about = order->user;
    struct audit_event event = {
        .login = "files",
        .action = actions[order->verb],
        .key = velocity_str(about ? about : ""),
        .status = status_number(status),
        .detail = detail,
    };
    audit_record(audit, &event);
    bool written = audit_settle_waiting(audit) == AUDIT_GO; /* it is on disk */
    audit_close(audit);
    return written ? EXIT_DONE : complain(EXIT_FAILED, "what was done could not be written to the audit log");
}
