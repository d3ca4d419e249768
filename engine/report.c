/* report.c - see report.h. */
#include "report.h"

#include "array.h"
#include "env.h"
#include "slice.h"
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A copied string, in a list that only the clearing walks. */
struct text {
    struct text *next;
    char bytes[];
};

struct report_memory {
    struct text *texts;
    size_t finding_capacity, stale_capacity;
    velocity_status status;
};

velocity_report velocity_report_default(void) {
    velocity_report r = {.struct_size = sizeof r};
    return r;
}

void velocity_report_clear(velocity_report *report) {
    struct report_memory *memory = report->internal;
    for (struct text *t = memory ? memory->texts : NULL, *next; t; t = next) {
        next = t->next;
        env_free(t);
    }
    env_free(memory);
    env_free(report->findings);
    env_free(report->stale);
    size_t size = report->struct_size;
    memset(report, 0, size < sizeof *report ? size : sizeof *report);
    report->struct_size = size;
}

velocity_check_options velocity_check_options_default(void) {
    velocity_check_options o = {.struct_size = sizeof o};
    return o;
}

velocity_status report_begin(velocity_report *report) {
    report->internal = env_alloc_zeroed(sizeof(struct report_memory));
    return report->internal ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

void report_deliver(velocity_report *found, velocity_report *report) {
    if (!report) {
        velocity_report_clear(found);
        return;
    }
    size_t size = report->struct_size;
    velocity_report_clear(report);
    memcpy(report, found, size < sizeof *found ? size : sizeof *found);
    report->struct_size = size;
}

velocity_status report_status(const velocity_report *report) {
    const struct report_memory *memory = report->internal;
    return memory->status;
}

static void *keep(struct report_memory *memory, const void *bytes, size_t size) {
    struct text *t = env_alloc(sizeof *t + size + 1);
    if (!t) {
        memory->status = VELOCITY_NO_MEMORY;
        return NULL;
    }
    t->next = memory->texts;
    memory->texts = t;
    if (size) memcpy(t->bytes, bytes, size);
    t->bytes[size] = '\0';
    return t->bytes;
}

/* NO_MEMORY is remembered. */
static bool has_room(struct report_memory *memory, velocity_status reserved) {
    if (reserved) memory->status = reserved;
    return !reserved;
}

/* ---- findings -----------------------------------------------------------------------------------------------------
 */

static void add(velocity_report *report, velocity_finding finding) {
    if (finding.kind == VELOCITY_FINDING_NOTE) report->notes++;
    if (finding.kind == VELOCITY_FINDING_DAMAGE) report->damages++;
    if (report->finding_count == VELOCITY_REPORT_FINDINGS) return;
    struct report_memory *memory = report->internal;
    if (!has_room(memory, array_reserve(report->findings, memory->finding_capacity, report->finding_count))) return;
    finding.file = keep(memory, finding.file, strlen(finding.file));
    finding.what = keep(memory, finding.what, strlen(finding.what));
    if (finding.file && finding.what) report->findings[report->finding_count++] = finding;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void report_add(velocity_report *report, velocity_finding_kind kind, const char *path, uint64_t offset,
                const char *format, ...) {
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    add(report, (velocity_finding){kind, name_of(path), offset, what});
}

void report_add_message(velocity_report *report, velocity_finding_kind kind, const char *path) {
    const char *message = velocity_error_message(), *rest = message;
    size_t size = strlen(path);
    uint64_t offset = 0;
    if (strncmp(rest, path, size) == 0 && rest[size] == ':') {
        rest += size + 2;
        if (strncmp(rest, "offset ", 7) == 0) {
            char *end;
            offset = strtoull(rest + 7, &end, 10);
            rest = *end == ':' ? end + 2 : end;
        }
    }
    add(report, (velocity_finding){kind, name_of(path), offset, rest});
}

/* ---- ranges -------------------------------------------------------------------------------------------------------
 */

/* Bounds against each other: no first bound is before, no last bound behind everything. */
static bool ends_before(const velocity_key_range *a, const velocity_key_range *b) {
    return a->last.data && b->first.data && slice_compare(a->last, b->first) < 0;
}

/* Makes `a` cover both. */
static void widen(velocity_key_range *a, const velocity_key_range *b) {
    if (!a->first.data || !b->first.data || slice_compare(b->first, a->first) < 0)
        a->first = a->first.data ? b->first : a->first;
    if (!a->last.data || !b->last.data || slice_compare(b->last, a->last) > 0)
        a->last = a->last.data ? b->last : a->last;
}

static void remove_at(velocity_report *report, size_t at) {
    report->stale_count--;
    memmove(report->stale + at, report->stale + at + 1, (report->stale_count - at) * sizeof *report->stale);
}

void report_add_stale(velocity_report *report, velocity_slice first, velocity_slice last) {
    struct report_memory *memory = report->internal;
    velocity_key_range range = {first, last};
    if (first.data) range.first.data = keep(memory, first.data, first.size);
    if (last.data) range.last.data = keep(memory, last.data, last.size);
    if (memory->status) return;
    size_t at = 0;
    while (at < report->stale_count && ends_before(&report->stale[at], &range)) at++;
    while (at < report->stale_count && !ends_before(&range, &report->stale[at])) {
        widen(&range, &report->stale[at]);
        remove_at(report, at);
    }
    if (!has_room(memory, array_reserve(report->stale, memory->stale_capacity, report->stale_count))) return;
    memmove(report->stale + at + 1, report->stale + at, (report->stale_count - at) * sizeof range);
    report->stale[at] = range;
    if (++report->stale_count <= VELOCITY_REPORT_RANGES) return;
    at = at ? at - 1 : 0; /* too many: one with its neighbour */
    widen(&report->stale[at], &report->stale[at + 1]);
    remove_at(report, at + 1);
}
