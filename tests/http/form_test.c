/* form_test.c - what a form takes, what it refuses and with which words, and that it leaves no secret behind. */
#include "tests/server/cmocka_all.h"

#include "http/form.h"

#include <cjson/cJSON.h>
#include <malloc.h>

enum { NAME, SIZE, YES, LIST, MEMBERS };
static const char *const names[MEMBERS] = {"name", "size", "yes", "list"};

struct fixture {
    struct scratch scratch;
    struct form form;
    char *body;
};

static void begin(struct fixture *f, velocity_slice body) {
    f->body = exact_copy(body);
    scratch_init(&f->scratch, NULL, 0);
    form_parse(&f->form, velocity_bytes(f->body, body.size), &f->scratch, names, MEMBERS);
}

static void end(struct fixture *f) {
    form_free(&f->form);
    scratch_reset(&f->scratch);
    free(f->body);
}

static void assert_refused(velocity_slice body, enum problem_code code, const char *reason) {
    struct fixture f;
    begin(&f, body);
    assert_true(f.form.failed);
    assert_int_equal(f.form.code, code);
    assert_string_equal(f.form.reason, reason);
    end(&f);
}

static void members_are_read_by_their_type(void **state) {
    struct fixture f;
    int64_t size = 0;
    bool yes = false;
    size_t count;
    (void)state;
    begin(&f, LITERAL(" {\"yes\":true, \"name\":\"\\u00e4\\\\u0000\",\"size\":-42,\"list\":[\"a\",\"\"]}\r\n"));
    assert_string_equal(form_text(&f.form, NAME, FORM_REQUIRED, 1, 20), "\xC3\xA4\\u0000");
    assert_true(form_i64(&f.form, SIZE, FORM_REQUIRED, -100, 100, &size));
    assert_int_equal(size, -42);
    assert_true(form_bool(&f.form, YES, FORM_REQUIRED, &yes));
    assert_true(yes);
    const char *const *list = form_texts(&f.form, LIST, FORM_REQUIRED, 2, 1, &count);
    assert_int_equal(count, 2);
    assert_string_equal(list[0], "a");
    assert_string_equal(list[1], "");
    assert_false(f.form.failed);
    end(&f);
}

static void absent_and_null_can_be_told_apart(void **state) {
    struct fixture f;
    int64_t size = 7;
    (void)state;
    begin(&f, LITERAL("{\"size\":null}"));
    assert_null(form_text(&f.form, NAME, FORM_OPTIONAL, 1, 20));
    assert_false(form_i64(&f.form, SIZE, FORM_NULLABLE, 0, 9, &size));
    assert_int_equal(size, 7);
    assert_true(form_has(&f.form, SIZE) && form_is_null(&f.form, SIZE));
    assert_false(form_has(&f.form, NAME) || form_is_null(&f.form, NAME));
    assert_false(f.form.failed);
    assert_false(form_i64(&f.form, SIZE, FORM_OPTIONAL, 0, 9, &size));
    assert_string_equal(f.form.reason, "\"size\" can't be null");
    end(&f);
}

static void a_body_that_is_no_object_of_known_members_is_refused(void **state) {
    (void)state;
    assert_refused(LITERAL(""), PROBLEM_INVALID_JSON, "the document ends too early");
    assert_refused(LITERAL("[]"), PROBLEM_INVALID_BODY, "the body is an object");
    assert_refused(LITERAL("null"), PROBLEM_INVALID_BODY, "the body is an object");
    assert_refused(LITERAL("{\"Name\":\"a\"}"), PROBLEM_INVALID_BODY, "\"Name\" is not known here");
    assert_refused(LITERAL("{\"name\":\"a\",\"name\":\"b\"}"), PROBLEM_INVALID_BODY, "\"name\" is given twice");
    assert_refused(LITERAL("{\"name\":\"a\",\"n\\u0061me\":\"b\"}"), PROBLEM_INVALID_BODY, "\"name\" is given twice");
}

static void what_cjson_would_let_pass_is_refused(void **state) {
    const velocity_slice bodies[] = {
        LITERAL("{\"size\":01}"), LITERAL("{\"size\":1.}"),  LITERAL("{\"name\":\"\xFF\"}"), LITERAL("{} x"),
        LITERAL("{}\0"),          LITERAL("\xEF\xBB\xBF{}"), LITERAL("{\"name\":\"\n\"}"),
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct fixture f;
        begin(&f, bodies[i]);
        assert_true(f.form.failed);
        assert_int_equal(f.form.code, PROBLEM_INVALID_JSON);
        assert_true(f.form.has_offset);
        end(&f);
    }
    assert_refused(LITERAL("{\"name\":\"a\\u0000b\"}"), PROBLEM_INVALID_BODY, "a text holds a NUL");
    assert_refused(LITERAL("{\"name\\u0000\":1}"), PROBLEM_INVALID_BODY, "a text holds a NUL");
    assert_refused(LITERAL("{\"name\":\"\\ud800\"}"), PROBLEM_INVALID_BODY,
                   "a text holds half of a surrogate pair, or there is no memory");
}

static void assert_bad_member(const char *body, void (*take)(struct form *form), const char *reason) {
    struct fixture f;
    begin(&f, velocity_str(body));
    assert_false(f.form.failed);
    take(&f.form);
    assert_true(f.form.failed);
    assert_int_equal(f.form.code, PROBLEM_INVALID_BODY);
    assert_string_equal(f.form.reason, reason);
    end(&f);
}

static void take_name(struct form *form) {
    assert_null(form_text(form, NAME, FORM_REQUIRED, 2, 3));
}

static void take_size(struct form *form) {
    int64_t size = 7;
    assert_false(form_i64(form, SIZE, FORM_REQUIRED, 1, FORM_INTEGER_MAX, &size));
    assert_int_equal(size, 7);
}

static void take_yes(struct form *form) {
    bool yes = true;
    assert_false(form_bool(form, YES, FORM_REQUIRED, &yes));
}

static void take_list(struct form *form) {
    size_t count = 7;
    assert_null(form_texts(form, LIST, FORM_REQUIRED, 2, 3, &count));
    assert_int_equal(count, 0);
}

static void a_member_of_another_type_or_size_is_refused_by_name(void **state) {
    (void)state;
    assert_bad_member("{}", take_name, "\"name\" is missing");
    assert_bad_member("{\"name\":\"a\"}", take_name, "\"name\" is a text of 2 to 3 bytes");
    assert_bad_member("{\"name\":\"abcd\"}", take_name, "\"name\" is a text of 2 to 3 bytes");
    assert_bad_member("{\"name\":12}", take_name, "\"name\" is a text of 2 to 3 bytes");
    static const char *const numbers[] = {"{\"size\":0}",     "{\"size\":1.5}",
                                          "{\"size\":\"1\"}", "{\"size\":9007199254740993}",
                                          "{\"size\":1e400}", "{\"size\":-1}"};
    for (size_t i = 0; i < COUNT(numbers); i++)
        assert_bad_member(numbers[i], take_size, "\"size\" is a whole number from 1 to 9007199254740991");
    assert_bad_member("{\"yes\":1}", take_yes, "\"yes\" is true or false");
    assert_bad_member("{\"list\":[]}", take_list, "\"list\" is a list of 1 to 2 texts");
    assert_bad_member("{\"list\":\"a\"}", take_list, "\"list\" is a list of 1 to 2 texts");
    assert_bad_member("{\"list\":[\"a\",\"b\",\"c\"]}", take_list, "\"list\" is a list of 1 to 2 texts");
    assert_bad_member("{\"list\":[\"a\",null]}", take_list, "\"list\" holds texts of at most 3 bytes");
    assert_bad_member("{\"list\":[\"abcd\"]}", take_list, "\"list\" holds texts of at most 3 bytes");
}

static void the_first_error_stays_and_ends_the_reading(void **state) {
    struct fixture f;
    int64_t size = 7;
    (void)state;
    begin(&f, LITERAL("{\"size\":3}"));
    assert_null(form_text(&f.form, NAME, FORM_REQUIRED, 1, 3));
    assert_false(form_i64(&f.form, SIZE, FORM_REQUIRED, 1, 9, &size));
    form_refuse(&f.form, "something else");
    assert_string_equal(f.form.reason, "\"name\" is missing");
    end(&f);
}

static void a_deep_document_is_refused_and_not_recursed_into_the_ground(void **state) {
    char *body = malloc(120000);
    struct fixture f;
    (void)state;
    assert_non_null(body);
    memcpy(body, "{\"name\":", 8);
    memset(body + 8, '[', 50000);
    begin(&f, velocity_bytes(body, 50008));
    assert_int_equal(f.form.code, PROBLEM_INVALID_JSON);
    end(&f);
    memset(body + 8, '[', 500);
    memset(body + 508, ']', 500);
    body[1008] = '}';
    begin(&f, velocity_bytes(body, 1009));
    assert_false(f.form.failed);
    end(&f);
    free(body);
}

static bool leaked;

static void watch_free(void *memory) {
    if (memory && memmem(memory, malloc_usable_size(memory), "hunter22", 8)) leaked = true;
    free(memory);
}

static void no_secret_stays_in_memory_that_is_freed(void **state) {
    cJSON_Hooks hooks = {malloc, watch_free};
    struct fixture f;
    (void)state;
    cJSON_InitHooks(&hooks);
    begin(&f, LITERAL("{\"name\":\"hunter22\",\"list\":[\"hunter22\"]}"));
    assert_false(f.form.failed);
    end(&f);
    cJSON_InitHooks(NULL);
    assert_false(leaked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_by_their_type),
        cmocka_unit_test(absent_and_null_can_be_told_apart),
        cmocka_unit_test(a_body_that_is_no_object_of_known_members_is_refused),
        cmocka_unit_test(what_cjson_would_let_pass_is_refused),
        cmocka_unit_test(a_member_of_another_type_or_size_is_refused_by_name),
        cmocka_unit_test(the_first_error_stays_and_ends_the_reading),
        cmocka_unit_test(a_deep_document_is_refused_and_not_recursed_into_the_ground),
        cmocka_unit_test(no_secret_stays_in_memory_that_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
