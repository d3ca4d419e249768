/* config_json.c - the configuration in force as JSON, for who asks the running server. */
#include "server/config_internal.h"
#include "server/json_write.h"

#include <string.h>

static const char *const source_names[] = {
    [CONFIG_DEFAULT] = "default", [CONFIG_FILE] = "file", [CONFIG_ENVIRONMENT] = "environment", [CONFIG_FLAG] = "flag"};

static void write_list(const struct config_list *list, struct json_writer *out) {
    json_begin_array(out);
    for (size_t i = 0; i < list->count; i++) json_write_string(out, velocity_str(list->items[i]));
    json_end_array(out);
}

static void write_choice(const char *name, struct json_writer *out) {
    if (config_choice_is_switch(name))
        json_write_bool(out, *name == 't');
    else
        json_write_string(out, velocity_str(name));
}

static void write_value(const struct config *config, const struct config_key *key, struct json_writer *out) {
    const void *field = config_field(config, key);
    switch (key->type) {
    case CONFIG_TEXT: json_write_string(out, velocity_str(*(char *const *)field)); break;
    case CONFIG_LIST: write_list(field, out); break;
    case CONFIG_INTEGER:
    case CONFIG_BYTES: json_write_u64(out, *(const uint64_t *)field); break;
    case CONFIG_REAL: json_write_double(out, *(const double *)field); break;
    case CONFIG_SWITCH: json_write_bool(out, *(const bool *)field); break;
    case CONFIG_CHOICE: write_choice(config_choice_name(config, key), out); break;
    }
}

static void write_name(const struct config_key *key, struct json_writer *out) {
    char name[96];
    (void)snprintf(name, sizeof name, "%s%s%s", key->section, *key->section ? "." : "", key->name);
    json_name(out, "key");
    json_write_string(out, velocity_str(name));
}

static void write_setting(const struct config *config, size_t index, struct json_writer *out) {
    const struct config_key *key = &config_keys[index];
    const struct config_origin *origin = &config->origins[index];
    bool secret = key->flags & CONFIG_SECRET;
    if (secret && !**(char *const *)config_field(config, key)) return;
    json_begin_object(out);
    write_name(key, out);
    json_name(out, "value");
    if (secret)
        json_write_string(out, velocity_str(CONFIG_REDACTED));
    else
        write_value(config, key, out);
    json_name(out, "source");
    json_write_string(out, velocity_str(source_names[origin->source]));
    if (origin->source == CONFIG_FILE) {
        json_name(out, "line");
        json_write_u64(out, origin->line);
    }
    if (origin->source == CONFIG_FLAG) {
        json_name(out, "option");
        json_write_string(out, velocity_str(origin->option));
    }
    json_name(out, "reloadable");
    json_write_bool(out, key->flags & CONFIG_RELOADABLE);
    json_name(out, "restart_pending");
    json_write_bool(out, origin->restart_pending);
    json_end_object(out);
}

static void write_user(const struct config_user *user, struct json_writer *out) {
    json_begin_object(out);
    json_name(out, "name");
    json_write_string(out, velocity_str(user->name));
    json_name(out, "role");
    json_write_string(out, velocity_str(config_role_name(user->role)));
    json_name(out, "databases");
    write_list(&user->databases, out);
    json_name(out, "prefixes");
    write_list(&user->prefixes, out);
    json_end_object(out);
}

void config_write_json(const struct config *config, struct json_writer *out) {
    json_begin_object(out);
    json_name(out, "file");
    if (config->file)
        json_write_string(out, velocity_str(config->file));
    else
        json_write_null(out);
    json_name(out, "settings");
    json_begin_array(out);
    for (size_t i = 0; i < config_key_count; i++) write_setting(config, i, out);
    json_end_array(out);
    json_name(out, "users");
    json_begin_array(out);
    for (size_t i = 0; i < config->user_count; i++) write_user(&config->users[i], out);
    json_end_array(out);
    json_end_object(out);
}
