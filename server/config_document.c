/* config_document.c - shows the settings: their documentation, and what is in force. */
#include "engine/velocity.h"
#include "server/config.h"

#include <inttypes.h>
#include <string.h>

static const char *const section_titles[][2] = {
    {"server", "The process, its address and its limits."},
    {"database", "The storage engine."},
    {"performance", "How much of the machine is used."},
    {"logging", "What the server tells."},
};

/* As it would stand in the file. */
static void print_preset(const struct config_key *key, FILE *out) {
    switch (key->type) {
    case CONFIG_TEXT:
    case CONFIG_BYTES:
    case CONFIG_CHOICE: fprintf(out, "`\"%s\"`", key->preset); break;
    case CONFIG_LIST: fprintf(out, "`[]`"); break;
    case CONFIG_INTEGER:
    case CONFIG_REAL:
    case CONFIG_SWITCH: fprintf(out, "`%s`", key->preset); break;
    }
}

static void print_section(const char *section, FILE *out) {
    fprintf(out, "| key | default | value | what it does |\n|---|---|---|---|\n");
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char expected[256];
        if (strcmp(key->section, section) != 0) continue;
        config_expectation(key, expected, sizeof expected);
        fprintf(out, "| `%s` | ", key->name);
        print_preset(key, out);
        fprintf(out, " | %s | %s |\n", expected, key->help);
    }
}

void config_document(FILE *out) {
    fprintf(
        out,
        "# Configuration\n\n"
        "<!-- Written by `velocity help configuration`; change server/config_keys.c instead. -->\n\n"
        "The server reads the TOML file that `--config` names, else `./velocity.toml`, else "
        "`/etc/velocity/velocity.toml`, else none.\n"
        "A flag beats an environment variable, which beats the file, which beats the default, key by key.\n"
        "The environment variable of a key is `VELOCITY_<SECTION>_<KEY>`: `VELOCITY_SERVER_BIND_ADDRESS`; lists are "
        "separated by commas.\n"
        "An unknown key, a wrong type or an impossible value ends the start with exit code 78 and names file, line "
        "and key.\n"
        "`velocity check-config` shows what is in force, and where each value came from.\n");
    for (size_t i = 0; i < sizeof section_titles / sizeof *section_titles; i++) {
        fprintf(out, "\n## [%s]\n\n%s\n\n", section_titles[i][0], section_titles[i][1]);
        print_section(section_titles[i][0], out);
    }
}

static const char *choice_name(const struct config_key *key, unsigned value) {
    const struct config_choice *c = key->choices;
    while (c->value != value || c->refusal) c++;
    return c->name;
}

/* A basic string of TOML; control characters are shown as a question mark, so that a line stays one line. */
static void print_text(const char *text, FILE *out) {
    (void)fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') (void)fputc('\\', out);
        (void)fputc((unsigned char)*text < ' ' ? '?' : *text, out);
    }
    (void)fputc('"', out);
}

static void print_value(const struct config *config, const struct config_key *key, FILE *out) {
    const void *field = (const char *)config + key->offset;
    const struct config_list *list = field;
    switch (key->type) {
    case CONFIG_TEXT: print_text(*(char *const *)field, out); break;
    case CONFIG_LIST:
        fprintf(out, "[");
        for (size_t i = 0; i < list->count; i++) {
            if (i) fprintf(out, ", ");
            print_text(list->items[i], out);
        }
        fprintf(out, "]");
        break;
    case CONFIG_INTEGER:
    case CONFIG_BYTES: fprintf(out, "%" PRIu64, *(const uint64_t *)field); break;
    case CONFIG_REAL: fprintf(out, "%g", *(const double *)field); break;
    case CONFIG_SWITCH: fprintf(out, "%s", *(const bool *)field ? "true" : "false"); break;
    case CONFIG_CHOICE: fprintf(out, "\"%s\"", choice_name(key, *(const unsigned *)field)); break;
    }
}

static void print_origin(const struct config *config, size_t index, FILE *out) {
    const struct config_origin *origin = &config->origins[index];
    char variable[128];
    switch (origin->source) {
    case CONFIG_DEFAULT: fprintf(out, "default"); break;
    case CONFIG_FILE: fprintf(out, "%s:%u", config->file, origin->line); break;
    case CONFIG_ENVIRONMENT:
        config_variable(&config_keys[index], variable, sizeof variable);
        fprintf(out, "%s", variable);
        break;
    case CONFIG_FLAG: fprintf(out, "--%s", origin->option); break;
    }
}

void config_print(const struct config *config, FILE *out) {
    const char *section = "";
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (strcmp(section, key->section) != 0) fprintf(out, "%s[%s]\n", i ? "\n" : "", key->section);
        section = key->section;
        fprintf(out, "%s = ", key->name);
        print_value(config, key, out);
        fprintf(out, " # ");
        print_origin(config, i, out);
        fprintf(out, "\n");
    }
}
