/*
 * batch_parse.c - see batch_parse.h. Strict: a member that is unknown here or given twice is an error, so that a batch
 * never does half of what its sender meant.
 */
#include "http/batch_parse.h"

#include "http/headers.h"
#include "http/item_parse.h"
#include "server/decimal.h"

struct parse {
    struct item_reader reader;
    struct batch_error *error;
};

static bool fail(struct parse *p, const char *reason) {
    return item_reader_fail(&p->reader, reason);
}

/* ---- conditions ------------------------------------------------------------------------------------------------- */

static bool take_version(struct parse *p, struct json_value value, uint64_t *out) {
    velocity_slice text;
    if (!item_take_string(&p->reader, value, &text)) return false;
    if (!decimal_u64(text, out) || *out == VELOCITY_ABSENT || *out == VELOCITY_EXISTS)
        return fail(p, "version is a string with a version in it");
    return true;
}

static bool parse_condition(struct parse *p, struct json_value value, struct store_condition *out) {
    enum { KEY, KEY64, VERSION, EXISTS, MEMBERS };
    static const char *const names[MEMBERS] = {"key", "key64", "version", "exists"};
    struct json_value members[MEMBERS] = {0};
    uint64_t seen;
    if (!item_take_members(&p->reader, value, "a condition is an object", names, MEMBERS, members, &seen)) return false;
    if (!item_take_key(&p->reader, members[KEY], members[KEY64], &out->key)) return false;
    if (!members[VERSION].raw.data == !members[EXISTS].raw.data) return fail(p, "give either version or exists");
    if (members[VERSION].raw.data) return take_version(p, members[VERSION], &out->version);
    bool exists;
    if (!json_bool(members[EXISTS], &exists)) return fail(p, "exists is true or false");
    out->version = exists ? VELOCITY_EXISTS : VELOCITY_ABSENT;
    return true;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

enum { OP, OP_KEY, OP_KEY64, OP_VALUE, OP_TEXT, OP_BASE64, OP_TYPE, OP_TTL, OP_EXPIRES_AT, OP_BY, OP_MEMBERS };
static const char *const operation_members[OP_MEMBERS] = {"op",     "key",  "key64", "value",      "text",
                                                          "base64", "type", "ttl",   "expires_at", "by"};

static bool take_value(struct parse *p, const struct json_value *members, struct service_batch_operation *out) {
    struct item_content content = {
        .value = members[OP_VALUE], .text = members[OP_TEXT], .base64 = members[OP_BASE64], .type = members[OP_TYPE]};
    return item_take_content(&p->reader, &content, &out->flags, &out->value);
}

/* What to add: an integer of 64 bits, as a number or, for those whose numbers are doubles, as a string; 1 if not given.
 */
static bool take_by(struct parse *p, struct json_value by, struct service_batch_operation *out) {
    static const char rule[] = "by is an integer of 64 bits, as a number or a string";
    velocity_slice text;
    out->flags = VALUE_TEXT;
    out->by = 1;
    if (!by.raw.data || json_i64(by, &out->by)) return true;
    if (by.type != JSON_STRING) return fail(p, rule);
    return item_take_string(&p->reader, by, &text) && (decimal_i64(text, &out->by) || fail(p, rule));
}

static bool take_action(struct parse *p, struct json_value op, enum service_batch_action *out) {
    static const char *const names[] = {"put", "delete", "get", "increment", "touch"};
    static const enum service_batch_action actions[] = {SERVICE_BATCH_PUT, SERVICE_BATCH_DELETE, SERVICE_BATCH_GET,
                                                        SERVICE_BATCH_INCREMENT, SERVICE_BATCH_TOUCH};
    velocity_slice name;
    uint64_t seen = 0;
    if (!op.raw.data) return fail(p, "op is missing");
    if (!item_take_string(&p->reader, op, &name)) return false;
    int index = field_index(name, names, sizeof names / sizeof *names, &seen);
    if (index < 0) return fail(p, "op is not one of put, delete, get, increment and touch");
    *out = actions[index];
    return true;
}

/* A member that the action does not have. */
static bool has_foreign_member(enum service_batch_action action, uint64_t seen) {
    const uint64_t value = 1 << OP_VALUE | 1 << OP_TEXT | 1 << OP_BASE64 | 1 << OP_TYPE;
    const uint64_t expiry = 1 << OP_TTL | 1 << OP_EXPIRES_AT, by = 1 << OP_BY;
    switch (action) {
    case SERVICE_BATCH_PUT: return seen & by;
    case SERVICE_BATCH_INCREMENT: return seen & (value | expiry);
    case SERVICE_BATCH_TOUCH: return seen & (value | by);
    case SERVICE_BATCH_DELETE:
    case SERVICE_BATCH_GET: break;
    }
    return seen & (value | expiry | by);
}

static bool parse_operation(struct parse *p, struct json_value value, struct service_batch_operation *out) {
    struct json_value members[OP_MEMBERS] = {0};
    uint64_t seen;
    if (!item_take_members(&p->reader, value, "an operation is an object", operation_members, OP_MEMBERS, members,
                           &seen))
        return false;
    memset(out, 0, sizeof *out);
    if (!take_action(p, members[OP], &out->action)) return false;
    if (!item_take_key(&p->reader, members[OP_KEY], members[OP_KEY64], &out->key)) return false;
    if (has_foreign_member(out->action, seen))
        return fail(p, "only a put has a value, a put or touch an expiry, an increment a by");
    switch (out->action) {
    case SERVICE_BATCH_PUT:
        if (!take_value(p, members, out)) return false;
        break;
    case SERVICE_BATCH_INCREMENT: return take_by(p, members[OP_BY], out);
    case SERVICE_BATCH_TOUCH: break;
    case SERVICE_BATCH_DELETE:
    case SERVICE_BATCH_GET: return true;
    }
    return item_take_expiry(&p->reader, members[OP_TTL], members[OP_EXPIRES_AT], &out->expires_at_ms);
}

/* ---- the document ----------------------------------------------------------------------------------------------- */

static size_t count_elements(struct json_value array) {
    struct json_reader reader;
    struct json_value element;
    size_t count = 0;
    for (json_read(&reader, array); count <= BATCH_MAX_OPERATIONS && json_next_element(&reader, &element);) count++;
    return count;
}

static bool parse_conditions(struct parse *p, struct json_value array, struct service_batch *out) {
    struct json_reader reader;
    struct json_value element;
    size_t count = count_elements(array), i = 0;
    struct store_condition *conditions = scratch_alloc(p->reader.scratch, count * sizeof *conditions);
    if (!conditions) return fail(p, "no memory");
    if (count > BATCH_MAX_OPERATIONS) return fail(p, "a batch has at most 10000 conditions");
    p->error->code = PROBLEM_INVALID_CONDITION;
    p->error->has_index = true;
    for (json_read(&reader, array); json_next_element(&reader, &element); i++) {
        p->error->index = i;
        if (!parse_condition(p, element, &conditions[i])) return false;
    }
    out->conditions = conditions;
    out->condition_count = count;
    return true;
}

static bool parse_operations(struct parse *p, struct json_value array, struct service_batch *out) {
    struct json_reader reader;
    struct json_value element;
    size_t count = count_elements(array), i = 0;
    p->error->code = PROBLEM_INVALID_BODY;
    p->error->has_index = false;
    struct service_batch_operation *operations = scratch_alloc(p->reader.scratch, count * sizeof *operations);
    if (!operations) return fail(p, "no memory");
    if (count > BATCH_MAX_OPERATIONS) return fail(p, "a batch has at most 10000 operations");
    p->error->code = PROBLEM_INVALID_OPERATION;
    p->error->has_index = true;
    for (json_read(&reader, array); json_next_element(&reader, &element); i++) {
        p->error->index = i;
        if (!parse_operation(p, element, &operations[i])) return false;
    }
    out->operations = operations;
    out->operation_count = count;
    return true;
}

static bool parse_body(struct parse *p, velocity_slice body, struct service_batch *out) {
    static const char *const names[] = {"if", "ops"};
    struct json_value root, parts[2] = {0};
    struct json_error json;
    uint64_t seen;
    p->error->code = PROBLEM_INVALID_JSON;
    if (!json_parse(body, &root, &json)) {
        p->error->has_offset = true;
        p->error->offset = json.offset;
        return fail(p, json.reason);
    }
    p->error->code = PROBLEM_INVALID_BODY;
    if (!item_take_members(&p->reader, root, "the body is an object with ops, and perhaps if", names, 2, parts, &seen))
        return false;
    for (int i = 0; i < 2; i++)
        if (parts[i].raw.data && parts[i].type != JSON_ARRAY) return fail(p, "if and ops are arrays");
    if (!parts[1].raw.data) return fail(p, "ops is missing");
    if (parts[0].raw.data && !parse_conditions(p, parts[0], out)) return false;
    return parse_operations(p, parts[1], out);
}

bool batch_parse(velocity_slice body, uint64_t max_value_bytes, struct scratch *scratch, struct service_batch *out,
                 struct batch_error *error) {
    struct parse p = {.reader = {.scratch = scratch, .max_value_bytes = max_value_bytes}, .error = error};
    memset(error, 0, sizeof *error);
    bool good = parse_body(&p, body, out);
    error->reason = p.reader.reason;
    return good;
}
