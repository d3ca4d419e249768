/* item_parse.c - see item_parse.h. */
#include "http/item_parse.h"

#include "http/expiry.h"
#include "http/headers.h"
#include "http/item.h"
#include "http/request.h"
#include "server/base64.h"

bool item_reader_fail(struct item_reader *reader, const char *reason) {
    reader->reason = reason;
    return false;
}

bool item_take_members(struct item_reader *reader, struct json_value value, const char *what, const char *const *names,
                       size_t count, struct json_value *members, uint64_t *seen) {
    struct json_reader object;
    struct json_member member;
    *seen = 0;
    if (value.type != JSON_OBJECT) return item_reader_fail(reader, what);
    for (json_read(&object, value); json_next_member(&object, &member);) {
        int field = json_field(&member, names, count, seen);
        if (field < 0)
            return item_reader_fail(reader,
                                    field == FIELD_REPEATED ? "a member is given twice" : "a member is not known here");
        members[field] = member.value;
    }
    return true;
}

bool item_take_string(struct item_reader *reader, struct json_value value, velocity_slice *out) {
    if (value.type != JSON_STRING) return item_reader_fail(reader, "a string is expected");
    char *buffer = scratch_alloc(reader->scratch, json_string_buffer_bytes(value));
    if (!buffer) return item_reader_fail(reader, ITEM_NO_MEMORY);
    if (!json_string(value, buffer, out)) return item_reader_fail(reader, "a string holds a lone surrogate");
    return true;
}

static bool take_base64(struct item_reader *reader, struct json_value value, bool url, velocity_slice *out) {
    velocity_slice text;
    if (!item_take_string(reader, value, &text)) return false;
    unsigned char *bytes = scratch_alloc(reader->scratch, base64_decoded_max(text.size) + 1);
    size_t size = 0;
    if (!bytes) return item_reader_fail(reader, ITEM_NO_MEMORY);
    if (url ? !base64url_decode(text, bytes, &size) : !base64_decode(text, bytes, &size))
        return item_reader_fail(reader, url ? "key64 is not base64url without padding" : "base64 is malformed");
    *out = velocity_bytes(bytes, size);
    return true;
}

bool item_take_key(struct item_reader *reader, struct json_value key, struct json_value key64, velocity_slice *out) {
    if (!key.raw.data == !key64.raw.data) return item_reader_fail(reader, "name the key with either key or key64");
    if (key.raw.data ? !item_take_string(reader, key, out) : !take_base64(reader, key64, true, out)) return false;
    if (out->size == 0 || out->size > HTTP_MAX_KEY_BYTES) return item_reader_fail(reader, "a key has 1 to 16384 bytes");
    return true;
}

bool item_take_expiry(struct item_reader *reader, struct json_value ttl, struct json_value at, int64_t *out) {
    velocity_slice text;
    uint64_t seconds;
    if (ttl.raw.data && at.raw.data) return item_reader_fail(reader, "give either ttl or expires_at");
    if (ttl.raw.data)
        return (json_u64(ttl, &seconds) && expiry_after(seconds, out)) || item_reader_fail(reader, EXPIRY_TTL_RULE);
    if (!at.raw.data) return true;
    return item_take_string(reader, at, &text) && (expiry_at(text, out) || item_reader_fail(reader, EXPIRY_AT_RULE));
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool take_type(struct item_reader *reader, const struct item_content *content, struct media_type *out) {
    velocity_slice name;
    enum value_type type = content->value.raw.data  ? VALUE_JSON
                           : content->text.raw.data ? VALUE_TEXT
                                                    : VALUE_OCTET_STREAM;
    name = velocity_str(value_type_name(type));
    if (content->type.raw.data && !item_take_string(reader, content->type, &name)) return false;
    if (!media_type_parse(name, out)) return item_reader_fail(reader, "type is not a media type");
    if (content->value.raw.data && !out->json)
        return item_reader_fail(reader, "what value gives is JSON; its type must say so");
    return true;
}

static bool add_type(struct item_reader *reader, const struct media_type *type, velocity_slice value,
                     velocity_slice *out) {
    unsigned char prefix[ITEM_PREFIX_MAX];
    size_t size = item_prefix(type, prefix);
    *out = value;
    if (value.size > reader->max_value_bytes)
        return item_reader_fail(reader, "the value is larger than max_value_bytes");
    if (size == 0) return true;
    unsigned char *bytes = scratch_alloc(reader->scratch, size + value.size);
    if (!bytes) return item_reader_fail(reader, ITEM_NO_MEMORY);
    memcpy(bytes, prefix, size);
    if (value.size) memcpy(bytes + size, value.data, value.size);
    *out = velocity_bytes(bytes, size + value.size);
    return true;
}

bool item_take_content(struct item_reader *reader, const struct item_content *content, uint32_t *flags,
                       velocity_slice *out) {
    struct media_type type;
    velocity_slice value = content->value.raw;
    int given = !!content->value.raw.data + !!content->text.raw.data + !!content->base64.raw.data;
    if (given != 1) return item_reader_fail(reader, "give one of value, text and base64");
    if (!take_type(reader, content, &type)) return false;
    if (content->text.raw.data && !item_take_string(reader, content->text, &value)) return false;
    if (content->base64.raw.data && !take_base64(reader, content->base64, false, &value)) return false;
    if (type.json && !content->value.raw.data && !json_valid(value, NULL))
        return item_reader_fail(reader, "the value is declared as JSON and is not");
    *flags = type.type;
    return add_type(reader, &type, value, out);
}

/* ---- items ------------------------------------------------------------------------------------------------------ */

bool item_parse(velocity_slice line, uint64_t max_value_bytes, struct scratch *scratch, struct store_operation *out,
                const char **reason) {
    enum { KEY, KEY64, VALUE, TEXT, BASE64, TYPE, TTL, EXPIRES_AT, VERSION, SIZE, MEMBERS };
    static const char *const names[MEMBERS] = {"key",  "key64", "value",      "text",    "base64",
                                               "type", "ttl",   "expires_at", "version", "size"};
    struct item_reader reader = {.scratch = scratch, .max_value_bytes = max_value_bytes};
    struct json_value root, members[MEMBERS] = {0};
    struct json_error json;
    uint64_t seen;
    *out = (struct store_operation){.action = STORE_PUT};
    if (!json_parse(line, &root, &json)) {
        *reason = json.reason;
        return false;
    }
    struct item_content content;
    bool good = item_take_members(&reader, root, "an item is an object", names, MEMBERS, members, &seen) &&
                item_take_key(&reader, members[KEY], members[KEY64], &out->key);
    content = (struct item_content){
        .value = members[VALUE], .text = members[TEXT], .base64 = members[BASE64], .type = members[TYPE]};
    good = good && item_take_content(&reader, &content, &out->flags, &out->value) &&
           item_take_expiry(&reader, members[TTL], members[EXPIRES_AT], &out->expires_at_ms);
    *reason = reader.reason;
    return good;
}
