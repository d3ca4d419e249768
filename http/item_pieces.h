/*
 * item_pieces.h - an ITEM with its value, written piece by piece: its text may be six times as long as the value.
 */
#ifndef VELOCITY_HTTP_ITEM_PIECES_H
#define VELOCITY_HTTP_ITEM_PIECES_H

#include "http/item.h"

enum item_form { ITEM_RAW, ITEM_TEXT, ITEM_BASE64 };

struct item_pieces {
    velocity_slice value;
    enum item_form form;
    size_t at; /* what of the value was written */
};

/* Writes what stands before the value, which must live until the last piece was written. */
void item_pieces_begin(struct item_pieces *pieces, const struct item *item, struct json_writer *w);
/* Writes on, some `bytes` of the value. True: that was the last one, and the object is complete. */
bool item_pieces_write(struct item_pieces *pieces, size_t bytes, struct json_writer *w);

#endif
