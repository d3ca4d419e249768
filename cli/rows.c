/* rows.c - see rows.h: what the sources share. */
#include "cli/rows.h"

#include <math.h>

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
