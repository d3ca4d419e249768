/*
 * config_reload.c - the configuration once more, while the server runs: read, compared with what is in force, and
 * mixed: what can't change without a restart keeps its value. The mix is checked like any configuration.
 */
#include "server/config_internal.h"

#include <stdlib.h>
#include <string.h>

/* A request and all that it points to. */
struct kept {
    struct config_request request; /* first: what the caller holds */
    char *path;
    char **environment;
    struct config_flag *flags;
    char **flag_texts; /* keys and values of the flags, two each */
};

static bool is_secret(const char *entry) {
    char variable[128];
    for (size_t i = 0; i < config_key_count; i++) {
        if (!(config_keys[i].flags & CONFIG_SECRET)) continue;
        config_variable(&config_keys[i], variable, sizeof variable);
        size_t size = strlen(variable);
        if (strncmp(entry, variable, size) == 0 && (entry[size] == '=' || strncmp(entry + size, "_FILE=", 6) == 0))
            return true;
    }
    return false;
}

static bool keep_environment(struct kept *kept, char *const *environment) {
    size_t count = 0;
    while (environment && environment[count]) count++;
    kept->environment = calloc(count + 1, sizeof *kept->environment);
    if (!kept->environment) return false;
    for (size_t i = 0, used = 0; i < count; i++) {
        if (strncmp(environment[i], "VELOCITY_", strlen("VELOCITY_")) != 0 || is_secret(environment[i])) continue;
        kept->environment[used] = strdup(environment[i]);
        if (!kept->environment[used++]) return false;
    }
    kept->request.environment = kept->environment;
    return true;
}

static bool keep_flags(struct kept *kept, const struct config_flag *flags, size_t count) {
    kept->flags = calloc(count + 1, sizeof *kept->flags);
    kept->flag_texts = calloc(2 * count + 1, sizeof *kept->flag_texts);
    if (!kept->flags || !kept->flag_texts) return false;
    for (size_t i = 0; i < count; i++) {
        char **texts = kept->flag_texts + 2 * i;
        texts[0] = strdup(flags[i].key);
        texts[1] = texts[0] ? strdup(flags[i].value) : NULL;
        if (!texts[1]) return false;
        kept->flags[i] = (struct config_flag){texts[0], texts[1], flags[i].option};
    }
    kept->request.flags = kept->flags;
    kept->request.flag_count = count;
    return true;
}

struct config_request *config_request_copy(const struct config_request *request) {
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept) return NULL;
    bool ok = keep_environment(kept, request->environment) && keep_flags(kept, request->flags, request->flag_count);
    if (ok && request->path) {
        kept->request.path = kept->path = strdup(request->path);
        ok = kept->path;
    }
    if (ok) return &kept->request;
    config_request_free(&kept->request);
    return NULL;
}

/* The texts up to a NULL, and the list. */
static void free_texts(char **texts) {
    for (char **text = texts; text && *text; text++) free(*text);
    free(texts);
}

void config_request_free(struct config_request *copy) {
    struct kept *kept = (struct kept *)copy;
    if (!kept) return;
    free(kept->path);
    free_texts(kept->environment);
    free_texts(kept->flag_texts);
    free(kept->flags);
    free(kept);
}

/* Notes what differs; next gets back what can't change. False: no memory. */
static bool mix(const struct config *current, struct config *next, struct config_changes *changes) {
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->flags & CONFIG_SECRET || config_same(current, next, key)) continue;
        if (key->flags & CONFIG_RELOADABLE) {
            changes->changed[changes->changed_count++] = i;
            continue;
        }
        changes->restart[changes->restart_count++] = i;
        if (!config_copy(next, current, key)) return false;
        next->origins[i] = current->origins[i];
        next->origins[i].restart_pending = true;
    }
    changes->users = !config_users_same(current, next);
    return true;
}

bool config_reload(const struct config *current, const struct config_request *request, struct config *next,
                   struct config_changes *changes, struct config_error *error) {
    memset(changes, 0, sizeof *changes);
    if (!config_load(request, next, error)) return false;
    bool mixed = mix(current, next, changes);
    if (mixed) {
        config_derive(next);
        if (config_check(next, error)) return true;
    } else {
        (void)config_fail(error, CONFIG_FILE, "no memory to read the configuration again");
    }
    config_free(next);
    return false;
}
