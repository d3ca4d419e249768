/*
 * databases_record.c - what the system database remembers of a name, under "database/<name>":
 *
 *     {"max_disk_bytes":n|null,"created_at_ms":n,"version_floor":"n"}
 *
 * null: the default limit; 0: none. After a drop only {"version_floor":"n"} is left. Unknown members are refused: they
 * would be lost with the next change.
 */
#include "server/databases_internal.h"
#include "server/decimal.h"
#include "server/json_write.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

#define RECORD_MAX_BYTES 4096u
#define KEY_BYTES        (sizeof "database/" + DATABASE_NAME_MAX)

static velocity_slice record_key(const char *name, char space[KEY_BYTES]) {
    (void)snprintf(space, KEY_BYTES, "database/%s", name);
    return velocity_str(space);
}

/* An integer that a double holds exactly. */
static bool take_integer(const cJSON *item, uint64_t *out) {
    double number = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(number >= 0 && number <= (double)DATABASES_MOST_LIMIT)) return false;
    *out = (uint64_t)number;
    return (double)*out == number;
}

static bool take_member(const cJSON *item, struct database_record *out) {
    uint64_t number = 0;
    if (strcmp(item->string, "max_disk_bytes") == 0) {
        if (cJSON_IsNull(item)) return true;
        return take_integer(item, &out->max_disk_bytes);
    }
    if (strcmp(item->string, "created_at_ms") == 0) {
        bool good = take_integer(item, &number);
        out->created_at_ms = (int64_t)number;
        return good;
    }
    if (strcmp(item->string, "version_floor") == 0)
        return cJSON_IsString(item) && decimal_u64(velocity_str(item->valuestring), &out->version_floor);
    return false;
}

static bool parse(velocity_slice text, struct database_record *out) {
    const char *end = NULL;
    if (text.size == 0 || text.size > RECORD_MAX_BYTES) return false;
    cJSON *root = cJSON_ParseWithLengthOpts(text.data, text.size, &end, false);
    bool good = root && cJSON_IsObject(root) && end == (const char *)text.data + text.size;
    const cJSON *item = NULL;
    if (good) cJSON_ArrayForEach(item, root) good = good && take_member(item, out);
    cJSON_Delete(root);
    return good;
}

velocity_status database_record_read(velocity *system, const char *name, struct database_record *out) {
    char space[KEY_BYTES];
    velocity_value value;
    *out = (struct database_record){.max_disk_bytes = DATABASES_DEFAULT};
    velocity_status status = velocity_get(system, record_key(name, space), &value);
    if (status != VELOCITY_OK) return status;
    if (!parse(velocity_bytes(value.data, value.size), out)) {
        *out = (struct database_record){.max_disk_bytes = DATABASES_DEFAULT};
        status = status_set(VELOCITY_CORRUPT, "the system database's record \"database/%s\" makes no sense", name);
    }
    velocity_value_release(&value);
    return status;
}

static velocity_status put(velocity *system, const char *name, struct json_writer *text) {
    char space[KEY_BYTES];
    velocity_write_options options = velocity_write_options_default();
    options.durability = VELOCITY_DURABILITY_ALWAYS;
    velocity_batch *batch = velocity_batch_new();
    velocity_status status = batch && !text->failed ? VELOCITY_OK : status_set(VELOCITY_NO_MEMORY, "no memory");
    if (!status) velocity_batch_put(batch, record_key(name, space), velocity_bytes(text->data, text->size), NULL);
    if (!status) status = velocity_write(system, batch, &options, NULL);
    velocity_batch_free(batch);
    json_writer_free(text);
    return status;
}

velocity_status database_record_write(velocity *system, const char *name, const struct database_record *record) {
    struct json_writer w = {0};
    json_begin_object(&w);
    json_name(&w, "max_disk_bytes");
    if (record->max_disk_bytes == DATABASES_DEFAULT)
        json_write_null(&w);
    else
        json_write_u64(&w, record->max_disk_bytes);
    json_name(&w, "created_at_ms");
    json_write_i64(&w, record->created_at_ms);
    json_name(&w, "version_floor");
    json_write_u64_string(&w, record->version_floor);
    json_end_object(&w);
    return put(system, name, &w);
}

velocity_status database_record_forget(velocity *system, const char *name, uint64_t version_floor) {
    struct json_writer w = {0};
    json_begin_object(&w);
    json_name(&w, "version_floor");
    json_write_u64_string(&w, version_floor);
    json_end_object(&w);
    return put(system, name, &w);
}
