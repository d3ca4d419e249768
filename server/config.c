/* config.c - loads the configuration: defaults, file, environment, flags, each over the one before. */
#include "server/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the layers share while a configuration is loaded. */
struct loading {
    const struct config_request *request;
    struct config *config;
    struct config_error *error;
    const char *path; /* the file that is being read */
};

bool config_fail(struct config_error *error, enum config_source source, const char *format, ...) {
    va_list arguments;
    error->source = source;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

static void remember(struct loading *l, const struct config_key *key, struct config_origin origin) {
    l->config->origins[key - config_keys] = origin;
}

static bool load_defaults(struct loading *l) {
    char why[512];
    for (size_t i = 0; i < config_key_count; i++)
        if (!config_set_text(l->config, &config_keys[i], config_keys[i].preset, why, sizeof why))
            return config_fail(l->error, CONFIG_DEFAULT, "default: %s", why);
    return true;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

/* Is it a section of settings, or what one stands in: "addons" for [addons.service]? One without a name is none: what
 * stands there in the table is never in the file. */
static bool is_section(const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < config_key_count; i++) {
        const char *section = config_keys[i].section;
        if (size && strncmp(section, name, size) == 0 && (section[size] == '\0' || section[size] == '.')) return true;
    }
    return false;
}

/* "server.data_dir" names a section where a setting is meant: data_dir = {}. */
static const struct config_key *setting_named(const char *section) {
    char parent[64];
    const char *dot = strrchr(section, '.');
    if (!dot || (size_t)(dot - section) >= sizeof parent) return NULL;
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(dot - section), section);
    return config_find(parent, dot + 1);
}

static bool refuse_section(struct loading *l, const struct toml_entry *entry) {
    char known[256], expected[256];
    size_t used = 0;
    const struct config_key *key = setting_named(entry->section);
    if (key) {
        config_expectation(key, expected, sizeof expected);
        return config_fail(l->error, CONFIG_FILE, "%s:%u: %s must be %s", l->path, entry->line, entry->section,
                           expected);
    }
    for (size_t i = 0; i < config_key_count; i++) {
        const char *section = config_keys[i].section;
        if (!*section || (i && strcmp(section, config_keys[i - 1].section) == 0) || used >= sizeof known) continue;
        used += (size_t)snprintf(known + used, sizeof known - used, "[%s], ", section);
    }
    return config_fail(l->error, CONFIG_FILE, "%s:%u: unknown section [%.64s]; there are %s[users]", l->path,
                       entry->line, entry->section, known);
}

static bool load_entry(void *arg, const struct toml_entry *entry) {
    struct loading *l = arg;
    char why[512];
    bool users = entry->depth > 0 && entry->depth <= 2 && strncmp(entry->section, "users", 5) == 0 &&
                 (entry->section[5] == '\0' || entry->section[5] == '.');
    if (users) {
        if (config_users_entry(l->config, entry, why, sizeof why)) return true;
        return config_fail(l->error, CONFIG_FILE, "%s:%u: %s", l->path, entry->line, why);
    }
    if (entry->depth == 0 && entry->value.type != TOML_SECTION)
        return config_fail(l->error, CONFIG_FILE, "%s:%u: unknown key \"%.64s\" outside of a section", l->path,
                           entry->line, entry->key);
    if (!is_section(entry->section)) return refuse_section(l, entry);
    if (entry->value.type == TOML_SECTION) return true;
    const struct config_key *key = config_find(entry->section, entry->key);
    if (!key)
        return config_fail(l->error, CONFIG_FILE,
                           "%s:%u: unknown key %s.%.64s; \"velocity help configuration\" lists all", l->path,
                           entry->line, entry->section, entry->key);
    if (!config_set(l->config, key, &entry->value, why, sizeof why))
        return config_fail(l->error, CONFIG_FILE, "%s:%u: %s", l->path, entry->line, why);
    remember(l, key, (struct config_origin){.source = CONFIG_FILE, .line = entry->line});
    return true;
}

static void *no_text(int descriptor, char *text, size_t size, int error) {
    if (text) explicit_bzero(text, size);
    free(text);
    (void)close(descriptor);
    errno = error;
    return NULL;
}

/* At most CONFIG_MAX_FILE_BYTES, and room for one more byte. NULL with errno set on failure; EFBIG where the file is
 * larger. Not through stdio: its buffer would keep what is secret. */
static char *read_all(const char *path, size_t *size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return NULL;
    char *text = malloc(CONFIG_MAX_FILE_BYTES + 1);
    if (!text) return no_text(descriptor, text, 0, ENOMEM);
    for (*size = 0; *size <= CONFIG_MAX_FILE_BYTES;) {
        ssize_t got = read(descriptor, text + *size, CONFIG_MAX_FILE_BYTES + 1 - *size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return no_text(descriptor, text, *size, errno);
        if (got == 0) {
            (void)close(descriptor);
            return text;
        }
        *size += (size_t)got;
    }
    return no_text(descriptor, text, *size, EFBIG);
}

/* *missing: there is no such file, which is an error only where the path was asked for. */
static bool load_file(struct loading *l, const char *path, bool *missing) {
    size_t size = 0;
    unsigned line;
    char why[512];
    char *text = read_all(path, &size);
    *missing = !text && errno == ENOENT;
    if (!text) return config_fail(l->error, CONFIG_FILE, "%s: can't read the configuration: %s", path, strerror(errno));
    l->path = path;
    bool ok = toml_parse(text, size, load_entry, l, &line, why, sizeof why);
    explicit_bzero(text, size);
    free(text);
    if (!ok && line) return config_fail(l->error, CONFIG_FILE, "%s:%u: not valid TOML: %s", path, line, why);
    if (!ok) return false;
    if (!config_users_complete(l->config, &line, why, sizeof why))
        return config_fail(l->error, CONFIG_FILE, "%s:%u: %s", path, line, why);
    l->config->file = strdup(path);
    return l->config->file ? true : config_fail(l->error, CONFIG_FILE, "no memory");
}

size_t config_places(const struct config_request *request, const char *places[CONFIG_MAX_PLACES]) {
    places[0] = request->path ? request->path : "./velocity.toml";
    places[1] = "/etc/velocity/velocity.toml";
    return request->path ? 1 : 2;
}

static bool load_files(struct loading *l) {
    const char *places[CONFIG_MAX_PLACES];
    size_t count = config_places(l->request, places);
    bool missing;
    for (size_t i = 0; i < count; i++) {
        if (load_file(l, places[i], &missing)) return true;
        if (!missing || l->request->path) return false;
    }
    return true;
}

/* ---- environment and flags ---------------------------------------------------------------------------------- */

#define FILE_SUFFIX "_FILE" /* the variable names a file that holds the secret */

/* NULL where there is no such setting. */
static const struct config_key *find_variable(const char *name, size_t size, bool *names_file) {
    char variable[128];
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        config_variable(key, variable, sizeof variable - sizeof FILE_SUFFIX);
        *names_file = false;
        if (strlen(variable) == size && memcmp(variable, name, size) == 0) return key;
        if (!(key->flags & CONFIG_SECRET)) continue;
        *names_file = true;
        strcat(variable, FILE_SUFFIX);
        if (strlen(variable) == size && memcmp(variable, name, size) == 0) return key;
    }
    return NULL;
}

/* The file's content without the line end behind it. */
static bool load_secret(struct loading *l, const struct config_key *key, const char *variable, const char *path) {
    char why[512] = "it holds no text";
    size_t size = 0;
    char *text = read_all(path, &size);
    if (!text)
        return config_fail(l->error, CONFIG_ENVIRONMENT, "%s: can't read %.256s: %s", variable, path, strerror(errno));
    text[size] = '\0'; /* there is room: the file is no larger than the limit */
    size_t whole = size;
    if (size && text[size - 1] == '\n') text[--size] = '\0';
    if (size && text[size - 1] == '\r') text[--size] = '\0';
    bool ok = size && strlen(text) == size && config_set_text(l->config, key, text, why, sizeof why);
    explicit_bzero(text, whole);
    free(text);
    return ok ? true : config_fail(l->error, CONFIG_ENVIRONMENT, "%s: %.256s: %s", variable, path, why);
}

/* Those that tell a client which server it asks, and who it is. */
static bool is_clients(const char *entry, int size) {
    static const char *const names[] = {"VELOCITY_TOKEN", "VELOCITY_URL"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (size == (int)strlen(names[i]) && memcmp(entry, names[i], (size_t)size) == 0) return true;
    return false;
}

static bool load_variable(struct loading *l, const char *entry, int size) {
    char why[512], variable[128];
    const char *value = entry + size + 1;
    bool names_file;
    const struct config_key *key = find_variable(entry, (size_t)size, &names_file);
    if (!key) {
        (void)snprintf(why, sizeof why, "unknown environment variable %.*s has no effect", size, entry);
        if (l->request->warn && !is_clients(entry, size)) l->request->warn(l->request->warn_arg, why);
        return true;
    }
    (void)snprintf(variable, sizeof variable, "%.*s", size, entry);
    if (key->flags & CONFIG_SECRET) {
        if (!*value) return true; /* as orchestrators pass a variable that is not set */
        if (l->config->origins[key - config_keys].source == CONFIG_ENVIRONMENT)
            return config_fail(l->error, CONFIG_ENVIRONMENT, "%s: the secret is given both as a text and as a file",
                               variable);
    }
    if (names_file && !load_secret(l, key, variable, value)) return false;
    if (!names_file && !config_set_text(l->config, key, value, why, sizeof why))
        return config_fail(l->error, CONFIG_ENVIRONMENT, "%s: %s", variable, why);
    remember(l, key, (struct config_origin){.source = CONFIG_ENVIRONMENT});
    return true;
}

static bool load_environment(struct loading *l) {
    for (char *const *entry = l->request->environment; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || strncmp(*entry, "VELOCITY_", strlen("VELOCITY_")) != 0) continue;
        if (!load_variable(l, *entry, (int)(equals - *entry))) return false;
    }
    return true;
}

static bool load_flags(struct loading *l) {
    for (size_t i = 0; i < l->request->flag_count; i++) {
        const struct config_flag *flag = &l->request->flags[i];
        char why[512], section[32];
        const char *dot = strrchr(flag->key, '.');
        (void)snprintf(section, sizeof section, "%.*s", (int)(dot - flag->key), flag->key);
        const struct config_key *key = config_find(section, dot + 1);
        if (!config_set_text(l->config, key, flag->value, why, sizeof why))
            return config_fail(l->error, CONFIG_FLAG, "--%s: %s", flag->option, why);
        remember(l, key, (struct config_origin){.source = CONFIG_FLAG, .option = flag->option});
    }
    return true;
}

bool config_load(const struct config_request *request, struct config *out, struct config_error *error) {
    struct loading l = {request, out, error, NULL};
    memset(out, 0, sizeof *out);
    if (load_defaults(&l) && load_files(&l) && load_environment(&l) && load_flags(&l)) {
        config_derive(out);
        if (config_check(out, error)) return true;
    }
    config_free(out);
    return false;
}
