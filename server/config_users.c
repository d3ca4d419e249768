/*
 * config_users.c - the users of the file, in either of two forms:
 *
 *     [users]                                   [users.bob]
 *     bob = "$argon2id$v=19$..."                password = "$argon2id$v=19$..."
 *                                               role = "read"
 *                                               databases = ["shop"]
 *                                               prefixes = ["user:"]
 *
 * Nothing of a password is ever told: who wrote it in plain would find it in a log.
 */
#include "server/auth.h"
#include "server/config_internal.h"
#include "server/databases.h"
#include "server/principal.h"

#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@"
#define DATABASE_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define HASH_START          "$argon2id$"

static const char *const roles[ROLE_COUNT] = {
    [ROLE_ADMIN] = "admin", [ROLE_WRITE] = "write", [ROLE_READ] = "read", [ROLE_MONITOR] = "monitor"};

const char *config_role_name(unsigned role) {
    return roles[role];
}

static bool is_name(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size <= AUTH_NAME_MAX && strspn(name, NAME_CHARACTERS) == size && !strchr("._-@", *name);
}

static bool is_database(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size <= DATABASE_NAME_MAX && strspn(name, DATABASE_CHARACTERS) == size && !strchr("_-", *name);
}

/* The user, new if it is not there. NULL with `why`. */
static struct config_user *user_of(struct config *config, const char *name, unsigned line, char *why, size_t why_size) {
    for (size_t i = config->user_count; i > 0; i--) /* mostly the one that was added last */
        if (strcmp(config->users[i - 1].name, name) == 0) return &config->users[i - 1];
    if (!is_name(name)) {
        (void)snprintf(why, why_size,
                       "users.%.64s: a name has up to %d letters, digits and \"._-@\", a letter or digit first", name,
                       AUTH_NAME_MAX);
        return NULL;
    }
    if (config->user_count == CONFIG_MAX_USERS) {
        (void)snprintf(why, why_size, "users: there are more than %d", CONFIG_MAX_USERS);
        return NULL;
    }
    struct config_user *users = realloc(config->users, (config->user_count + 1) * sizeof *users);
    if (users) config->users = users;
    char *copy = users ? strdup(name) : NULL;
    if (!copy) {
        (void)snprintf(why, why_size, "users.%s: no memory", name);
        return NULL;
    }
    users[config->user_count] =
        (struct config_user){.name = copy, .role = strcmp(name, "admin") == 0 ? ROLE_ADMIN : ROLE_WRITE, .line = line};
    return &users[config->user_count++];
}

static bool set_password(struct config_user *user, const struct toml_value *value, char *why, size_t why_size) {
    if (value->type != TOML_TEXT || strncmp(value->text, HASH_START, strlen(HASH_START)) != 0 ||
        strlen(value->text) >= PASSWORD_HASH_BYTES) {
        (void)snprintf(why, why_size, "users.%s: the password must be a hash of it, \"" HASH_START "...\"", user->name);
        return false;
    }
    user->password = strdup(value->text);
    if (!user->password) (void)snprintf(why, why_size, "users.%s: no memory", user->name);
    return user->password;
}

static bool set_role(struct config_user *user, const struct toml_value *value, char *why, size_t why_size) {
    for (unsigned role = 0; value->type == TOML_TEXT && role < ROLE_COUNT; role++) {
        if (strcmp(value->text, roles[role]) != 0) continue;
        user->role = role;
        return true;
    }
    (void)snprintf(why, why_size, "users.%s.role must be one of \"admin\", \"write\", \"read\", \"monitor\"",
                   user->name);
    return false;
}

/* An empty list looks like nowhere, and a scope without a list is everywhere: it must say which is meant. */
static bool is_list(const struct toml_value *value, size_t most) {
    return value->type == TOML_LIST && value->item_count > 0 && value->item_count <= most;
}

static bool set_databases(struct config_user *user, const struct toml_value *value, char *why, size_t why_size) {
    bool good = is_list(value, SCOPE_MAX_DATABASES);
    for (size_t i = 0; good && i < value->item_count; i++) good = is_database(value->items[i]);
    if (good && config_list_set(&user->databases, value->items, value->item_count)) return true;
    (void)snprintf(
        why, why_size,
        "users.%s.databases must be a list of 1 to %d names of databases (a-z, 0-9, _ and -); without it: all",
        user->name, SCOPE_MAX_DATABASES);
    return false;
}

static bool set_prefixes(struct config_user *user, const struct toml_value *value, char *why, size_t why_size) {
    if (is_list(value, SCOPE_MAX_PREFIXES) && config_list_set(&user->prefixes, value->items, value->item_count))
        return true;
    (void)snprintf(why, why_size, "users.%s.prefixes must be a list of 1 to %d beginnings of keys; without it: all",
                   user->name, SCOPE_MAX_PREFIXES);
    return false;
}

static const struct {
    const char *name;
    bool (*set)(struct config_user *user, const struct toml_value *value, char *why, size_t why_size);
} properties[] = {
    {"password", set_password}, {"role", set_role}, {"databases", set_databases}, {"prefixes", set_prefixes}};

bool config_users_entry(struct config *config, const struct toml_entry *entry, char *why, size_t why_size) {
    bool section = entry->value.type == TOML_SECTION;
    if (section && entry->depth == 1) return true;
    const char *name = entry->depth == 1 ? entry->key : entry->section + strlen("users.");
    struct config_user *user = user_of(config, name, entry->line, why, why_size);
    if (!user || section) return user;
    if (entry->depth == 1) return set_password(user, &entry->value, why, why_size);
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (strcmp(properties[i].name, entry->key) == 0) return properties[i].set(user, &entry->value, why, why_size);
    (void)snprintf(why, why_size, "unknown key users.%s.%.64s; there are password, role, databases, prefixes", name,
                   entry->key);
    return false;
}

static int compare_names(const void *a, const void *b) {
    const struct config_user *x = a, *y = b;
    return strcmp(x->name, y->name);
}

bool config_users_complete(struct config *config, unsigned *line, char *why, size_t why_size) {
    for (size_t i = 0; i < config->user_count; i++) {
        if (config->users[i].password) continue;
        *line = config->users[i].line;
        (void)snprintf(why, why_size, "users.%s has no password", config->users[i].name);
        return false;
    }
    if (config->user_count) qsort(config->users, config->user_count, sizeof *config->users, compare_names);
    return true;
}

bool config_users_same(const struct config *a, const struct config *b) {
    if (a->user_count != b->user_count) return false;
    for (size_t i = 0; i < a->user_count; i++) {
        const struct config_user *x = &a->users[i], *y = &b->users[i];
        if (strcmp(x->name, y->name) != 0 || strcmp(x->password, y->password) != 0 || x->role != y->role ||
            !config_list_same(&x->databases, &y->databases) || !config_list_same(&x->prefixes, &y->prefixes))
            return false;
    }
    return true;
}

void config_users_free(struct config *config) {
    for (size_t i = 0; i < config->user_count; i++) {
        struct config_user *user = &config->users[i];
        if (user->password) explicit_bzero(user->password, strlen(user->password));
        free(user->password);
        free(user->name);
        config_list_free(&user->databases);
        config_list_free(&user->prefixes);
    }
    free(config->users);
    config->users = NULL;
    config->user_count = 0;
}
