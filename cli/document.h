/*
 * document.h - reading what a server answers: members of JSON objects, as text that is safe to show, and tables.
 *
 * A server may be anyone's, and what it says may hold anything: nothing of it reaches the terminal as a control
 * character.
 */
#ifndef VELOCITY_CLI_DOCUMENT_H
#define VELOCITY_CLI_DOCUMENT_H

#include "server/json.h"

/* The first member of that name. False: there is none, or it is no object. */
bool document_member(struct json_value object, const char *name, struct json_value *out);

/* What a string member says, in one line; the caller frees it. NULL: it is none, or there is no memory. */
char *document_line(struct json_value object, const char *name);
/* The same, cut to size - 1 bytes; "" where it is none. */
void document_text(struct json_value object, const char *name, char *out, size_t size);
/* Makes text showable where it stands: control characters become spaces, what is not UTF-8 becomes "?". */
void document_clean(char *text, size_t size);

enum document_cell {
    CELL_TEXT,   /* a string, or a number as it stands */
    CELL_LIST,   /* an array of strings, with commas, and that of MEMBER64, each with "64:"; null: "all" */
    CELL_BYTES,  /* a number of bytes, with a unit; null: "-" */
    CELL_ORIGIN, /* true: "configuration", false: "data" */
};

struct document_column {
    const char *title, *member;
    enum document_cell kind;
};

/* Prints the rows, aligned, under the titles; `table` is an array of objects, or an object: the only row. False: no
 * memory. */
bool document_table(struct json_value table, const struct document_column *columns, size_t count);

/* JSON, or a piece of it, on standard output, but that control characters are escaped, so that a terminal shows what is
 * stored and does not obey it. `line`: in one line, line ends between its tokens become spaces. *held: false at first.
 * False: it can't be written to. */
bool document_print(const char *bytes, size_t size, bool line, bool *held);
bool document_print_line(velocity_slice json);

#endif
