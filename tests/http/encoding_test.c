/* encoding_test.c - whether a client takes gzip, and what it then costs. */
#include "tests/server/cmocka_all.h"

#include "http/encoding.h"

#include <malloc.h>

static void expect(const char *value, enum encoding expected) {
    char *copy = exact_copy(velocity_str(value));
    enum encoding actual = encoding_choose(velocity_bytes(copy, strlen(value)));
    free(copy);
    if (actual != expected) fail_msg("\"%s\": %d, not %d", value, (int)actual, (int)expected);
}

static void gzip_is_chosen_where_it_is_taken_and_not_liked_less(void **state) {
    static const char *const values[] = {"gzip",
                                         "GZip",
                                         "x-gzip",
                                         "deflate, gzip, br",
                                         "gzip;q=0.001",
                                         "gzip ; Q=1.000",
                                         "*",
                                         "identity;q=0.5, *;q=0.6",
                                         "gzip;q=0.5,identity;q=0.5",
                                         ",gzip,,",
                                         "br, *;q=0.1"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) expect(values[i], ENCODING_GZIP);
}

static void what_does_not_take_it_gets_the_body_as_it_is(void **state) {
    static const char *const values[] = {"",
                                         "identity",
                                         "br",
                                         "gzip;q=0",
                                         "gzip;q=0.000",
                                         "gzip;q=0, *",
                                         "gzip;q=0.5, identity",
                                         "gzipp",
                                         "gzip;q=2",
                                         "gzip;q=1.5",
                                         "gzip;q=0.1234",
                                         "gzip;q=",
                                         "gzip;x=1",
                                         "*;q=0",
                                         "gzip;q=-1",
                                         "gzip;q=0,5",
                                         "br;q=1.0, identity;q=0.1",
                                         "identity;q=0"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) expect(values[i], ENCODING_IDENTITY);
    assert_int_equal(encoding_choose(velocity_bytes(NULL, 0)), ENCODING_IDENTITY);
}

static void who_refuses_the_body_as_it_is_gets_gzip_whatever_its_size(void **state) {
    static const char *const values[] = {"gzip, identity;q=0", "identity;q=0, *", "gzip;q=0.1, *;q=0",
                                         "identity;q=0.0,gzip"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) expect(values[i], ENCODING_GZIP_ONLY);
}

/* A reply waits for its client, however slow that is. */
static void what_is_gzip_holds_the_memory_of_its_size(void **state) {
    struct http_request *request = calloc(1, sizeof *request);
    struct json_writer *w = &request->writer;
    (void)state;
    for (int i = 0; i < 100000; i++) json_append(w, "the same again", 14);
    request->headers.accept_encoding = velocity_str("gzip");
    encoding_apply(request);
    assert_true(request->gzipped && w->size < 20000);
    assert_true(malloc_usable_size(w->data) < w->size + 8192); /* a page more at most, and the allocator's own */
    json_writer_free(w);
    free(request);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_is_chosen_where_it_is_taken_and_not_liked_less),
        cmocka_unit_test(what_does_not_take_it_gets_the_body_as_it_is),
        cmocka_unit_test(who_refuses_the_body_as_it_is_gets_gzip_whatever_its_size),
        cmocka_unit_test(what_is_gzip_holds_the_memory_of_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
