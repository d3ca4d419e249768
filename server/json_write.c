/*
 * json_write.c - see json_write.h. Everything goes through json_append(), so memory and limit are judged in one place.
 */
#include "server/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base64.h"
#include "server/decimal.h"
#include "server/json_run.h"

#define FIRST_CAPACITY 256

void json_writer_free(struct json_writer *w) {
    free(w->data);
    *w = (struct json_writer){0};
}

void json_writer_clear(struct json_writer *w) {
    w->size = 0;
    w->comma = w->failed = false;
}

char *json_writer_take(struct json_writer *w, size_t *size) {
    char *data = w->data;
    *size = w->size;
    if (w->failed) {
        free(data);
        data = NULL;
        *size = 0;
    }
    *w = (struct json_writer){.limit_bytes = w->limit_bytes};
    return data;
}

bool json_writer_reserve(struct json_writer *w, size_t bytes) {
    size_t needed, capacity = w->capacity ? w->capacity : FIRST_CAPACITY;
    char *data;
    if (w->failed) return false;
    if (__builtin_add_overflow(w->size, bytes, &needed) || needed > SIZE_MAX / 2 ||
        (w->limit_bytes && needed > w->limit_bytes)) {
        w->failed = true;
        return false;
    }
    if (w->data && needed <= w->capacity) return true;
    while (capacity < needed) capacity *= 2;
    data = realloc(w->data, capacity);
    if (!data) {
        w->failed = true;
        return false;
    }
    w->data = data;
    w->capacity = capacity;
    return true;
}

void json_append(struct json_writer *w, const void *bytes, size_t size) {
    if (size == 0 || !json_writer_reserve(w, size)) return;
    memcpy(w->data + w->size, bytes, size);
    w->size += size;
}

static void append_char(struct json_writer *w, char c) {
    if (!json_writer_reserve(w, 1)) return;
    w->data[w->size++] = c;
}

/* Before a value or a name. */
static void separate(struct json_writer *w) {
    if (w->comma) append_char(w, ',');
    w->comma = true;
}

static void begin(struct json_writer *w, char bracket) {
    separate(w);
    append_char(w, bracket);
    w->comma = false;
}

static void end(struct json_writer *w, char bracket) {
    append_char(w, bracket);
    w->comma = true;
}

void json_begin_object(struct json_writer *w) {
    begin(w, '{');
}
void json_end_object(struct json_writer *w) {
    end(w, '}');
}
void json_begin_array(struct json_writer *w) {
    begin(w, '[');
}
void json_end_array(struct json_writer *w) {
    end(w, ']');
}

void json_name(struct json_writer *w, const char *name) {
    separate(w);
    append_char(w, '"');
    json_append(w, name, strlen(name));
    json_append(w, "\":", 2);
    w->comma = false;
}

void json_write_raw(struct json_writer *w, velocity_slice json) {
    separate(w);
    json_append(w, json.data, json.size);
}

void json_write_null(struct json_writer *w) {
    json_write_raw(w, velocity_bytes("null", 4));
}

void json_write_bool(struct json_writer *w, bool value) {
    json_write_raw(w, value ? velocity_bytes("true", 4) : velocity_bytes("false", 5));
}

void json_write_u64(struct json_writer *w, uint64_t value) {
    char digits[DECIMAL_U64_BYTES];
    json_write_raw(w, velocity_bytes(digits, decimal_format_u64(value, digits)));
}

void json_write_i64(struct json_writer *w, int64_t value) {
    char digits[1 + DECIMAL_U64_BYTES] = {'-'};
    bool negative = value < 0;
    uint64_t magnitude = negative ? 0 - (uint64_t)value : (uint64_t)value;
    size_t size = decimal_format_u64(magnitude, digits + 1);
    json_write_raw(w, velocity_bytes(digits + !negative, size + negative));
}

void json_write_double(struct json_writer *w, double value) {
    char text[32];
    int size = 0;
    if (!isfinite(value)) {
        json_write_null(w);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        size = snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value) break;
    }
    json_write_raw(w, velocity_bytes(text, (size_t)size));
}

void json_write_u64_string(struct json_writer *w, uint64_t value) {
    char text[2 + DECIMAL_U64_BYTES] = {'"'};
    size_t size = 1 + decimal_format_u64(value, text + 1);
    text[size++] = '"';
    json_write_raw(w, velocity_bytes(text, size));
}

void json_write_version(struct json_writer *w, uint64_t version) {
    if (version == VELOCITY_ABSENT)
        json_write_null(w);
    else
        json_write_u64_string(w, version);
}

static void append_escape(struct json_writer *w, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    switch (c) {
    case '"': json_append(w, "\\\"", 2); break;
    case '\\': json_append(w, "\\\\", 2); break;
    case '\b': json_append(w, "\\b", 2); break;
    case '\f': json_append(w, "\\f", 2); break;
    case '\n': json_append(w, "\\n", 2); break;
    case '\r': json_append(w, "\\r", 2); break;
    case '\t': json_append(w, "\\t", 2); break;
    default: json_append(w, escape, sizeof escape);
    }
}

void json_append_string(struct json_writer *w, velocity_slice text) {
    const unsigned char *p = text.size ? text.data : (const void *)"", *stop = p + text.size;
    if (!json_writer_reserve(w, text.size + 1)) return; /* at least so much, and in one go */
    while (p < stop) {
        const unsigned char *run = p;
        size_t size = 1;
        while ((p = json_plain_run(p, stop)) < stop && *p >= 0x80) { /* sequences join the run */
            while (p < stop && *p >= 0x80 && (size = utf8_sequence(p, stop))) p += size;
            if (size == 0) break;
        }
        json_append(w, run, (size_t)(p - run));
        if (p == stop) break;
        if (*p >= 0x80)
            json_append(w, "\xEF\xBF\xBD", 3);
        else
            append_escape(w, *p);
        p++;
    }
}

void json_begin_string(struct json_writer *w) {
    separate(w);
    append_char(w, '"');
}

void json_end_string(struct json_writer *w) {
    append_char(w, '"');
}

void json_write_string(struct json_writer *w, velocity_slice text) {
    json_begin_string(w);
    json_append_string(w, text);
    json_end_string(w);
}

void json_append_base64(struct json_writer *w, velocity_slice bytes) {
    if (json_writer_reserve(w, base64_encoded_size(bytes.size))) w->size += base64_encode(bytes, w->data + w->size);
}

void json_write_base64(struct json_writer *w, velocity_slice bytes) {
    json_begin_string(w);
    json_append_base64(w, bytes);
    json_end_string(w);
}

static void write_base64url(struct json_writer *w, velocity_slice bytes) {
    separate(w);
    append_char(w, '"');
    if (json_writer_reserve(w, base64url_encoded_size(bytes.size)))
        w->size += base64url_encode(bytes, w->data + w->size);
    append_char(w, '"');
}

void json_write_key(struct json_writer *w, velocity_slice key) {
    if (utf8_valid(key)) {
        json_name(w, "key");
        json_write_string(w, key);
    } else {
        json_name(w, "key64");
        write_base64url(w, key);
    }
}

void json_write_text(struct json_writer *w, velocity_slice bytes) {
    if (utf8_valid(bytes)) {
        json_name(w, "text");
        json_write_string(w, bytes);
    } else {
        json_name(w, "base64");
        json_write_base64(w, bytes);
    }
}
