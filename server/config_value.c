/* config_value.c - one setting at a time: its type, its range, its text form. */
#include "server/config_internal.h"

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

bool config_choice_is_switch(const char *name) {
    return strcmp(name, "true") == 0 || strcmp(name, "false") == 0;
}

static void expect_choice(const struct config_key *key, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "one of");
    const char *separator = " ";
    for (const struct config_choice *c = key->choices; c->name; c++) {
        const char *quote = config_choice_is_switch(c->name) ? "" : "\"";
        if (c->refusal || used >= size) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", separator, quote, c->name, quote);
        separator = ", ";
    }
}

void config_expectation(const struct config_key *key, char *out, size_t size) {
    char low[32], high[32];
    const char *zero = key->flags & CONFIG_OR_ZERO ? "0, or " : "";
    switch (key->type) {
    case CONFIG_TEXT: (void)snprintf(out, size, "a text"); break;
    case CONFIG_LIST: (void)snprintf(out, size, "a list of texts"); break;
    case CONFIG_INTEGER:
        (void)snprintf(out, size, "%sa whole number from %.0f to %.0f", zero, key->minimum, key->maximum);
        break;
    case CONFIG_BYTES:
        format_bytes((uint64_t)key->minimum, low, sizeof low);
        format_bytes((uint64_t)key->maximum, high, sizeof high);
        (void)snprintf(out, size, "%sa size from %s to %s (bytes, or text such as \"64 MiB\")", zero, low, high);
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
    bool zero = number == 0 && key->flags & CONFIG_OR_ZERO;
    if (!zero && ((double)number < key->minimum || (double)number > key->maximum)) return false;
    *(uint64_t *)field(config, key) = number;
    return true;
}

static bool set_real(struct config *config, const struct config_key *key, double number) {
    if (!(number >= key->minimum && number <= key->maximum)) return false; /* a NaN fails, too */
    *(double *)field(config, key) = number;
    return true;
}

static void free_text(const struct config_key *key, char *text) {
    if (text && key->flags & CONFIG_SECRET) explicit_bzero(text, strlen(text));
    free(text);
}

static bool set_text(struct config *config, const struct config_key *key, const char *text) {
    char **target = field(config, key);
    char *copy = strdup(text);
    if (!copy) return false;
    free_text(key, *target);
    *target = copy;
    return true;
}

void config_list_free(struct config_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (struct config_list){NULL, 0};
}

bool config_list_set(struct config_list *target, const char *const *items, size_t count) {
    struct config_list list = {count ? calloc(count, sizeof *list.items) : NULL, 0};
    if (count && !list.items) return false;
    for (; list.count < count; list.count++) {
        list.items[list.count] = strdup(items[list.count]);
        if (!list.items[list.count]) {
            config_list_free(&list);
            return false;
        }
    }
    config_list_free(target);
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
    const char *refusal = NULL, *text = NULL;
    bool fits = false; /* what is left to go wrong is memory */
    bool natural = value->type == TOML_INTEGER && value->integer >= 0, ok = false;
    uint64_t number = natural ? (uint64_t)value->integer : 0;
    switch (key->type) {
    case CONFIG_TEXT:
        fits = value->type == TOML_TEXT;
        ok = fits && set_text(config, key, value->text);
        break;
    case CONFIG_LIST:
        fits = value->type == TOML_LIST;
        ok = fits && config_list_set(field(config, key), value->items, value->item_count);
        break;
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
    case CONFIG_CHOICE:
        text = value->type == TOML_SWITCH ? (value->on ? "true" : "false") : value->text;
        ok = (value->type == TOML_TEXT || value->type == TOML_SWITCH) && set_choice(config, key, text, &refusal);
        break;
    }
    if (ok) return true;
    if (fits) {
        (void)snprintf(error, error_size, "no memory for %s.%s", key->section, key->name);
        return false;
    }
    if (refusal) {
        (void)snprintf(error, error_size, "%s.%s = \"%.32s\": %s", key->section, key->name, text, refusal);
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
    (void)snprintf(out, size, "VELOCITY_%s%s%s", key->section, *key->section ? "_" : "", key->name);
    for (char *c = out; *c; c++) *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

const char *config_choice_name(const struct config *config, const struct config_key *key) {
    unsigned value = *(const unsigned *)config_field(config, key);
    const struct config_choice *c = key->choices;
    while (c->value != value || c->refusal) c++;
    return c->name;
}

bool config_list_same(const struct config_list *a, const struct config_list *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

bool config_same(const struct config *a, const struct config *b, const struct config_key *key) {
    const void *x = config_field(a, key), *y = config_field(b, key);
    switch (key->type) {
    case CONFIG_TEXT: return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case CONFIG_LIST: return config_list_same(x, y);
    case CONFIG_INTEGER:
    case CONFIG_BYTES: return *(const uint64_t *)x == *(const uint64_t *)y;
    case CONFIG_REAL: return *(const double *)x == *(const double *)y;
    case CONFIG_SWITCH: return *(const bool *)x == *(const bool *)y;
    case CONFIG_CHOICE: return *(const unsigned *)x == *(const unsigned *)y;
    }
    return false;
}

bool config_copy(struct config *to, const struct config *from, const struct config_key *key) {
    const void *source = config_field(from, key);
    const struct config_list *list = source;
    void *target = field(to, key);
    switch (key->type) {
    case CONFIG_TEXT: return set_text(to, key, *(char *const *)source);
    case CONFIG_LIST: return config_list_set(target, (const char *const *)list->items, list->count);
    case CONFIG_INTEGER:
    case CONFIG_BYTES: *(uint64_t *)target = *(const uint64_t *)source; break;
    case CONFIG_REAL: *(double *)target = *(const double *)source; break;
    case CONFIG_SWITCH: *(bool *)target = *(const bool *)source; break;
    case CONFIG_CHOICE: *(unsigned *)target = *(const unsigned *)source; break;
    }
    return true;
}

void config_free(struct config *config) {
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->type == CONFIG_TEXT) free_text(key, *(char **)field(config, key));
        if (key->type == CONFIG_LIST) config_list_free(field(config, key));
    }
    config_users_free(config);
    free(config->file);
    memset(config, 0, sizeof *config);
}
