/* item_pieces.c - see item_pieces.h. */
#include "http/item_pieces.h"

static enum item_form form_of(const struct item *item) {
    if (item_is_inline(item)) return ITEM_RAW;
    return utf8_valid(item->value) ? ITEM_TEXT : ITEM_BASE64;
}

void item_pieces_begin(struct item_pieces *pieces, const struct item *item, struct json_writer *w) {
    static const char *const names[] = {[ITEM_RAW] = "value", [ITEM_TEXT] = "text", [ITEM_BASE64] = "base64"};
    *pieces = (struct item_pieces){.value = item->value, .form = form_of(item)};
    item_begin(w, item);
    json_name(w, names[pieces->form]);
    if (pieces->form != ITEM_RAW) json_begin_string(w);
}

/* No sequence of UTF-8 and no group of base64 is torn. */
static size_t piece_size(const struct item_pieces *pieces, size_t bytes) {
    const unsigned char *p = pieces->value.data;
    size_t left = pieces->value.size - pieces->at;
    if (bytes >= left) return left;
    if (pieces->form == ITEM_BASE64) return bytes / 3 * 3;
    while (pieces->form == ITEM_TEXT && bytes && (p[pieces->at + bytes] & 0xC0) == 0x80) bytes--;
    return bytes;
}

bool item_pieces_write(struct item_pieces *pieces, size_t bytes, struct json_writer *w) {
    size_t size = piece_size(pieces, bytes < 16 ? 16 : bytes);
    velocity_slice piece = velocity_bytes((const char *)pieces->value.data + pieces->at, size);
    switch (pieces->form) {
    case ITEM_RAW: json_append(w, piece.data, piece.size); break;
    case ITEM_TEXT: json_append_string(w, piece); break;
    case ITEM_BASE64: json_append_base64(w, piece); break;
    }
    pieces->at += size;
    if (pieces->at < pieces->value.size) return false;
    if (pieces->form != ITEM_RAW) json_end_string(w);
    json_end_object(w);
    return true;
}
