/*
 * batch_parse.c - see batch_parse.h. Strict: a member that is unknown here or given twice is an error, so that a batch
 * never does half of what its sender meant.
 */
#include "http/batch_parse.h"

#include "http/expiry.h"
#include "http/headers.h"
#include "http/item.h"
#include "http/request.h"
#include "server/base64.h"
#include "server/decimal.h"
#include "server/json.h"

struct parse {
    struct scratch *scratch;
    struct batch_error *error;
    uint64_t max_value_bytes;
};

static bool fail(struct parse *p, const char *reason) {
    p->error->reason = reason;
    return false;
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static bool take_string(struct parse *p, struct json_value value, velocity_slice *out) {
    if (value.type != JSON_STRING) return fail(p, "a string is expected");
    char *buffer = scratch_alloc(p->scratch, json_string_buffer_bytes(value));
    if (!buffer) return fail(p, "no memory");
    if (!json_string(value, buffer, out)) return fail(p, "a string holds a lone surrogate");
    return true;
}

static bool take_base64(struct parse *p, struct json_value value, bool url, velocity_slice *out) {
    velocity_slice text;
    if (!take_string(p, value, &text)) return false;
    unsigned char *bytes = scratch_alloc(p->scratch, base64_decoded_max(text.size) + 1);
    size_t size = 0;
    if (!bytes) return fail(p, "no memory");
    if (url ? !base64url_decode(text, bytes, &size) : !base64_decode(text, bytes, &size))
        return fail(p, url ? "key64 is not base64url without padding" : "base64 is malformed");
    *out = velocity_bytes(bytes, size);
    return true;
}

/* From the members "key" and "key64", one of which must be there (raw.data is set). */
static bool take_key(struct parse *p, struct json_value key, struct json_value key64, velocity_slice *out) {
    if (!key.raw.data == !key64.raw.data) return fail(p, "name the key with either key or key64");
    if (key.raw.data ? !take_string(p, key, out) : !take_base64(p, key64, true, out)) return false;
    if (out->size == 0 || out->size > HTTP_MAX_KEY_BYTES) return fail(p, "a key has 1 to 16384 bytes");
    return true;
}

/* ---- conditions ------------------------------------------------------------------------------------------------- */

static bool take_version(struct parse *p, struct json_value value, uint64_t *out) {
    velocity_slice text;
    if (!take_string(p, value, &text)) return false;
    if (!decimal_u64(text, out) || *out == VELOCITY_ABSENT || *out == VELOCITY_EXISTS)
        return fail(p, "version is a string with a version in it");
    return true;
}

static bool parse_condition(struct parse *p, struct json_value value, struct store_condition *out) {
    enum { KEY, KEY64, VERSION, EXISTS, MEMBERS };
    static const char *const names[MEMBERS] = {"key", "key64", "version", "exists"};
    struct json_value members[MEMBERS] = {0};
    struct json_reader reader;
    struct json_member member;
    uint64_t seen = 0;
    if (value.type != JSON_OBJECT) return fail(p, "a condition is an object");
    for (json_read(&reader, value); json_next_member(&reader, &member);) {
        int field = json_field(&member, names, MEMBERS, &seen);
        if (field < 0)
            return fail(p, field == FIELD_REPEATED ? "a member is given twice" : "a member is not known here");
        members[field] = member.value;
    }
    if (!take_key(p, members[KEY], members[KEY64], &out->key)) return false;
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

static bool take_type(struct parse *p, const struct json_value *members, struct media_type *out) {
    velocity_slice name;
    enum value_type type = members[OP_VALUE].raw.data  ? VALUE_JSON
                           : members[OP_TEXT].raw.data ? VALUE_TEXT
                                                       : VALUE_OCTET_STREAM;
    name = velocity_str(value_type_name(type));
    if (members[OP_TYPE].raw.data && !take_string(p, members[OP_TYPE], &name)) return false;
    if (!media_type_parse(name, out)) return fail(p, "type is not a media type");
    if (members[OP_VALUE].raw.data && !out->json) return fail(p, "what value gives is JSON; its type must say so");
    return true;
}

/* The value as it is stored: under VALUE_OTHER behind its type's name. */
static bool store_value(struct parse *p, const struct media_type *type, velocity_slice value, velocity_slice *out) {
    unsigned char prefix[ITEM_PREFIX_MAX];
    size_t size = item_prefix(type, prefix);
    *out = value;
    if (value.size > p->max_value_bytes) return fail(p, "the value is larger than max_value_bytes");
    if (size == 0) return true;
    unsigned char *bytes = scratch_alloc(p->scratch, size + value.size);
    if (!bytes) return fail(p, "no memory");
    memcpy(bytes, prefix, size);
    if (value.size) memcpy(bytes + size, value.data, value.size);
    *out = velocity_bytes(bytes, size + value.size);
    return true;
}

static bool take_value(struct parse *p, const struct json_value *members, struct service_batch_operation *out) {
    struct media_type type;
    velocity_slice value;
    int given = !!members[OP_VALUE].raw.data + !!members[OP_TEXT].raw.data + !!members[OP_BASE64].raw.data;
    if (given != 1) return fail(p, "a put has one of value, text and base64");
    if (!take_type(p, members, &type)) return false;
    if (members[OP_VALUE].raw.data)
        value = members[OP_VALUE].raw;
    else if (members[OP_TEXT].raw.data ? !take_string(p, members[OP_TEXT], &value)
                                       : !take_base64(p, members[OP_BASE64], false, &value))
        return false;
    if (type.json && !members[OP_VALUE].raw.data && !json_valid(value, NULL))
        return fail(p, "the value is declared as JSON and is not");
    out->flags = type.type;
    return store_value(p, &type, value, &out->value);
}

/* ttl or expires_at; neither is 0, never. */
static bool take_expiry(struct parse *p, const struct json_value *members, struct service_batch_operation *out) {
    const struct json_value *ttl = &members[OP_TTL], *at = &members[OP_EXPIRES_AT];
    velocity_slice text;
    uint64_t seconds;
    if (ttl->raw.data && at->raw.data) return fail(p, "give either ttl or expires_at");
    if (ttl->raw.data)
        return (json_u64(*ttl, &seconds) && expiry_after(seconds, &out->expires_at_ms)) || fail(p, EXPIRY_TTL_RULE);
    if (!at->raw.data) return true;
    return take_string(p, *at, &text) && (expiry_at(text, &out->expires_at_ms) || fail(p, EXPIRY_AT_RULE));
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
    return take_string(p, by, &text) && (decimal_i64(text, &out->by) || fail(p, rule));
}

static bool take_action(struct parse *p, struct json_value op, enum service_batch_action *out) {
    static const char *const names[] = {"put", "delete", "get", "increment", "touch"};
    static const enum service_batch_action actions[] = {SERVICE_BATCH_PUT, SERVICE_BATCH_DELETE, SERVICE_BATCH_GET,
                                                        SERVICE_BATCH_INCREMENT, SERVICE_BATCH_TOUCH};
    velocity_slice name;
    uint64_t seen = 0;
    if (!op.raw.data) return fail(p, "op is missing");
    if (!take_string(p, op, &name)) return false;
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
    struct json_reader reader;
    struct json_member member;
    uint64_t seen = 0;
    if (value.type != JSON_OBJECT) return fail(p, "an operation is an object");
    for (json_read(&reader, value); json_next_member(&reader, &member);) {
        int field = json_field(&member, operation_members, OP_MEMBERS, &seen);
        if (field < 0)
            return fail(p, field == FIELD_REPEATED ? "a member is given twice" : "a member is not known here");
        members[field] = member.value;
    }
    memset(out, 0, sizeof *out);
    if (!take_action(p, members[OP], &out->action)) return false;
    if (!take_key(p, members[OP_KEY], members[OP_KEY64], &out->key)) return false;
    if (has_foreign_member(out->action, seen))
        return fail(p, "only a put has a value, a put or touch an expiry, an increment a by");
    switch (out->action) {
    case SERVICE_BATCH_PUT: return take_value(p, members, out) && take_expiry(p, members, out);
    case SERVICE_BATCH_INCREMENT: return take_by(p, members[OP_BY], out);
    case SERVICE_BATCH_TOUCH: return take_expiry(p, members, out);
    case SERVICE_BATCH_DELETE:
    case SERVICE_BATCH_GET: break;
    }
    return true;
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
    struct store_condition *conditions = scratch_alloc(p->scratch, count * sizeof *conditions);
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
    struct service_batch_operation *operations = scratch_alloc(p->scratch, count * sizeof *operations);
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

bool batch_parse(velocity_slice body, uint64_t max_value_bytes, struct scratch *scratch, struct service_batch *out,
                 struct batch_error *error) {
    static const char *const names[] = {"if", "ops"};
    struct parse p = {.scratch = scratch, .error = error, .max_value_bytes = max_value_bytes};
    struct json_value root, parts[2] = {0};
    struct json_error json;
    struct json_reader reader;
    struct json_member member;
    uint64_t seen = 0;
    memset(error, 0, sizeof *error);
    error->code = PROBLEM_INVALID_JSON;
    if (!json_parse(body, &root, &json)) {
        error->has_offset = true;
        error->offset = json.offset;
        return fail(&p, json.reason);
    }
    error->code = PROBLEM_INVALID_BODY;
    if (root.type != JSON_OBJECT) return fail(&p, "the body is an object with ops, and perhaps if");
    for (json_read(&reader, root); json_next_member(&reader, &member);) {
        int field = json_field(&member, names, 2, &seen);
        if (field < 0)
            return fail(&p, field == FIELD_REPEATED ? "a member is given twice" : "a member is not known here");
        parts[field] = member.value;
        if (member.value.type != JSON_ARRAY) return fail(&p, "if and ops are arrays");
    }
    if (!parts[1].raw.data) return fail(&p, "ops is missing");
    if (parts[0].raw.data && !parse_conditions(&p, parts[0], out)) return false;
    return parse_operations(&p, parts[1], out);
}
