/*
 * toml.h - reads a TOML document as a flat list of sections and values, in the order of the file's lines.
 *
 *     [addons.service]          section "addons" (if nothing named it before), section "addons.service"
 *     watch_config = true       section "addons.service", key "watch_config"
 *     tls.enabled = true        what is within: section "addons.service.tls", key "enabled"
 *
 * The parser is toml++; toml.cpp is the only C++ of the project and lets no exception out. Nesting is bounded before
 * the parser sees the text: it, and the destructors of what it makes, recurse.
 */
#ifndef VELOCITY_SERVER_TOML_H
#define VELOCITY_SERVER_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TOML_MAX_BRACKETS 16 /* open at once: arrays, inline tables */
#define TOML_MAX_NAMES    16 /* in one dotted name: "a.b.c" has three */

enum toml_type {
    TOML_TEXT,
    TOML_INTEGER,
    TOML_REAL,
    TOML_SWITCH,
    TOML_LIST,    /* of texts */
    TOML_SECTION, /* a table begins; its values follow as entries of their own */
    TOML_OTHER,   /* a date, a mixed list, a list of tables: nothing that a setting can be */
};

struct toml_value {
    enum toml_type type;
    const char *text; /* TOML_TEXT; without NULs inside */
    int64_t integer;
    double real;
    bool on;
    const char *const *items; /* TOML_LIST */
    size_t item_count;
};

/* Lives during the visit only. */
struct toml_entry {
    const char *section; /* its names with dots between them; "" at the top of the file */
    unsigned depth;      /* how many names that are: [a."b.c"] is two */
    const char *key;     /* "" for TOML_SECTION */
    unsigned line;       /* from 1 */
    struct toml_value value;
};

/*
 * Calls visit for every entry until it answers false. False when visit did so, or when the text is not TOML or nested
 * beyond the limits: then *line and error say where and why. *line is 0 where visit stopped it.
 */
bool toml_parse(const char *text, size_t size, bool (*visit)(void *arg, const struct toml_entry *entry), void *arg,
                unsigned *line, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
