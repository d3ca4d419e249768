/*
 * json_fuzz.c - any bytes: scanner and grammar agree; a walk meets what the grammar counts; strings survive the writer;
 * a reader over what was not accepted stays within it.
 */
#include "server/json.h"
#include "server/json_write.h"
#include "tests/fuzz/fuzz.h"
#include "tests/server/json_reference.h"

static void check_string(struct json_value v) {
    char *buffer = fuzz_buffer(json_string_buffer_bytes(v)), *again = NULL;
    struct json_writer w = {0};
    struct json_value written;
    velocity_slice bytes, back;
    if (json_string(v, buffer, &bytes)) {
        CHECK(bytes.size <= v.raw.size - 2);
        CHECK(utf8_valid(bytes));
        json_write_string(&w, bytes);
        CHECK(!w.failed && json_parse(velocity_bytes(w.data, w.size), &written, NULL));
        again = fuzz_buffer(json_string_buffer_bytes(written));
        CHECK(json_string(written, again, &back) && slice_equal(bytes, back));
    }
    json_writer_free(&w);
    free(again);
    free(buffer);
}

static void check_number(struct json_value v) {
    char *text = fuzz_buffer(v.raw.size + 1), digits[32];
    int64_t i;
    uint64_t u;
    memcpy(text, v.raw.data, v.raw.size);
    text[v.raw.size] = 0;
    if (json_i64(v, &i)) {
        snprintf(digits, sizeof digits, "%lld", (long long)i);
        CHECK(strcmp(digits, text) == 0 || strcmp(text, "-0") == 0);
    }
    if (json_u64(v, &u)) {
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)u);
        CHECK(strcmp(digits, text) == 0);
    }
    free(text);
}

static void walk(struct json_value v, velocity_slice within, size_t *values, size_t *members) {
    struct json_reader r;
    struct json_value element;
    struct json_member member;
    ++*values;
    CHECK(fuzz_within(v.raw, within) && json_valid(v.raw, NULL));
    if (v.type == JSON_STRING) check_string(v);
    if (v.type == JSON_NUMBER) check_number(v);
    json_read(&r, v);
    if (v.type == JSON_OBJECT) {
        while (json_next_member(&r, &member)) {
            ++*members;
            CHECK(fuzz_within(member.name, v.raw));
            walk(member.value, v.raw, values, members);
        }
    } else {
        while (json_next_element(&r, &element)) walk(element, v.raw, values, members);
    }
}

/* The reader on bytes that nobody checked: what comes out lies within, and it comes to an end. */
static void read_unchecked(velocity_slice document) {
    for (enum json_type type = JSON_ARRAY; type <= JSON_OBJECT; type++) {
        struct json_value v = {type, document}, element;
        struct json_member member;
        struct json_reader r;
        size_t steps = 0;
        for (json_read(&r, v); json_next_element(&r, &element); steps++) {
            char *buffer = fuzz_buffer(json_string_buffer_bytes(element));
            velocity_slice bytes;
            CHECK(fuzz_within(element.raw, document));
            json_string(element, buffer, &bytes);
            free(buffer);
        }
        for (json_read(&r, v); json_next_member(&r, &member); steps++)
            CHECK(fuzz_within(member.name, document) && fuzz_within(member.value.raw, document));
        CHECK(steps <= 2 * document.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    velocity_slice document = velocity_bytes(data, size);
    struct json_error e = {SIZE_MAX, NULL}, before;
    struct json_value root;
    struct reference reference;
    bool accepted = json_parse(document, &root, &e);
    CHECK(accepted == reference_document(&reference, document));
    if (accepted) {
        size_t values = 0, members = 0;
        /* Each level validates what is in it again: a deep input would take for ever. */
        if (size > 2000) return 0;
        walk(root, document, &values, &members);
        CHECK(values == reference.values && members == reference.members);
    } else {
        CHECK(e.reason && e.offset <= size);
        /* The bytes before the offset are not at fault: alone they are JSON, or only too short. */
        CHECK(json_valid(velocity_bytes(data, e.offset), &before) || before.offset == e.offset);
        read_unchecked(document);
    }
    return 0;
}
