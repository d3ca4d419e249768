/* encoding.c - see encoding.h. */
#include "http/encoding.h"

#include "http/headers.h"

#include <stdlib.h>
#include <zlib.h>

#define WORTH_BYTES  1400u /* less fits one packet as it is */
#define GZIP_LEVEL   1     /* lists are alike from line to line: higher levels gain little and cost much */
#define GZIP_WINDOW  (15 + 16)
#define GZIP_MEMORY  8
#define WHOLE_WEIGHT 1000 /* weights in thousandths */
#define UNSAID       (-1)

/* ---- what a client takes ---------------------------------------------------------------------------------------- */

/* The text up to the separator, without white space around it; *rest: what follows. */
static velocity_slice take_until(velocity_slice *rest, char separator) {
    velocity_slice all = *rest;
    const char *at = all.size ? memchr(all.data, separator, all.size) : NULL;
    size_t size = at ? (size_t)(at - (const char *)all.data) : all.size;
    *rest = at ? velocity_bytes(at + 1, all.size - size - 1) : velocity_bytes(NULL, 0);
    return header_trim(velocity_bytes(all.data, size));
}

/* "q=0.25": a digit and up to three behind the point, at most 1. Anything else is 0: not taken. */
static int parse_weight(velocity_slice parameter) {
    const char *p = parameter.data;
    if (parameter.size < 3 || parameter.size > 7 || (p[0] | 0x20) != 'q' || p[1] != '=') return 0;
    if ((p[2] != '0' && p[2] != '1') || (parameter.size > 3 && p[3] != '.')) return 0;
    int weight = (p[2] - '0') * WHOLE_WEIGHT, unit = WHOLE_WEIGHT;
    for (size_t i = 4; i < parameter.size; i++) {
        if (p[i] < '0' || p[i] > '9') return 0;
        unit /= 10;
        weight += (p[i] - '0') * unit;
    }
    return weight <= WHOLE_WEIGHT ? weight : 0;
}

enum encoding encoding_choose(velocity_slice accept_encoding) {
    int gzip = UNSAID, identity = UNSAID, others = UNSAID;
    while (accept_encoding.size) {
        velocity_slice element = take_until(&accept_encoding, ',');
        velocity_slice coding = take_until(&element, ';');
        int weight = element.data ? parse_weight(header_trim(element)) : WHOLE_WEIGHT;
        if (header_is(coding, "gzip") || header_is(coding, "x-gzip"))
            gzip = weight;
        else if (header_is(coding, "identity"))
            identity = weight;
        else if (header_is(coding, "*"))
            others = weight;
    }
    if (gzip == UNSAID) gzip = others;
    if (gzip <= 0) return ENCODING_IDENTITY;
    if (identity == 0 || (identity == UNSAID && others == 0)) return ENCODING_GZIP_ONLY;
    return gzip >= identity ? ENCODING_GZIP : ENCODING_IDENTITY;
}

/* ---- gzip (RFC 1952) --------------------------------------------------------------------------------------------- */

/* NULL: no memory, or more than `limit` bytes would come out. Without a time, so the same in gives the same out. */
static char *compress_all(const struct json_writer *in, size_t limit, size_t *size) {
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) return NULL;
    size_t room = deflateBound(&z, in->size);
    if (room > limit) room = limit;
    char *out = malloc(room);
    z.next_in = (Bytef *)in->data;
    z.avail_in = (uInt)in->size;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    bool good = out && in->size <= UINT32_MAX && room <= UINT32_MAX && deflate(&z, Z_FINISH) == Z_STREAM_END;
    *size = z.total_out;
    (void)deflateEnd(&z);
    if (!good) {
        free(out);
        return NULL;
    }
    /* It was as large as the text, and waits for its client as what it is. */
    char *shrunk = realloc(out, *size);
    return shrunk ? shrunk : out;
}

void encoding_apply(struct http_request *request) {
    struct json_writer *w = &request->writer;
    enum encoding encoding = encoding_choose(request->headers.accept_encoding);
    size_t size;
    request->negotiated = true;
    if (w->failed || w->size == 0 || encoding == ENCODING_IDENTITY) return;
    if (encoding == ENCODING_GZIP && w->size < WORTH_BYTES) return;
    char *out = compress_all(w, encoding == ENCODING_GZIP ? w->size : SIZE_MAX, &size);
    if (!out) return;
    json_writer_free(w);
    *w = (struct json_writer){.data = out, .size = size, .capacity = size};
    request->gzipped = true;
}
