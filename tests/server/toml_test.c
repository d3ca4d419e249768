/* toml_test.c - how a document comes out flat, and that none can be deep enough to hurt. */
#include "server/toml.h"
#include "tests/server/cmocka_all.h"

#include <stdio.h>

static FILE *flat;

static bool write_entry(void *arg, const struct toml_entry *entry) {
    (void)arg;
    fprintf(flat, "%u %s/%u %s\n", entry->line, entry->section, entry->depth,
            entry->value.type == TOML_SECTION ? "[]" : entry->key);
    return true;
}

static void assert_flat(const char *text, const char *expected) {
    char *out = NULL, error[256];
    size_t size = 0;
    unsigned line;
    flat = open_memstream(&out, &size);
    assert_non_null(flat);
    assert_true(toml_parse(text, strlen(text), write_entry, NULL, &line, error, sizeof error));
    assert_int_equal(fclose(flat), 0);
    assert_string_equal(out, expected);
    free(out);
}

static void sections_within_sections_come_out_with_dots(void **state) {
    (void)state;
    assert_flat("x = 1\n[a]\ny = 2\n[b.\"c.d\"]\nz = 3\n", "1 /0 x\n2 a/1 []\n3 a/1 y\n4 b/1 []\n4 b.c.d/2 []\n"
                                                           "5 b.c.d/2 z\n");
    assert_flat("[a]\nb.c = 1\nd = {e = 2}\n", "1 a/1 []\n2 a.b/2 []\n2 a.b/2 c\n3 a.d/2 []\n3 a.d/2 e\n");
}

static void names_are_shown_on_one_line_and_those_at_the_top_have_no_dot(void **state) {
    (void)state;
    assert_flat("[\"a.b\"]\n\"c\\nd\\u007f\" = 1\n", "1 a?b/1 []\n2 a?b/1 c?d?\n");
}

/* A document of `head`, `times` times `part`, and `tail`. The caller frees it. */
static char *repeat(const char *head, const char *part, size_t times, const char *tail) {
    size_t part_size = strlen(part), size = strlen(head) + part_size * times + strlen(tail) + 1;
    char *text = malloc(size), *at;
    assert_non_null(text);
    at = stpcpy(text, head);
    for (size_t i = 0; i < times; i++) at = stpcpy(at, part);
    (void)stpcpy(at, tail);
    return text;
}

static bool ignore(void *arg, const struct toml_entry *entry) {
    (void)arg;
    (void)entry;
    return true;
}

/* Answers the line that was refused as too deep; 0: it was taken. */
static unsigned too_deep(const char *head, const char *part, size_t times, const char *tail) {
    char *text = repeat(head, part, times, tail), error[256] = "";
    unsigned line;
    bool ok = toml_parse(text, strlen(text), ignore, NULL, &line, error, sizeof error);
    free(text);
    if (ok) return 0;
    assert_string_equal(error, "nested too deeply");
    return line;
}

static void what_is_nested_too_deeply_is_refused_before_it_is_parsed(void **state) {
    (void)state;
    static const size_t a_lot = 300000;
    assert_int_equal(too_deep("a = ", "[", a_lot, ""), 1);
    assert_int_equal(too_deep("\na = ", "{b = ", a_lot, ""), 2);
    assert_int_equal(too_deep("\n\n", "a.", a_lot, "b = 1\n"), 3);
    assert_int_equal(too_deep("[", "a.", a_lot, "b]\n"), 1);
    assert_int_equal(too_deep("a = [[", "\n{b = [", a_lot, ""), 1 + (TOML_MAX_BRACKETS - 2) / 2 + 1);
    assert_int_equal(too_deep("x = [\"\"\"a\"\"\"\", ", "[", a_lot, ""), 1); /* the fourth quote begins nothing */
    assert_int_equal(too_deep("x = [\"\"\"\n]]]]\"\"\"\"\", '''[''', \"\\\"\", '\\', # ]\n", "[", a_lot, ""), 3);
    assert_int_equal(too_deep("x = \"\"\"a\\\n\\\"\"\"\"\ny = ", "[", a_lot, ""), 3);
}

static void what_only_looks_nested_is_not_refused(void **state) {
    (void)state;
    assert_int_equal(too_deep("a = \"", "[.", 1000, "\"\n"), 0);
    assert_int_equal(too_deep("a = '", "{.\"", 1000, "'\n"), 0);
    assert_int_equal(too_deep("a = '''", "[.\n'", 1, "'''\n"), 0);
    assert_int_equal(too_deep("a = \"\"\"", "[.\n\\\"", 1000, "\"\"\"\n"), 0);
    assert_int_equal(too_deep("# ", "[.", 1000, "\n"), 0);
    assert_int_equal(too_deep("a = [", "1.5, [2.5, 3.5], 4.5, ", 1000, "]\n"), 0);
    assert_int_equal(too_deep("a = [", "1.5, ", 1000, "]\n"), 0);
    assert_int_equal(too_deep("", "[[a.b]]\n", 100, ""), 0);
    assert_int_equal(too_deep("a = ", "[", TOML_MAX_BRACKETS, "]]]]]]]]]]]]]]]]\n"), 0);
    assert_int_equal(too_deep("a = ", "[", TOML_MAX_BRACKETS + 1, "]]]]]]]]]]]]]]]]]\n"), 1);
    assert_int_equal(too_deep("", "a.", TOML_MAX_NAMES - 1, "b = 1\n"), 0);
    assert_int_equal(too_deep("", "a.", TOML_MAX_NAMES, "b = 1\n"), 1);
}

/* Answers what is said against the text; "": nothing. */
static const char *objection(const char *text) {
    static char error[256];
    unsigned line;
    *error = '\0';
    (void)toml_parse(text, strlen(text), ignore, NULL, &line, error, sizeof error);
    return error;
}

static void what_is_not_ascii_stands_in_texts_and_comments_only(void **state) {
    (void)state;
    assert_string_equal(objection("\xEF\xBB\xBF# \u00e4\na = \"\u00e4\"\n'\u00e4' = '\ufc70'\n"), "");
    assert_string_equal(objection("a = \"\"\"\u00e4\\\n  a\ufc70\\\\\ufc70\"\"\"\n"), "");
    static const char *const elsewhere[] = {"\u00e4 = 1\n", "a\u00a0= 1\n", "a = 1 \ufc70\n", "[\ufc70]\n",
                                            "a = [\n\ufc70]\n"};
    for (size_t i = 0; i < COUNT(elsewhere); i++)
        assert_string_equal(objection(elsewhere[i]), "a character that may stand in texts and comments only");
    static const char *const escaped[] = {"a = \"\\\ufc70\"\n", "a = \"\"\"\\\n\ufc70\"\"\"\n",
                                          "a = \"\"\"\\ \n\t \r\n\ufc70\"\"\"\n"};
    for (size_t i = 0; i < COUNT(escaped); i++)
        assert_string_equal(objection(escaped[i]), "a backslash, and then a character that is not ASCII");
}

static void a_mistake_is_told_with_its_line(void **state) {
    (void)state;
    static const char text[] = "[a]\nb = \n";
    char error[256] = "";
    unsigned line = 0;
    assert_false(toml_parse(text, sizeof text - 1, ignore, NULL, &line, error, sizeof error));
    assert_int_equal(line, 2);
    assert_true(*error);
    assert_null(strchr(error, '\n'));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_within_sections_come_out_with_dots),
        cmocka_unit_test(names_are_shown_on_one_line_and_those_at_the_top_have_no_dot),
        cmocka_unit_test(what_is_nested_too_deeply_is_refused_before_it_is_parsed),
        cmocka_unit_test(what_only_looks_nested_is_not_refused),
        cmocka_unit_test(what_is_not_ascii_stands_in_texts_and_comments_only),
        cmocka_unit_test(a_mistake_is_told_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
