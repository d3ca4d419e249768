/* item.c - see item.h. */
#include "http/item.h"

#include "server/json.h"
#include "server/timestamp.h"

bool item_unpack(uint32_t flags, velocity_slice stored, velocity_slice *type, velocity_slice *value) {
    const char *name = value_type_name(flags & ITEM_VALUE_TYPE_MASK);
    *value = stored;
    if (name) {
        *type = velocity_str(name);
        return true;
    }
    if ((flags & ITEM_VALUE_TYPE_MASK) != VALUE_OTHER) {
        /* A type of a later version: its bytes, and no claim about them. */
        *type = velocity_str(value_type_name(VALUE_OCTET_STREAM));
        return true;
    }
    const unsigned char *p = stored.data;
    if (stored.size < 2 || p[0] == 0 || stored.size < 1 + (size_t)p[0]) return false;
    *type = velocity_bytes(p + 1, p[0]);
    *value = velocity_bytes(p + 1 + p[0], stored.size - 1 - p[0]);
    return true;
}

bool item_look_into(uint32_t flags, velocity_slice stored, struct service_content *out) {
    velocity_slice type, value;
    struct media_type parsed;
    if (!item_unpack(flags, stored, &type, &value)) return false;
    out->at = stored.size - value.size;
    out->json = media_type_parse(type, &parsed) && parsed.json;
    return true;
}

size_t item_prefix(const struct media_type *type, unsigned char out[ITEM_PREFIX_MAX]) {
    if (type->type != VALUE_OTHER) return 0;
    out[0] = (unsigned char)type->name.size;
    memcpy(out + 1, type->name.data, type->name.size);
    return 1 + type->name.size;
}

bool item_is_json(velocity_slice type, velocity_slice value) {
    struct media_type parsed;
    if (!media_type_parse(type, &parsed) || !parsed.json) return false;
    /* Under JSON's own type nothing else is ever stored; under another spelling another front may have stored it. */
    return parsed.type == VALUE_JSON || json_valid(value, NULL);
}

static bool holds_line_end(velocity_slice value) {
    return value.size && (memchr(value.data, '\n', value.size) || memchr(value.data, '\r', value.size));
}

bool item_is_inline(const struct item *item) {
    if (item->one_line && holds_line_end(item->value)) return false;
    return item_is_json(item->type, item->value);
}

void item_begin(struct json_writer *w, const struct item *item) {
    json_begin_object(w);
    json_write_key(w, item->key);
    json_name(w, "version");
    json_write_version(w, item->version);
    json_name(w, "type");
    json_write_string(w, item->type);
    json_name(w, "size");
    json_write_u64(w, item->value.size);
    if (!item->expires_at_ms) return;
    json_name(w, "expires_at");
    timestamp_write(w, item->expires_at_ms);
}

void item_write(struct json_writer *w, const struct item *item, bool with_value, uint64_t omit_bytes) {
    item_begin(w, item);
    if (with_value && item->value.size > omit_bytes) {
        json_name(w, "omitted");
        json_write_bool(w, true);
    } else if (with_value && item_is_inline(item)) {
        json_name(w, "value");
        json_write_raw(w, item->value);
    } else if (with_value) {
        json_write_text(w, item->value);
    }
    json_end_object(w);
}
