/*
 * json_reference.h - what RFC 8259 says, written down as directly as can be: a recursive descent of one function a
 * rule, to hold json.c against. Counts values and members, so that a walk by the reader can be compared too.
 */
#ifndef VELOCITY_TESTS_JSON_REFERENCE_H
#define VELOCITY_TESTS_JSON_REFERENCE_H

#include <ctype.h>
#include <string.h>

#include "server/json.h"

struct reference {
    const unsigned char *p, *end;
    unsigned depth;
    size_t values, members;
};

static bool reference_take(struct reference *r, const char *text) {
    size_t size = strlen(text);
    if ((size_t)(r->end - r->p) < size || memcmp(r->p, text, size) != 0) return false;
    r->p += size;
    return true;
}

static bool reference_in(struct reference *r, unsigned char low, unsigned char high) {
    if (r->p == r->end || *r->p < low || *r->p > high) return false;
    r->p++;
    return true;
}

static void reference_space(struct reference *r) {
    while (r->p < r->end && memchr(" \t\r\n", *r->p, 4)) r->p++;
}

static bool reference_digits(struct reference *r) {
    bool any = false;
    while (reference_in(r, '0', '9')) any = true;
    return any;
}

static bool reference_number(struct reference *r) {
    reference_take(r, "-");
    if (!reference_take(r, "0") && !(reference_in(r, '1', '9') && (reference_digits(r), true))) return false;
    if (reference_take(r, ".") && !reference_digits(r)) return false;
    if (reference_take(r, "e") || reference_take(r, "E")) {
        if (!reference_take(r, "+")) reference_take(r, "-");
        return reference_digits(r);
    }
    return true;
}

/* RFC 3629, section 4: the rules of UTF8-char but ASCII, in its words. */
static bool reference_utf8(struct reference *r) {
    static const unsigned char rules[][8] = {
        {0xC2, 0xDF, 0x80, 0xBF},
        {0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF},
        {0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF},
        {0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF},
        {0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const unsigned char *begin = r->p;
        size_t at = 0;
        while (at < 8 && rules[i][at] && reference_in(r, rules[i][at], rules[i][at + 1])) at += 2;
        if (at == 8 || !rules[i][at]) return true;
        r->p = begin;
    }
    return false;
}

static bool reference_string(struct reference *r) {
    if (!reference_take(r, "\"")) return false;
    while (!reference_take(r, "\"")) {
        if (r->p == r->end || *r->p < 0x20) return false;
        if (*r->p >= 0x80) {
            if (!reference_utf8(r)) return false;
        } else if (*r->p++ == '\\') {
            if (r->p == r->end || !memchr("\"\\/bfnrtu", *r->p, 9)) return false;
            if (*r->p++ != 'u') continue;
            for (int i = 0; i < 4; i++, r->p++)
                if (r->p == r->end || !isxdigit(*r->p)) return false;
        }
    }
    return true;
}

static bool reference_value(struct reference *r);

static bool reference_container(struct reference *r, bool object) {
    const char *close = object ? "}" : "]";
    if (++r->depth > JSON_MAX_DEPTH) return false;
    reference_space(r);
    if (!reference_take(r, close)) {
        do {
            if (object) {
                reference_space(r);
                if (!reference_string(r)) return false;
                reference_space(r);
                if (!reference_take(r, ":")) return false;
                r->members++;
            }
            if (!reference_value(r)) return false;
        } while (reference_take(r, ","));
        if (!reference_take(r, close)) return false;
    }
    r->depth--;
    return true;
}

static bool reference_value(struct reference *r) {
    bool ok;
    reference_space(r);
    if (r->p == r->end) return false;
    r->values++;
    if (reference_take(r, "{"))
        ok = reference_container(r, true);
    else if (reference_take(r, "["))
        ok = reference_container(r, false);
    else if (*r->p == '"')
        ok = reference_string(r);
    else
        ok =
            reference_take(r, "true") || reference_take(r, "false") || reference_take(r, "null") || reference_number(r);
    reference_space(r);
    return ok;
}

static bool reference_document(struct reference *r, velocity_slice document) {
    *r = (struct reference){.p = document.data, .end = (const unsigned char *)document.data + document.size};
    return reference_value(r) && r->p == r->end;
}

#endif
