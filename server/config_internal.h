/*
 * config_internal.h - what the files of the configuration share and nobody else sees.
 */
#ifndef VELOCITY_SERVER_CONFIG_INTERNAL_H
#define VELOCITY_SERVER_CONFIG_INTERNAL_H

#include "server/config.h"
#include "server/toml.h"

#define CONFIG_REDACTED "(redacted)"

/* Fills the error, and answers false. */
__attribute__((format(printf, 3, 4))) bool config_fail(struct config_error *error, enum config_source source,
                                                       const char *format, ...);

/* config_check.c: derives what follows from other settings, and checks the whole. */
void config_derive(struct config *config);
bool config_check(const struct config *config, struct config_error *error);

/* config_value.c */
static inline const void *config_field(const struct config *config, const struct config_key *key) {
    return (const char *)config + key->offset;
}
bool config_same(const struct config *a, const struct config *b, const struct config_key *key);
/* False: no memory, and `to` is as it was. */
bool config_copy(struct config *to, const struct config *from, const struct config_key *key);
/* The name of the value that a choice has. */
const char *config_choice_name(const struct config *config, const struct config_key *key);
/* A choice as it stands in a file: true and false are no texts. */
bool config_choice_is_switch(const char *name);
bool config_list_same(const struct config_list *a, const struct config_list *b);
bool config_list_set(struct config_list *list, const char *const *items, size_t count);
void config_list_free(struct config_list *list);

/* config_users.c: an entry of [users] or [users.<name>]. False: `why` says, but for the place, what is wrong. */
bool config_users_entry(struct config *config, const struct toml_entry *entry, char *why, size_t why_size);
/* Once the file was read: every user has a password; sorts them. False: *line says where. */
bool config_users_complete(struct config *config, unsigned *line, char *why, size_t why_size);
bool config_users_same(const struct config *a, const struct config *b);
void config_users_free(struct config *config);
const char *config_role_name(unsigned role);

#endif
