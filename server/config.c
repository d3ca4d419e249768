/* config.c - loads the configuration: defaults, file, environment, flags, each over the one before; then checks the
 * whole. */
#include "server/config.h"
#include "server/address.h"
#include "server/toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What the layers share while a configuration is loaded. */
struct loading {
    const struct config_request *request;
    struct config *config;
    struct config_error *error;
    const char *path; /* the file that is being read */
};

__attribute__((format(printf, 3, 4))) static bool fail(struct loading *l, enum config_source source, const char *format,
                                                       ...) {
    va_list arguments;
    l->error->source = source;
    va_start(arguments, format);
    (void)vsnprintf(l->error->text, sizeof l->error->text, format, arguments);
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
            return fail(l, CONFIG_DEFAULT, "default: %s", why);
    return true;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static bool is_section(const char *name) {
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].section, name) == 0) return true;
    return false;
}

static bool load_entry(void *arg, const struct toml_entry *entry) {
    struct loading *l = arg;
    char why[512];
    if (*entry->section && !is_section(entry->section))
        return fail(l, CONFIG_FILE,
                    "%s:%u: unknown section [%.64s]; there are [server], [database], [performance], [logging]", l->path,
                    entry->line, entry->section);
    if (entry->value.type == TOML_SECTION) return true;
    if (!*entry->section)
        return fail(l, CONFIG_FILE, "%s:%u: unknown key \"%.64s\" outside of a section", l->path, entry->line,
                    entry->key);
    const struct config_key *key = config_find(entry->section, entry->key);
    if (!key)
        return fail(l, CONFIG_FILE, "%s:%u: unknown key %s.%.64s; \"velocity help configuration\" lists all", l->path,
                    entry->line, entry->section, entry->key);
    if (!config_set(l->config, key, &entry->value, why, sizeof why))
        return fail(l, CONFIG_FILE, "%s:%u: %s", l->path, entry->line, why);
    remember(l, key, (struct config_origin){CONFIG_FILE, entry->line, NULL});
    return true;
}

/* Reads at most CONFIG_MAX_FILE_BYTES. NULL with errno set on failure; EFBIG where the file is larger. */
static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char *text = malloc(CONFIG_MAX_FILE_BYTES + 1);
    int error = text ? 0 : ENOMEM;
    if (text) {
        errno = 0;
        *size = fread(text, 1, CONFIG_MAX_FILE_BYTES + 1, file);
        if (ferror(file)) error = errno ? errno : EIO;
        if (*size > CONFIG_MAX_FILE_BYTES) error = EFBIG;
    }
    (void)fclose(file);
    if (!error) return text;
    free(text);
    errno = error;
    return NULL;
}

/* *missing: there is no such file, which is an error only where the path was asked for. */
static bool load_file(struct loading *l, const char *path, bool *missing) {
    size_t size = 0;
    unsigned line;
    char why[512];
    char *text = read_all(path, &size);
    *missing = !text && errno == ENOENT;
    if (!text) return fail(l, CONFIG_FILE, "%s: can't read the configuration: %s", path, strerror(errno));
    l->path = path;
    bool ok = toml_parse(text, size, load_entry, l, &line, why, sizeof why);
    free(text);
    if (!ok && line) return fail(l, CONFIG_FILE, "%s:%u: not valid TOML: %s", path, line, why);
    if (!ok) return false;
    l->config->file = strdup(path);
    return l->config->file ? true : fail(l, CONFIG_FILE, "no memory");
}

static bool load_files(struct loading *l) {
    static const char *const places[] = {"./velocity.toml", "/etc/velocity/velocity.toml"};
    bool missing;
    if (l->request->path) return load_file(l, l->request->path, &missing);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (load_file(l, places[i], &missing)) return true;
        if (!missing) return false;
    }
    return true;
}

/* ---- environment and flags ---------------------------------------------------------------------------------- */

static const struct config_key *find_variable(const char *name, size_t size) {
    char variable[128];
    for (size_t i = 0; i < config_key_count; i++) {
        config_variable(&config_keys[i], variable, sizeof variable);
        if (strlen(variable) == size && memcmp(variable, name, size) == 0) return &config_keys[i];
    }
    return NULL;
}

static bool load_environment(struct loading *l) {
    for (char *const *entry = l->request->environment; entry && *entry; entry++) {
        char why[512];
        const char *equals = strchr(*entry, '=');
        if (!equals || strncmp(*entry, "VELOCITY_", strlen("VELOCITY_")) != 0) continue;
        int size = (int)(equals - *entry);
        const struct config_key *key = find_variable(*entry, (size_t)size);
        if (!key) {
            (void)snprintf(why, sizeof why, "unknown environment variable %.*s has no effect", size, *entry);
            if (l->request->warn) l->request->warn(l->request->warn_arg, why);
            continue;
        }
        if (!config_set_text(l->config, key, equals + 1, why, sizeof why))
            return fail(l, CONFIG_ENVIRONMENT, "%.*s: %s", size, *entry, why);
        remember(l, key, (struct config_origin){CONFIG_ENVIRONMENT, 0, NULL});
    }
    return true;
}

static bool load_flags(struct loading *l) {
    for (size_t i = 0; i < l->request->flag_count; i++) {
        const struct config_flag *flag = &l->request->flags[i];
        char why[512], section[32];
        const char *dot = strchr(flag->key, '.');
        (void)snprintf(section, sizeof section, "%.*s", (int)(dot - flag->key), flag->key);
        const struct config_key *key = config_find(section, dot + 1);
        if (!config_set_text(l->config, key, flag->value, why, sizeof why))
            return fail(l, CONFIG_FLAG, "--%s: %s", flag->option, why);
        remember(l, key, (struct config_origin){CONFIG_FLAG, 0, flag->option});
    }
    return true;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

/* An error of the whole, told at the place where `section.name` was set. */
static bool fail_at(struct loading *l, const char *section, const char *name, const char *what) {
    const struct config_key *key = config_find(section, name);
    const struct config_origin *origin = &l->config->origins[key - config_keys];
    char place[CONFIG_MAX_ERROR_BYTES / 2] = "default";
    if (origin->source == CONFIG_FILE)
        (void)snprintf(place, sizeof place, "%s:%u", l->config->file, origin->line);
    else if (origin->source == CONFIG_ENVIRONMENT)
        config_variable(key, place, sizeof place);
    else if (origin->source == CONFIG_FLAG)
        (void)snprintf(place, sizeof place, "--%s", origin->option);
    return fail(l, origin->source, "%s: %s.%s %s", place, section, name, what);
}

static bool check(struct loading *l) {
    struct config *c = l->config;
    struct address address;
    double rate = c->database.bloom_false_positive_rate;
    if (!address_parse(c->server.bind_address, &address))
        return fail_at(l, "server", "bind_address", "must be an address and a port, as 127.0.0.1:2005 or [::1]:2005");
    if (!address_is_loopback(&address)) {
        (void)fail_at(l, "server", "bind_address",
                      "is reachable from other machines, which needs users, and this version has none: "
                      "bind to a loopback address, as 127.0.0.1:2005");
        l->error->source = CONFIG_FILE; /* well-formed wherever it stands: never wrong usage */
        return false;
    }
    if (!*c->server.data_dir) return fail_at(l, "server", "data_dir", "must name a folder");
    if (c->server.max_inflight_bytes < c->server.max_value_bytes)
        return fail_at(l, "server", "max_inflight_bytes", "must be at least server.max_value_bytes");
    if (rate > 0.5 && rate < 1)
        return fail_at(l, "database", "bloom_false_positive_rate", "must be from 0.0001 to 0.5, or 1 for no filters");
    return true;
}

bool config_load(const struct config_request *request, struct config *out, struct config_error *error) {
    struct loading l = {request, out, error, NULL};
    memset(out, 0, sizeof *out);
    if (load_defaults(&l) && load_files(&l) && load_environment(&l) && load_flags(&l) && check(&l)) return true;
    config_free(out);
    return false;
}
