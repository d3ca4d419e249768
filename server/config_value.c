/* config_value.c - one setting at a time: its type, its range, its text form. */
#include "server/config.h"
#include "server/toml.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"TiB", UINT64_C(1) << 40}, {"GiB", UINT64_C(1) << 30}, {"MiB", UINT64_C(1) << 20}, {"KiB", UINT64_C(1) << 10}};
#define UNIT_COUNT (sizeof units / sizeof *units)

/* "65536" or "64 KiB" (the space may be missing). */
static bool parse_bytes(const char *text, uint64_t *out) {
    char *end;
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno) return false;
    uint64_t scale = *end == '\0';
    while (*end == ' ') end++;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (strcmp(end, units[i].name) == 0) scale = units[i].bytes;
    if (scale == 0 || number > INT64_MAX / scale) return false;
    *out = number * scale;
    return true;
}

/* In the largest unit that leaves a whole number. */
static void format_bytes(uint64_t bytes, char *out, size_t size) {
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (bytes == 0 || bytes % units[i].bytes != 0) continue;
        (void)snprintf(out, size, "%" PRIu64 " %s", bytes / units[i].bytes, units[i].name);
        return;
    }
    (void)snprintf(out, size, "%" PRIu64, bytes);
}

static void expect_choice(const struct config_key *key, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "one of");
    const char *separator = " ";
    for (const struct config_choice *c = key->choices; c->name; c++) {
        if (c->refusal || used >= size) continue;
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", separator, c->name);
        separator = ", ";
    }
}

void config_expectation(const struct config_key *key, char *out, size_t size) {
    char low[32], high[32];
    switch (key->type) {
    case CONFIG_TEXT: (void)snprintf(out, size, "a text"); break;
    case CONFIG_LIST: (void)snprintf(out, size, "a list of texts"); break;
    case CONFIG_INTEGER:
        (void)snprintf(out, size, "a whole number from %.0f to %.0f", key->minimum, key->maximum);
        break;
    case CONFIG_BYTES:
        format_bytes((uint64_t)key->minimum, low, sizeof low);
        format_bytes((uint64_t)key->maximum, high, sizeof high);
        (void)snprintf(out, size, "a size from %s to %s (bytes, or text such as \"64 MiB\")", low, high);
        break;
    case CONFIG_REAL: (void)snprintf(out, size, "a number from %g to %g", key->minimum, key->maximum); break;
    case CONFIG_SWITCH: (void)snprintf(out, size, "true or false"); break;
    case CONFIG_CHOICE: expect_choice(key, out, size); break;
    }
}

static void *field(struct config *config, const struct config_key *key) {
    return (char *)config + key->offset;
}

static bool set_number(struct config *config, const struct config_key *key, uint64_t number) {
    if ((double)number < key->minimum || (double)number > key->maximum) return false;
    *(uint64_t *)field(config, key) = number;
    return true;
}

static bool set_real(struct config *config, const struct config_key *key, double number) {
    if (!(number >= key->minimum && number <= key->maximum)) return false; /* a NaN fails, too */
    *(double *)field(config, key) = number;
    return true;
}

static bool set_text(struct config *config, const struct config_key *key, const char *text) {
    char **target = field(config, key);
    char *copy = strdup(text);
    if (!copy) return false;
    free(*target);
    *target = copy;
    return true;
}

static void free_list(struct config_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (struct config_list){NULL, 0};
}

static bool set_list(struct config *config, const struct config_key *key, const char *const *items, size_t count) {
    struct config_list *target = field(config, key);
    struct config_list list = {count ? calloc(count, sizeof *list.items) : NULL, 0};
    if (count && !list.items) return false;
    for (; list.count < count; list.count++) {
        list.items[list.count] = strdup(items[list.count]);
        if (!list.items[list.count]) {
            free_list(&list);
            return false;
        }
    }
    free_list(target);
    *target = list;
    return true;
}

/* False with *refusal set where the name is known but can't be had. */
static bool set_choice(struct config *config, const struct config_key *key, const char *name, const char **refusal) {
    for (const struct config_choice *c = key->choices; c->name; c++) {
        if (strcmp(c->name, name) != 0) continue;
        *refusal = c->refusal;
        if (c->refusal) return false;
        *(unsigned *)field(config, key) = c->value;
        return true;
    }
    return false;
}

bool config_set(struct config *config, const struct config_key *key, const struct toml_value *value, char *error,
                size_t error_size) {
    const char *refusal = NULL;
    bool natural = value->type == TOML_INTEGER && value->integer >= 0, ok = false;
    uint64_t number = natural ? (uint64_t)value->integer : 0;
    switch (key->type) {
    case CONFIG_TEXT: ok = value->type == TOML_TEXT && set_text(config, key, value->text); break;
    case CONFIG_LIST: ok = value->type == TOML_LIST && set_list(config, key, value->items, value->item_count); break;
    case CONFIG_INTEGER: ok = natural && set_number(config, key, number); break;
    case CONFIG_BYTES:
        if (value->type == TOML_TEXT) natural = parse_bytes(value->text, &number);
        ok = natural && set_number(config, key, number);
        break;
    case CONFIG_REAL:
        ok = (value->type == TOML_REAL && set_real(config, key, value->real)) ||
             (natural && set_real(config, key, (double)number));
        break;
    case CONFIG_SWITCH:
        ok = value->type == TOML_SWITCH;
        if (ok) *(bool *)field(config, key) = value->on;
        break;
    case CONFIG_CHOICE: ok = value->type == TOML_TEXT && set_choice(config, key, value->text, &refusal); break;
    }
    if (ok) return true;
    if (refusal) {
        (void)snprintf(error, error_size, "%s.%s = \"%.32s\": %s", key->section, key->name, value->text, refusal);
        return false;
    }
    char expected[256];
    config_expectation(key, expected, sizeof expected);
    (void)snprintf(error, error_size, "%s.%s must be %s", key->section, key->name, expected);
    return false;
}

/* Splits at commas, in place, dropping spaces around the items and empty ones. */
static size_t split(char *text, const char **items, size_t limit) {
    size_t count = 0;
    char *rest = NULL;
    for (char *item = strtok_r(text, ", \t", &rest); item && count < limit; item = strtok_r(NULL, ", \t", &rest))
        items[count++] = item;
    return count;
}

static bool set_list_text(struct config *config, const struct config_key *key, const char *text, char *error,
                          size_t error_size) {
    size_t limit = strlen(text) / 2 + 1;
    const char **items = calloc(limit, sizeof *items);
    char *copy = strdup(text);
    bool ok = false;
    if (items && copy) {
        struct toml_value value = {.type = TOML_LIST, .items = items, .item_count = split(copy, items, limit)};
        ok = config_set(config, key, &value, error, error_size);
    } else {
        (void)snprintf(error, error_size, "no memory for %s.%s", key->section, key->name);
    }
    free(items);
    free(copy);
    return ok;
}

bool config_set_text(struct config *config, const struct config_key *key, const char *text, char *error,
                     size_t error_size) {
    struct toml_value value = {.type = TOML_TEXT, .text = text};
    char *end = NULL;
    if (key->type == CONFIG_LIST) return set_list_text(config, key, text, error, error_size);
    if (key->type == CONFIG_SWITCH && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        value.type = TOML_SWITCH;
        value.on = *text == 't';
    } else if (key->type == CONFIG_INTEGER && isdigit((unsigned char)*text)) {
        errno = 0;
        value.integer = strtoll(text, &end, 10);
        if (!errno && *end == '\0') value.type = TOML_INTEGER;
    } else if (key->type == CONFIG_REAL && isdigit((unsigned char)*text)) {
        value.real = strtod(text, &end);
        if (*end == '\0') value.type = TOML_REAL;
    }
    return config_set(config, key, &value, error, error_size);
}

const struct config_key *config_find(const char *section, const char *name) {
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

void config_variable(const struct config_key *key, char *out, size_t size) {
    (void)snprintf(out, size, "VELOCITY_%s_%s", key->section, key->name);
    for (char *c = out; *c; c++) *c = (char)toupper((unsigned char)*c);
}

void config_free(struct config *config) {
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_keys[i].type == CONFIG_TEXT) free(*(char **)field(config, &config_keys[i]));
        if (config_keys[i].type == CONFIG_LIST) free_list(field(config, &config_keys[i]));
    }
    free(config->file);
    memset(config, 0, sizeof *config);
}
