/* config_document.c - shows the settings: their documentation, a file that has them all, and what is in force. */
#include "server/config_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_COLUMNS 100u

static const char *const section_titles[][2] = {
    {"server", "The process, its address and its limits."},
    {"tls", "Encryption of connections."},
    {"database", "The storage engine."},
    {"performance", "How much of the machine is used."},
    {"security", "Who did what, and who guesses."},
    {"logging", "What the server tells."},
    {"addons.service", "The server among other services of the machine."},
};

/* As it would stand in the file. */
static void print_preset(const struct config_key *key, FILE *out) {
    const char *quote = "";
    if (key->type == CONFIG_LIST) {
        fprintf(out, "[]");
        return;
    }
    if (key->type == CONFIG_TEXT || (key->type == CONFIG_BYTES && strcmp(key->preset, "0") != 0) ||
        (key->type == CONFIG_CHOICE && !config_choice_is_switch(key->preset)))
        quote = "\"";
    fprintf(out, "%s%s%s", quote, key->preset, quote);
}

static void print_section(const char *section, FILE *out) {
    fprintf(out, "| key | default | value | while running | what it does |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char expected[256];
        if (strcmp(key->section, section) != 0) continue;
        config_expectation(key, expected, sizeof expected);
        fprintf(out, "| `%s` | `", key->name);
        print_preset(key, out);
        fprintf(out, "` | %s | %s | %s |\n", expected, key->flags & CONFIG_RELOADABLE ? "yes" : "", key->help);
    }
}

static const char users_text[] =
    "\n## [users]\n\n"
    "Users that stand in the file; they can change while the server runs. Others are made through the API and live in "
    "the data directory; the same name in both is an error.\n\n"
    "```toml\n"
    "[users]\n"
    "admin = \"$argon2id$v=19$m=19456,t=2,p=1$...\" # the password's hash; the role of \"admin\" is admin, of others "
    "write\n\n"
    "[users.reports]\n"
    "password = \"$argon2id$v=19$m=19456,t=2,p=1$...\"\n"
    "role = \"read\"         # \"admin\", \"write\", \"read\" or \"monitor\"\n"
    "databases = [\"shop\"]  # only these; empty: all\n"
    "prefixes = [\"order:\"] # only keys that begin so; empty: all\n"
    "```\n\n"
    "Names have up to 64 letters, digits and `._-@`, a letter or digit first.\n";

void config_document(FILE *out) {
    fprintf(
        out,
        "# Configuration\n\n"
        "<!-- Written by `velocity help configuration`; change server/config_keys.c instead. -->\n\n"
        "The server reads the TOML file that `--config` names, else `./velocity.toml`, else "
        "`/etc/velocity/velocity.toml`, else none.\n"
        "A flag beats an environment variable, which beats the file, which beats the default, key by key.\n"
        "The environment variable of a key is `VELOCITY_<SECTION>_<KEY>`: `VELOCITY_SERVER_BIND_ADDRESS`, "
        "`VELOCITY_ADDONS_SERVICE_PID_FILE`; lists are separated by commas.\n"
        "An unknown key, a wrong type or an impossible value ends the start with exit code 78 and names file, line "
        "and key.\n"
        "`velocity check-config` shows what is in force, and where each value came from.\n\n"
        "`SIGHUP`, or a change of the file, makes a running server read everything again. What is wrong is told in the "
        "log and changes nothing.\nElse what can change while running is in force at once; the log names what waits "
        "for a restart.\n");
    for (size_t i = 0; i < sizeof section_titles / sizeof *section_titles; i++) {
        fprintf(out, "\n## [%s]\n\n%s\n\n", section_titles[i][0], section_titles[i][1]);
        print_section(section_titles[i][0], out);
    }
    (void)fputs(users_text, out);
    fprintf(out,
            "\n## Secrets\n\n"
            "These never stand in the file, and are never shown. Each comes from its environment variable, or from "
            "the file that the variable with `_FILE` behind its name names.\n\n"
            "| variable | what it is |\n|---|---|\n");
    for (size_t i = 0; i < config_key_count; i++) {
        char variable[128];
        if (!(config_keys[i].flags & CONFIG_SECRET)) continue;
        config_variable(&config_keys[i], variable, sizeof variable);
        fprintf(out, "| `%s` | %s |\n", variable, config_keys[i].help);
    }
}

/* ---- a file with every setting ----------------------------------------------------------------------------------- */

/* Comment lines of so many columns at most, where the words allow it. */
static void print_comment(const char *text, FILE *out) {
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > TEMPLATE_COLUMNS) {
            (void)fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : "# ", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

static void print_template_section(const char *section, FILE *out) {
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char expected[256], here[320];
        if (strcmp(key->section, section) != 0) continue;
        config_expectation(key, expected, sizeof expected);
        (void)fputc('\n', out);
        print_comment(key->help, out);
        (void)snprintf(here, sizeof here, "Here: %s%s.", expected,
                       key->flags & CONFIG_RELOADABLE ? "; it can change while the server runs" : "");
        print_comment(here, out);
        fprintf(out, "# %s = ", key->name);
        print_preset(key, out);
        (void)fputc('\n', out);
    }
}

void config_write_template(FILE *out) {
    print_comment("The configuration of Velocity. Every setting stands here with its default: take the # before a name "
                  "away to change it. `velocity check-config` shows what is in force, and where it came from.",
                  out);
    for (size_t i = 0; i < sizeof section_titles / sizeof *section_titles; i++) {
        (void)fputc('\n', out);
        print_comment(section_titles[i][1], out);
        fprintf(out, "[%s]\n", section_titles[i][0]);
        print_template_section(section_titles[i][0], out);
    }
    (void)fputc('\n', out);
    print_comment("Users may stand here with the hash of their password; those that `velocity admin create-user` makes "
                  "are kept in the data directory. `velocity help configuration` shows how.",
                  out);
    (void)fputs("# [users]\n", out);
}

/* ---- what is in force ------------------------------------------------------------------------------------------- */

/* A basic string of TOML; control characters are shown as a question mark, so that a line stays one line. */
static void print_text(const char *text, FILE *out) {
    (void)fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') (void)fputc('\\', out);
        (void)fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
    }
    (void)fputc('"', out);
}

static void print_list(const struct config_list *list, FILE *out) {
    fprintf(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        if (i) fprintf(out, ", ");
        print_text(list->items[i], out);
    }
    fprintf(out, "]");
}

/* The shortest text that reads back the same. */
static void print_real(double value, FILE *out) {
    char text[32];
    for (int precision = 6; precision <= 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value) break;
    }
    fprintf(out, "%s", text);
}

static void print_value(const struct config *config, const struct config_key *key, FILE *out) {
    const void *field = config_field(config, key);
    const struct config_list *list = field;
    switch (key->type) {
    case CONFIG_TEXT: print_text(*(char *const *)field, out); break;
    case CONFIG_LIST: print_list(list, out); break;
    case CONFIG_INTEGER:
    case CONFIG_BYTES: fprintf(out, "%" PRIu64, *(const uint64_t *)field); break;
    case CONFIG_REAL: print_real(*(const double *)field, out); break;
    case CONFIG_SWITCH: fprintf(out, "%s", *(const bool *)field ? "true" : "false"); break;
    case CONFIG_CHOICE:
        fprintf(out, config_choice_is_switch(config_choice_name(config, key)) ? "%s" : "\"%s\"",
                config_choice_name(config, key));
        break;
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

/* As comments: what is not shown can't be read again. */
static void print_users(const struct config *config, FILE *out) {
    if (config->user_count) fprintf(out, "\n# [users]\n");
    for (size_t i = 0; i < config->user_count; i++) {
        const struct config_user *user = &config->users[i];
        fprintf(out, "# %s = " CONFIG_REDACTED ", role %s", user->name, config_role_name(user->role));
        if (user->databases.count) {
            fprintf(out, ", databases ");
            print_list(&user->databases, out);
        }
        if (user->prefixes.count) {
            fprintf(out, ", prefixes ");
            print_list(&user->prefixes, out);
        }
        fprintf(out, " # %s:%u\n", config->file, user->line);
    }
}

void config_print(const struct config *config, FILE *out) {
    const char *section = "";
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->flags & CONFIG_SECRET) {
            if (!**(char *const *)config_field(config, key)) continue;
            fprintf(out, "\n# %s = " CONFIG_REDACTED, key->name);
        } else {
            if (strcmp(section, key->section) != 0) fprintf(out, "%s[%s]\n", i ? "\n" : "", key->section);
            section = key->section;
            fprintf(out, "%s = ", key->name);
            print_value(config, key, out);
        }
        fprintf(out, " # ");
        print_origin(config, i, out);
        fprintf(out, "\n");
    }
    print_users(config, out);
}
