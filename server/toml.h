/*
 * toml.h - reads a TOML document as a flat list of sections and values, in the order of the file's lines.
 *
 * The parser is toml++; toml.cpp is the only C++ of the project and lets no exception out.
 */
#ifndef VELOCITY_SERVER_TOML_H
#define VELOCITY_SERVER_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_type {
    TOML_TEXT,
    TOML_INTEGER,
    TOML_REAL,
    TOML_SWITCH,
    TOML_LIST,    /* of texts */
    TOML_SECTION, /* the header of a table; its values follow as entries of their own */
    TOML_OTHER,   /* a date, a mixed list, a table within a section: nothing that a setting can be */
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
    const char *section; /* "" at the top of the file */
    const char *key;     /* "" for TOML_SECTION */
    unsigned line;       /* from 1 */
    struct toml_value value;
};

/*
 * Calls visit for every entry until it answers false. False when visit did so, or when the text is not TOML: then *line
 * and error say where and why. *line is 0 where visit stopped it.
 */
bool toml_parse(const char *text, size_t size, bool (*visit)(void *arg, const struct toml_entry *entry), void *arg,
                unsigned *line, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
