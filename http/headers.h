/*
 * headers.h - the values of those header fields that the front judges itself (RFC 9110). Slices are field values
 * without their line end; white space around them is passed over. No allocation, thread-safe.
 */
#ifndef VELOCITY_HTTP_HEADERS_H
#define VELOCITY_HTTP_HEADERS_H

#include "engine/velocity.h"

/* ---- entity tags: a key's version in quotes ------------------------------------------------------------------- */

#define ETAG_BYTES 22 /* two quotes and a u64 */

/* Writes "<version>" with its quotes, without a NUL, and returns how many bytes. */
size_t etag_format(uint64_t version, char out[ETAG_BYTES]);

/* A parsed If-Match or If-None-Match. It borrows the field value. */
struct etag_condition {
    bool any;            /* "*" */
    uint32_t count;      /* tags in the list; 0 with `any` */
    velocity_slice list; /* the list, well-formed */
};

struct etag {
    bool weak;        /* W/"..." */
    bool ours;        /* a decimal u64 between the quotes; a foreign tag is well-formed but matches nothing */
    uint64_t version; /* if ours */
};

/* False: malformed, which is a 400. Several lines of the same field are one list, joined by commas. */
bool etag_condition_parse(velocity_slice value, struct etag_condition *out);
/* Takes the next tag off c->list. False: no more. */
bool etag_next(struct etag_condition *c, struct etag *out);

/* Does the condition hold for a key at `version` (0: absent)? If-Match compares strongly, so weak tags never match. */
bool etag_if_match(const struct etag_condition *c, uint64_t version);
/* If-None-Match compares weakly. False: 304 for GET and HEAD, 412 for the others. */
bool etag_if_none_match(const struct etag_condition *c, uint64_t version);
/* True where If-Match names exactly one strong tag of ours: then the write can carry it as its requirement. */
bool etag_single_version(const struct etag_condition *c, uint64_t *version);

/* ---- media types ----------------------------------------------------------------------------------------------- */

#define MEDIA_TYPE_MAX_BYTES 255

/* Bits 0-7 of a value's flags. */
enum value_type { VALUE_OCTET_STREAM = 0, VALUE_JSON = 1, VALUE_TEXT = 2, VALUE_OTHER = 255 };

/*
 * What a Content-Type says. `type` is VALUE_OTHER, with the name to be kept, unless the field is byte for byte what
 * value_type_name() gives back; `json` is true for application/json however spelled and with whatever parameters.
 */
struct media_type {
    enum value_type type;
    bool json;
    velocity_slice name; /* the field value without white space around it, at most MEDIA_TYPE_MAX_BYTES */
};

/* False: not of the form type/subtype *( OWS ";" OWS name=value ), too long, or not UTF-8, which is all that JSON can
 * show of it and an import could bring back. */
bool media_type_parse(velocity_slice value, struct media_type *out);
/* Is the body of this Content-Type (data NULL: none was given) of the type `name`, spelled however, and text in UTF-8?
 * It may have parameters, and a charset other than utf-8 makes it another one. */
bool media_type_is(velocity_slice value, const char *name);
/* "application/octet-stream", "application/json", "text/plain; charset=utf-8"; NULL for VALUE_OTHER and numbers
 * unknown. */
const char *value_type_name(uint32_t type);

/* ---- Host ------------------------------------------------------------------------------------------------------- */

struct host {
    velocity_slice name; /* without the port; an IPv6 address without its brackets; without a name's trailing dot */
    bool ipv6;           /* it stood in brackets */
    bool has_port;
    uint16_t port; /* if has_port */
};

/* False: malformed or empty. The name is a registered name, an IPv4 address, or an IPv6 address in brackets. */
bool host_parse(velocity_slice value, struct host *out);
/*
 * localhost, 127.0.0.0/8 as four plain decimal numbers, [::1] in any spelling; any port. Names below localhost are not:
 * a resolver may be made to send them elsewhere, and who wants one can allow it by name.
 */
bool host_is_loopback(const struct host *h);
/* Is it this name, upper and lower case alike, whatever the port? `allowed` is a name without port or brackets. */
bool host_is(const struct host *h, const char *allowed);

/* ---- others ----------------------------------------------------------------------------------------------------- */

/* 1*DIGIT and nothing else, as u64; leading zeros are allowed, overflow is not. */
bool content_length_parse(velocity_slice value, uint64_t *out);
/* Equal but for ASCII case. */
bool header_is(velocity_slice value, const char *expected);
/* Without spaces and tabs at both ends. */
velocity_slice header_trim(velocity_slice value);

#endif
