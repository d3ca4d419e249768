/* document.c - see document.h. */
#include "cli/document.h"
#include "server/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool document_member(struct json_value object, const char *name, struct json_value *out) {
    struct json_reader reader;
    struct json_member member;
    if (object.type != JSON_OBJECT) return false;
    for (json_read(&reader, object); json_next_member(&reader, &member);) {
        uint64_t seen = 0;
        if (json_field(&member, &name, 1, &seen) != 0) continue;
        *out = member.value;
        return true;
    }
    return false;
}

/* ---- text that is safe to show --------------------------------------------------------------------------------- */

void document_clean(char *text, size_t size) {
    unsigned char *p = (unsigned char *)text, *end = p + size;
    while (p < end) {
        size_t taken = utf8_sequence(p, end);
        if (taken == 0)
            *p++ = '?';
        else if (taken == 1 && (*p < 0x20 || *p == 0x7f))
            *p++ = ' ';
        else if (taken == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* the control characters of Latin-1 */
            p[0] = p[1] = ' ', p += 2;
        else
            p += taken;
    }
}

/* Appends a string's text, or (of other scalars) what stands there. */
static void append_text(struct json_writer *w, struct json_value value) {
    velocity_slice text = value.raw;
    size_t begin = w->size;
    char *buffer = NULL;
    if (value.type == JSON_STRING) {
        size_t needed = json_string_buffer_bytes(value);
        if (needed && !(buffer = malloc(needed))) {
            w->failed = true;
            return;
        }
        if (!json_string(value, buffer, &text)) text = velocity_str("?");
    }
    json_append(w, text.data, text.size);
    if (!w->failed && w->size > begin) document_clean(w->data + begin, w->size - begin);
    free(buffer);
}

char *document_line(struct json_value object, const char *name) {
    struct json_writer w = {0};
    struct json_value value;
    size_t size;
    if (!document_member(object, name, &value) || value.type != JSON_STRING) return NULL;
    append_text(&w, value);
    json_append(&w, "", 1);
    return json_writer_take(&w, &size);
}

void document_text(struct json_value object, const char *name, char *out, size_t size) {
    char *line = document_line(object, name);
    size_t used = line ? strnlen(line, size - 1) : 0;
    if (used) memcpy(out, line, used);
    out[used] = '\0';
    document_clean(out, used); /* the cut may go through a character */
    free(line);
}

/* ---- JSON that is safe to show -------------------------------------------------------------------------------- */

/* What a terminal may obey instead of showing it. In JSON such characters stand in strings alone, but for line ends. */
static bool is_control(unsigned char c, bool line) {
    if (c == '\n' || c == '\r') return line;
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool print_escaped(unsigned char c) {
    return c == '\n' || c == '\r' ? fputs(" ", stdout) != EOF : printf("\\u%04x", c) > 0;
}

/* A control character of Latin-1 is C2 and a byte below A0: they may come in two pieces. */
static bool print_latin(unsigned char second, size_t *taken) {
    *taken = second >= 0x80 && second < 0xa0;
    return *taken ? print_escaped(second) : putchar(0xc2) != EOF;
}

bool document_print(const char *bytes, size_t size, bool line, bool *held) {
    const unsigned char *p = (const unsigned char *)bytes, *end = p + size;
    bool good = true;
    while (good && p < end) {
        size_t run = 0;
        if (*held) {
            good = print_latin(*p, &run);
            *held = false;
            p += run;
            continue;
        }
        while (p + run < end && p[run] != 0xc2 && !is_control(p[run], line)) run++;
        good = fwrite(p, 1, run, stdout) == run;
        p += run;
        if (p == end) break;
        if (!(*held = *p == 0xc2)) good = good && print_escaped(*p);
        p++;
    }
    return good;
}

bool document_print_line(velocity_slice json) {
    bool held = false;
    return document_print(json.data, json.size, true, &held);
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

static void append(struct json_writer *w, const char *text) {
    json_append(w, text, strlen(text));
}

/* True: nothing stands there, as before. */
static bool append_items(struct json_writer *w, struct json_value list, const char *mark, bool empty) {
    struct json_reader reader;
    struct json_value item;
    for (json_read(&reader, list); json_next_element(&reader, &item); empty = false) {
        if (!empty) append(w, ",");
        append(w, mark);
        append_text(w, item);
    }
    return empty;
}

/* What is no UTF-8 stands beside it in base64url, under the name and "64". */
static void append_list(struct json_writer *w, struct json_value row, const char *member, struct json_value list) {
    struct json_value coded;
    char name[32];
    (void)snprintf(name, sizeof name, "%s64", member);
    bool empty = append_items(w, list, "", true);
    if (document_member(row, name, &coded) && coded.type == JSON_ARRAY) empty = append_items(w, coded, "64:", empty);
    if (empty) append(w, "-");
}

static void append_bytes(struct json_writer *w, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    char text[40];
    for (; size >= 1024 && unit < 4; unit++) size /= 1024;
    (void)snprintf(text, sizeof text, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    append(w, text);
}

/* The text of one cell, alone in the writer. */
static void write_cell(struct json_writer *w, struct json_value row, const struct document_column *column) {
    struct json_value value;
    uint64_t bytes;
    w->size = 0; /* a failure stays */
    if (!document_member(row, column->member, &value))
        append(w, "-");
    else if (value.type == JSON_NULL)
        append(w, column->kind == CELL_LIST ? "all" : "-");
    else if (column->kind == CELL_LIST && value.type == JSON_ARRAY)
        append_list(w, row, column->member, value);
    else if (column->kind == CELL_BYTES && json_u64(value, &bytes))
        append_bytes(w, bytes);
    else if (column->kind == CELL_ORIGIN)
        append(w, value.type == JSON_TRUE ? "configuration" : "data");
    else
        append_text(w, value);
}

/* Columns that it takes on a terminal: one a character. */
static size_t width_of(velocity_slice text) {
    const unsigned char *p = text.data;
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) width += (p[i] & 0xc0) != 0x80;
    return width;
}

static void print_cell(velocity_slice text, size_t width, bool last) {
    if (text.size) (void)fwrite(text.data, 1, text.size, stdout);
    if (last)
        putchar('\n');
    else
        printf("%*s", (int)(width + 2 - width_of(text)), "");
}

struct table {
    const struct document_column *columns;
    size_t count;
    size_t widths[16];
    struct json_writer cell;
};

static void measure(struct table *t, struct json_value row) {
    for (size_t i = 0; i < t->count; i++) {
        write_cell(&t->cell, row, &t->columns[i]);
        size_t width = width_of(velocity_bytes(t->cell.data, t->cell.size));
        if (width > t->widths[i]) t->widths[i] = width;
    }
}

static void print_row(struct table *t, struct json_value row) {
    for (size_t i = 0; i < t->count && !t->cell.failed; i++) {
        write_cell(&t->cell, row, &t->columns[i]);
        print_cell(velocity_bytes(t->cell.data, t->cell.size), t->widths[i], i + 1 == t->count);
    }
}

static void each_row(struct table *t, struct json_value table, void (*row)(struct table *, struct json_value)) {
    struct json_reader reader;
    struct json_value item;
    if (table.type != JSON_ARRAY)
        row(t, table);
    else
        for (json_read(&reader, table); json_next_element(&reader, &item);) row(t, item);
}

bool document_table(struct json_value table, const struct document_column *columns, size_t count) {
    struct table t = {.columns = columns, .count = count};
    for (size_t i = 0; i < count; i++) t.widths[i] = strlen(columns[i].title);
    each_row(&t, table, measure);
    for (size_t i = 0; i < count; i++) print_cell(velocity_str(columns[i].title), t.widths[i], i + 1 == count);
    each_row(&t, table, print_row);
    bool ok = !t.cell.failed;
    json_writer_free(&t.cell);
    return ok;
}
