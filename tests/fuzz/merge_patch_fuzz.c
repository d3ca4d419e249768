/*
 * merge_patch_fuzz.c - two documents with a NUL between them: what they merge into is JSON, no larger than both, no
 * deeper than the deeper one, and what the pseudocode of RFC 7396 says.
 */
#include "server/merge_patch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/server/merge_model.h"

#define MODEL_BYTES 2000 /* of an input that the model, which recurses and looks through lists, is asked about */

static void compare_with_model(struct json_value document, struct json_value patch, struct json_value result) {
    struct model *expected = model_merge(model_of(document), model_of(patch)), *actual = model_of(result);
    CHECK(model_equal(expected, actual));
    model_free(expected);
    model_free(actual);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    struct json_value document, patch, result;
    struct json_writer out = {0};
    if (!nul) return 0;
    size_t first = (size_t)(nul - data), second = size - first - 1;
    uint8_t *a = fuzz_buffer(first), *b = fuzz_buffer(second);
    memcpy(a, data, first);
    memcpy(b, nul + 1, second);
    if (json_parse(velocity_bytes(a, first), &document, NULL) && json_parse(velocity_bytes(b, second), &patch, NULL)) {
        CHECK(merge_patch(document, patch, size, &out) == MERGE_OK);
        CHECK(!out.failed && out.size <= document.raw.size + patch.raw.size);
        CHECK(json_parse(velocity_bytes(out.data, out.size), &result, NULL));
        if (size <= MODEL_BYTES) compare_with_model(document, patch, result);
    }
    json_writer_free(&out);
    free(a);
    free(b);
    return 0;
}
