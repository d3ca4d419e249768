/*
 * problem.c - see problem.h. Pure functions over a const table.
 */
#include "http/problem.h"

#define PROBLEM_KIND(name, status, code, title) {status, code, title},
static const struct problem_kind kinds[PROBLEM_COUNT] = {PROBLEM_TABLE(PROBLEM_KIND)};
#undef PROBLEM_KIND

const struct problem_kind *problem_kind(enum problem_code code) {
    return &kinds[code];
}

/* A URI that names the kind; docs/errors.md is what it stands for. */
static void write_type(struct json_writer *w, const char *code) {
    char type[64] = "urn:velocity:problem:";
    size_t prefix = strlen(type), size = strlen(code);
    if (size > sizeof type - prefix) size = sizeof type - prefix;
    memcpy(type + prefix, code, size);
    json_name(w, "type");
    json_write_string(w, velocity_bytes(type, prefix + size));
}

velocity_slice problem_title(const struct problem *p) {
    velocity_slice title = velocity_str(problem_kind(p->code)->title);
    const char *nothing = p->imported ? strstr(title.data, "; nothing was done") : NULL;
    if (nothing) title.size = (size_t)(nothing - (const char *)title.data);
    return title;
}

void problem_write(struct json_writer *w, const struct problem *p) {
    const struct problem_kind *kind = problem_kind(p->code);
    json_begin_object(w);
    write_type(w, kind->code);
    json_name(w, "title");
    json_write_string(w, problem_title(p));
    json_name(w, "status");
    json_write_u64(w, kind->status);
    if (p->detail.size) {
        json_name(w, "detail");
        json_write_string(w, p->detail);
    }
    json_name(w, "code");
    json_write_string(w, velocity_str(kind->code));
    if (p->request_id.size) {
        json_name(w, "request_id");
        json_write_string(w, p->request_id);
    }
    if (p->key.size) json_write_key(w, p->key);
    if (p->has_current_version) {
        json_name(w, "current_version");
        json_write_version(w, p->current_version);
    }
    if (p->has_index) {
        json_name(w, "index");
        json_write_u64(w, p->index);
    }
    if (p->has_offset) {
        json_name(w, "offset");
        json_write_u64(w, p->offset);
    }
    if (p->has_line) {
        json_name(w, "line");
        json_write_u64(w, p->line);
        json_name(w, "imported");
        json_write_u64(w, p->imported);
    }
    json_end_object(w);
}
