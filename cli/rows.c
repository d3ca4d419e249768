/* rows.c - see rows.h: what the sources share. */
#include "cli/rows.h"

#include <math.h>
#include <string.h>
#include <strings.h>

const char *rows_format_of(const char *name) {
    static const struct {
        const char *ending, *format;
    } endings[] = {
        {".csv", "csv"}, {".db", "sqlite"}, {".sqlite", "sqlite"}, {".sqlite3", "sqlite"}, {".rdb", "redis"}};
    if (!name) return "ndjson";
    if (strncmp(name, "redis://", strlen("redis://")) == 0) return "redis";
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i].ending);
        if (size > ending && strcasecmp(name + size - ending, endings[i].ending) == 0) return endings[i].format;
    }
    return "ndjson";
}

const char *rows_type_of(velocity_slice value) {
    return utf8_valid(value) ? ROWS_TYPE_TEXT : ROWS_TYPE_BYTES;
}

void rows_write_number(struct json_writer *w, double number) {
    if (isfinite(number))
        json_write_double(w, number);
    else
        json_write_string(w, velocity_str(isnan(number) ? "nan" : number > 0 ? "inf" : "-inf"));
}

void rows_write_text(struct json_writer *w, velocity_slice text) {
    if (utf8_valid(text)) {
        json_write_string(w, text);
        return;
    }
    json_begin_object(w);
    json_name(w, "base64");
    json_write_base64(w, text);
    json_end_object(w);
}
