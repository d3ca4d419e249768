/* document.h - what the pages in docs/ say, for tests that hold them and the program together. */
#ifndef VELOCITY_TESTS_HTTP_DOCUMENT_H
#define VELOCITY_TESTS_HTTP_DOCUMENT_H

#include "tests/server/cmocka_all.h"

#include <stdio.h>

#define DOCUMENT_MAX_BYTES ((size_t)1 << 16)

/* "docs/errors.md", which lies beside the tests' folder. Freed by the caller. */
static inline char *document_read(const char *name) {
    char path[4096];
    const char *tests = strstr(__FILE__, "tests/http/document.h");
    char *text = calloc(1, DOCUMENT_MAX_BYTES);
    assert_non_null(tests);
    assert_non_null(text);
    assert_in_range(snprintf(path, sizeof path, "%.*s%s", (int)(tests - __FILE__), __FILE__, name), 1, sizeof path - 1);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_in_range(fread(text, 1, DOCUMENT_MAX_BYTES, file), 1, DOCUMENT_MAX_BYTES - 1);
    (void)fclose(file);
    return text;
}

#endif
