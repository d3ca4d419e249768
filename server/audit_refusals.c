/* audit_refusals.c - see audit_refusals.h. */
#include "server/audit_refusals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct limit {
    int64_t each_ms, at_once;
};

static const struct limit of_a_source = {1000, AUDIT_REFUSALS_AT_ONCE};
static const struct limit of_all_users = {10, 6000};
static const struct limit of_all_strangers = {100, 600};

/* ---- gaps -------------------------------------------------------------------------------------------------------- */

void audit_gap_add(struct audit_gap *gap, int64_t wall_ms) {
    if (gap->lost++ == 0) gap->first_ms = wall_ms;
    gap->last_ms = wall_ms;
}

void audit_gap_format(const struct audit_gap *gap, char out[AUDIT_GAP_DETAIL_BYTES]) {
    (void)snprintf(out, AUDIT_GAP_DETAIL_BYTES, "events=%" PRIu64 " from_ms=%" PRId64 " to_ms=%" PRId64, gap->lost,
                   gap->first_ms, gap->last_ms);
}

/* ---- sources ----------------------------------------------------------------------------------------------------- */

/* When the bucket will be full again if one more is taken. */
static int64_t full_after(const struct audit_refusal_source *source, const struct limit *limit, int64_t now_ms) {
    return (source->full_at_ms > now_ms ? source->full_at_ms : now_ms) + limit->each_ms;
}

static bool has_room(const struct audit_refusal_source *source, const struct limit *limit, int64_t now_ms) {
    return full_after(source, limit, now_ms) - now_ms <= limit->each_ms * limit->at_once;
}

static bool is_idle(const struct audit_refusal_source *source, int64_t now_ms) {
    return source->full_at_ms <= now_ms && source->left_out.lost == 0;
}

/* The source of this name, which may be new; NULL: there is no place for it now. */
static struct audit_refusal_source *find(struct audit_refusal_group *group, const char *name, int64_t now_ms) {
    struct audit_refusal_source *idle = NULL;
    for (int i = 0; i < AUDIT_REFUSAL_SOURCES; i++) {
        struct audit_refusal_source *source = &group->sources[i];
        if (strncmp(source->name, name, AUDIT_REFUSAL_NAME_BYTES - 1) == 0) return source;
        if (!idle && is_idle(source, now_ms)) idle = source;
    }
    if (idle) {
        *idle = (struct audit_refusal_source){.name = ""};
        strncat(idle->name, name, AUDIT_REFUSAL_NAME_BYTES - 1);
    }
    return idle;
}

static struct audit_refusal_group *group_of(struct audit_refusals *refusals, const char *user) {
    return user && *user ? &refusals->users : &refusals->strangers;
}

static const char *name_of(const char *user, const char *address) {
    if (user && *user) return user;
    return address ? address : "";
}

bool audit_refusals_admit(struct audit_refusals *refusals, const char *user, const char *address, int64_t now_ms) {
    struct audit_refusal_group *group = group_of(refusals, user);
    const struct limit *of_all = group == &refusals->users ? &of_all_users : &of_all_strangers;
    struct audit_refusal_source *source = find(group, name_of(user, address), now_ms);
    if (!has_room(&group->all, of_all, now_ms)) return false;
    if (source && !has_room(source, &of_a_source, now_ms)) return false;
    if (source) source->full_at_ms = full_after(source, &of_a_source, now_ms);
    group->all.full_at_ms = full_after(&group->all, of_all, now_ms);
    return true;
}

void audit_refusals_leave_out(struct audit_refusals *refusals, const char *user, const char *address, int64_t now_ms,
                              int64_t wall_ms) {
    struct audit_refusal_group *group = group_of(refusals, user);
    struct audit_refusal_source *source = find(group, name_of(user, address), now_ms);
    audit_gap_add(source ? &source->left_out : &group->all.left_out, wall_ms);
}

/* ---- what was left out ------------------------------------------------------------------------------------------- */

static struct audit_refusal_source *find_left_out(struct audit_refusal_group *group) {
    for (int i = 0; i < AUDIT_REFUSAL_SOURCES; i++)
        if (group->sources[i].left_out.lost) return &group->sources[i];
    return group->all.left_out.lost ? &group->all : NULL;
}

bool audit_refusals_take(struct audit_refusals *refusals, struct audit_left_out *out) {
    bool of_user = true;
    struct audit_refusal_source *source = find_left_out(&refusals->users);
    if (!source) {
        source = find_left_out(&refusals->strangers);
        of_user = false;
    }
    if (!source) return false;
    *out = (struct audit_left_out){.gap = source->left_out};
    memcpy(of_user ? out->user : out->address, source->name, AUDIT_REFUSAL_NAME_BYTES);
    source->left_out = (struct audit_gap){0};
    return true;
}
