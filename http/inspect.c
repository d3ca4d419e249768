/*
 * inspect.c - see inspect.h.
 *
 * libmicrohttpd 0.9.75 takes the first of two Content-Length fields, lets Transfer-Encoding win over Content-Length,
 * reads until the connection ends under a Transfer-Encoding that it does not know, and takes a name with white space
 * before its colon for another name. A proxy in front may see it otherwise: request smuggling (RFC 9112, section 11.2).
 * It lets a NUL hide the rest of a value, and keeps a bare CR in it (RFC 9110, section 5.5: dangerous).
 * So all of these are refused here, and the connection is closed. Folded lines, NULs and bare CRs and LFs it hides;
 * they show by where names and values lie in its memory. 1.0 refuses those itself, and lays its memory out in another
 * way.
 */
#include "http/inspect.h"

#include "http/headers.h"

#include <strings.h>

#define FIELD_SPACE_MAX 256 /* white space between a colon and its value */

static const bool layout_tells = MHD_VERSION < 0x01000000;

static void wrong(struct request_headers *h, enum problem_code code, bool framing, const char *reason) {
    if (h->wrong && (h->framing || !framing)) return;
    h->wrong = true;
    h->framing = framing;
    h->code = code;
    h->reason = reason;
}

/* A field that may stand there once. */
static void once(struct request_headers *h, velocity_slice *field, velocity_slice value, const char *reason) {
    if (field->data) wrong(h, PROBLEM_INVALID_HEADER, false, reason);
    *field = value;
}

/* A field whose lines are one list. */
static void listed(struct request_headers *h, velocity_slice *field, velocity_slice value) {
    if (!field->data) {
        *field = value;
        return;
    }
    char *joined = scratch_alloc(h->scratch, field->size + value.size + 2);
    if (!joined) {
        wrong(h, PROBLEM_INTERNAL, false, "no memory");
        return;
    }
    memcpy(joined, field->data, field->size);
    memcpy(joined + field->size, ", ", 2);
    if (value.size) memcpy(joined + field->size + 2, value.data, value.size);
    *field = velocity_bytes(joined, field->size + value.size + 2);
}

static void content_length(struct request_headers *h, velocity_slice value) {
    if (h->has_content_length) wrong(h, PROBLEM_INVALID_HEADER, true, "Content-Length is given twice");
    h->has_content_length = true;
    if (!content_length_parse(value, &h->content_length))
        wrong(h, PROBLEM_INVALID_HEADER, true, "Content-Length is not a number");
}

static void transfer_encoding(struct request_headers *h, velocity_slice value) {
    if (h->chunked) wrong(h, PROBLEM_INVALID_HEADER, true, "Transfer-Encoding is given twice");
    /* As libmicrohttpd compares it: no white space, no further codings. */
    if (value.size != 7 || strncasecmp(value.data, "chunked", 7) != 0)
        wrong(h, PROBLEM_INVALID_HEADER, true, "Transfer-Encoding is other than chunked");
    h->chunked = true;
}

#define IS(expected) (strncasecmp(name, expected, sizeof(expected) - 1) == 0)

/*
 * libmicrohttpd joins a folded line (RFC 9112, section 5.2: obsolete, to be refused) to the name before it, in memory
 * taken elsewhere: "Content-Length: 4\r\n 0" becomes a field called "Content-Length0". In an honest field the value
 * stands right behind its name, a NUL in the colon's place and white space.
 */
static bool is_folded(const char *name, size_t name_size, const char *text) {
    const char *p = name + name_size + 1;
    if ((uintptr_t)text < (uintptr_t)p || (uintptr_t)text - (uintptr_t)p > FIELD_SPACE_MAX) return true;
    while (p < text && (*p == ' ' || *p == '\t')) p++;
    return p != text;
}

/* tchar of RFC 9110, section 5.6.2. */
static bool is_token(const char *name, size_t size) {
    static const bool other[128] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1};
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        bool alphanumeric = (unsigned)((c | 32) - 'a') < 26 || (unsigned)(c - '0') < 10;
        if (!alphanumeric && (c > 127 || !other[c])) return false;
    }
    return size > 0;
}

/*
 * libmicrohttpd turns the CR LF behind a line into two NULs. A value that holds a NUL ends before its line, so the next
 * name stands further away. A line ":..." ends the header section for libmicrohttpd (its name, cut at the colon, is
 * empty), and what follows is the next request; then no empty line stands behind the last value. Lines that end with LF
 * alone could not be told from these, and are refused with them.
 */
static bool line_ends(const char *end) {
    return end[0] == 0 && end[1] == 0;
}

static enum MHD_Result field(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *text,
                             size_t text_size) {
    struct request_headers *h = arg;
    (void)kind;
    velocity_slice value = velocity_bytes(text, text_size);
    if (!is_token(name, name_size)) {
        wrong(h, PROBLEM_INVALID_HEADER, true, "a header field's name holds white space or other bytes that none may");
        return MHD_YES;
    }
    if (!text || (layout_tells && is_folded(name, name_size, text))) {
        wrong(h, PROBLEM_INVALID_HEADER, true, "a header field is folded over two lines");
        return MHD_YES;
    }
    bool apart = layout_tells && h->last_end && (name != h->last_end + 2 || !line_ends(h->last_end));
    if (apart || memchr(text, '\r', text_size) || memchr(text, 0, text_size))
        wrong(h, PROBLEM_INVALID_HEADER, true,
              "a header field's value holds a NUL or a CR, or its line does not end with CR LF");
    h->last_end = text + text_size;
    switch (name_size) {
    case 3:
        if (IS("Via")) h->forwarded = true;
        break;
    case 4:
        if (IS("Host")) once(h, &h->host, value, "Host is given twice");
        break;
    case 5:
        if (IS("Range")) once(h, &h->range, value, "Range is given twice");
        break;
    case 6:
        if (IS("Expect")) once(h, &h->expect, value, "Expect is given twice");
        if (IS("Origin")) once(h, &h->origin, value, "Origin is given twice");
        if (IS("Cookie")) once(h, &h->cookie, value, "Cookie is given twice");
        break;
    case 8:
        if (IS("If-Match")) listed(h, &h->if_match, value);
        if (IS("If-Range")) once(h, &h->if_range, value, "If-Range is given twice");
        break;
    case 9:
        if (IS("Forwarded")) {
            h->forwarded = true;
            listed(h, &h->forwarded_field, value);
        }
        break;
    case 12:
        if (IS("Content-Type")) once(h, &h->content_type, value, "Content-Type is given twice");
        if (IS("X-Request-Id")) h->request_id = value;
        break;
    case 13:
        if (IS("If-None-Match")) listed(h, &h->if_none_match, value);
        if (IS("Content-Range")) once(h, &h->content_range, value, "Content-Range is given twice");
        if (IS("Last-Event-ID")) once(h, &h->last_event_id, value, "Last-Event-ID is given twice");
        if (IS("Authorization")) once(h, &h->authorization, value, "Authorization is given twice");
        if (IS("Velocity-CSRF")) once(h, &h->csrf, value, "Velocity-CSRF is given twice");
        break;
    case 14:
        if (IS("Content-Length")) content_length(h, value);
        if (IS("Sec-Fetch-Site")) once(h, &h->fetch_site, value, "Sec-Fetch-Site is given twice");
        break;
    case 15:
        if (IS("Accept-Encoding")) listed(h, &h->accept_encoding, value);
        if (IS("X-Forwarded-For")) listed(h, &h->forwarded_for, value);
        break;
    case 16:
        if (IS("Content-Encoding")) listed(h, &h->content_encoding, value);
        break;
    case 17:
        if (IS("X-Forwarded-Proto")) once(h, &h->forwarded_proto, value, "X-Forwarded-Proto is given twice");
        if (IS("Transfer-Encoding")) transfer_encoding(h, value);
        break;
    case 20:
        if (IS("Velocity-Transaction")) once(h, &h->transaction, value, "Velocity-Transaction is given twice");
        break;
    case 29:
        if (IS("Access-Control-Request-Method"))
            once(h, &h->request_method, value, "Access-Control-Request-Method is given twice");
        break;
    default: break;
    }
    if (name_size > 12 && IS("X-Forwarded-")) h->forwarded = true;
    return MHD_YES;
}

void headers_inspect(struct MHD_Connection *mhd, bool http_1_0, struct scratch *scratch, struct request_headers *out) {
    memset(out, 0, sizeof *out);
    out->scratch = scratch;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, field, out);
    /* Behind the last value come its line's end and the empty line; the memory goes on there in any case. */
    if (layout_tells && out->last_end && !out->wrong && !(line_ends(out->last_end) && line_ends(out->last_end + 2)))
        wrong(out, PROBLEM_INVALID_HEADER, true, "a header field has no name, or a line does not end with CR LF");
    if (out->chunked && out->has_content_length)
        wrong(out, PROBLEM_INVALID_HEADER, true, "Content-Length and Transfer-Encoding exclude each other");
    if (out->chunked && http_1_0) wrong(out, PROBLEM_INVALID_HEADER, true, "HTTP/1.0 knows no Transfer-Encoding");
}
