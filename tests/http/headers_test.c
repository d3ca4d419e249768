/* headers_test.c - entity tags, media types, Host, Content-Length. */
#include "tests/server/cmocka_all.h"

#include "http/headers.h"

/* ---- entity tags ------------------------------------------------------------------------------------------------ */

static void a_tag_is_the_version_in_quotes(void **state) {
    char text[ETAG_BYTES];
    (void)state;
    assert_slice(velocity_bytes(text, etag_format(1, text)), velocity_str("\"1\""));
    assert_slice(velocity_bytes(text, etag_format(UINT64_MAX, text)), velocity_str("\"18446744073709551615\""));
}

static bool parse(const char *value, struct etag_condition *c) {
    velocity_slice bytes = velocity_str(value);
    char *copy = exact_copy(bytes);
    bool ok = etag_condition_parse(velocity_bytes(copy, bytes.size), c);
    /* What it borrows is the caller's, which lives longer. */
    if (ok && c->list.size) c->list.data = value + ((const char *)c->list.data - copy);
    free(copy);
    return ok;
}

static void conditions_hold_for_the_versions_that_they_name(void **state) {
    static const struct {
        const char *value;
        uint64_t version;
        bool if_match, if_none_match;
    } cases[] = {
        {"*", 7, true, false},
        {"*", VELOCITY_ABSENT, false, true},
        {" * ", 7, true, false},
        {"\"7\"", 7, true, false},
        {"\"7\"", 8, false, true},
        {"\"7\"", VELOCITY_ABSENT, false, true},
        {"\"0\"", VELOCITY_ABSENT, false, true},
        {"W/\"7\"", 7, false, false}, /* weak: never strongly equal, but weakly */
        {"W/\"7\"", 8, false, true},
        {"\"6\", \"7\"", 7, true, false},
        {"\"6\",\"7\"", 7, true, false},
        {"\"6\"\t,\t\"8\"", 7, false, true},
        {"W/\"7\", \"7\"", 7, true, false},
        {",, \"7\" ,,", 7, true, false},
        {"\"07\"", 7, false, true},
        {"\"7a\"", 7, false, true},
        {"\"\"", 7, false, true},
        {"\"abc\", \"7\"", 7, true, false},
        {"\"a,b\", \"7\"", 7, true, false},
        {"\"\xc3\xa9\"", 7, false, true},
        {"\"18446744073709551615\"", UINT64_MAX, true, false},
        {"\"18446744073709551623\"", 7, false, true}, /* 7 in 64 bits, if overflow went unseen */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct etag_condition c;
        if (!parse(cases[i].value, &c)) fail_msg("refused: %s", cases[i].value);
        if (etag_if_match(&c, cases[i].version) != cases[i].if_match ||
            etag_if_none_match(&c, cases[i].version) != cases[i].if_none_match)
            fail_msg("%s does not judge as it should", cases[i].value);
    }
}

static void malformed_conditions_are_refused(void **state) {
    static const char *const refused[] = {
        "",        " ",       ",",         "7",      "\"7",       "7\"",      "\"7\" \"8\"", "\"7\"x",
        "w/\"7\"", "W\"7\"",  "W/7",       "W/",     "W",         "**",       "*, \"7\"",    "\"7\", *",
        "'7'",     "\"7 8\"", "\"7\x7f\"", "\"\n\"", "\"7\";x=1", "\"7\", 8", "\"7\", \"8",  "\"7\"\"8\""};
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct etag_condition c;
        if (parse(refused[i], &c)) fail_msg("accepted: %s", refused[i]);
    }
    struct etag_condition c;
    assert_false(etag_condition_parse(velocity_bytes("\"7\0\"", 4), &c));
}

static void tags_come_off_the_list_in_order(void **state) {
    struct etag_condition c;
    struct etag tag;
    (void)state;
    assert_true(parse(" \"1\", W/\"2\" ,, \"x,\\\"", &c));
    assert_int_equal(c.count, 3);
    assert_true(etag_next(&c, &tag) && !tag.weak && tag.ours && tag.version == 1);
    assert_true(etag_next(&c, &tag) && tag.weak && tag.ours && tag.version == 2);
    assert_true(etag_next(&c, &tag) && !tag.weak && !tag.ours);
    assert_false(etag_next(&c, &tag));
}

static void only_one_strong_tag_of_ours_is_a_single_version(void **state) {
    static const char *const others[] = {"*", "W/\"7\"", "\"7\", \"8\"", "\"x\"", "\"0\"", "\"18446744073709551615\""};
    struct etag_condition c;
    uint64_t version = 0;
    (void)state;
    assert_true(parse("\"7\"", &c));
    assert_true(etag_single_version(&c, &version));
    assert_int_equal(version, 7);
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_true(parse(others[i], &c));
        assert_false(etag_single_version(&c, &version));
    }
}

/* ---- media types ------------------------------------------------------------------------------------------------- */

/* From a copy of exactly its size, so that a look beyond the field is seen. The name that comes out is the caller's. */
static bool parse_type(velocity_slice value, struct media_type *m) {
    char *copy = exact_copy(value);
    bool ok = media_type_parse(velocity_bytes(copy, value.size), m);
    if (ok) m->name.data = (const char *)value.data + ((const char *)m->name.data - copy);
    free(copy);
    return ok;
}

static void media_types_are_told_by_what_they_say(void **state) {
    static const struct {
        const char *value, *name;
        enum value_type type;
        bool json;
    } cases[] = {
        {"application/octet-stream", "application/octet-stream", VALUE_OCTET_STREAM, false},
        {"application/json", "application/json", VALUE_JSON, true},
        {" application/json\t", "application/json", VALUE_JSON, true},
        {"text/plain; charset=utf-8", "text/plain; charset=utf-8", VALUE_TEXT, false},
        /* another spelling is kept as it came, and is JSON all the same */
        {"Application/JSON", "Application/JSON", VALUE_OTHER, true},
        {"application/json; charset=utf-8", "application/json; charset=utf-8", VALUE_OTHER, true},
        {"application/json;", "application/json;", VALUE_OTHER, true},
        {"text/plain", "text/plain", VALUE_OTHER, false},
        {"text/plain;charset=UTF-8", "text/plain;charset=UTF-8", VALUE_OTHER, false},
        {"application/jsonx", "application/jsonx", VALUE_OTHER, false},
        {"application/problem+json", "application/problem+json", VALUE_OTHER, false},
        {"text/html", "text/html", VALUE_OTHER, false},
        {"a/b", "a/b", VALUE_OTHER, false},
        {"x-_.!#$%&'*+^`|~9/Z", "x-_.!#$%&'*+^`|~9/Z", VALUE_OTHER, false},
        {"a/b;c=d;e=\"f;g\\\"h\"", "a/b;c=d;e=\"f;g\\\"h\"", VALUE_OTHER, false},
        {"a/b ; c=d ;; e=f ; ", "a/b ; c=d ;; e=f ;", VALUE_OTHER, false},
        {"a/b;c=\"\"", "a/b;c=\"\"", VALUE_OTHER, false},
        {"a/b;c=\"\xc3\xa9\t\\\\\"", "a/b;c=\"\xc3\xa9\t\\\\\"", VALUE_OTHER, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct media_type m;
        if (!parse_type(velocity_str(cases[i].value), &m)) fail_msg("refused: %s", cases[i].value);
        assert_slice(m.name, velocity_str(cases[i].name));
        assert_int_equal(m.type, cases[i].type);
        assert_int_equal(m.json, cases[i].json);
    }
}

static void malformed_media_types_are_refused(void **state) {
    static const char *const refused[] = {
        "",
        " ",
        "text",
        "/",
        "text/",
        "/plain",
        "text/plain/x",
        "text /plain",
        "te xt/a",
        "text/ plain",
        "text/plain x",
        "text/plain,text/html",
        "a/b;c",
        "a/b;c=",
        "a/b;=d",
        "a/b;c =d",
        "a/b;c= d",
        "a/b;c=d e",
        "a/b;c=\"d",
        "a/b;c=\"d\\",
        "a/b;c=\"d\"e",
        "a/b;c=d=e",
        "a/b;c=d,e",
        "a/b\r\nX: y",
        "a/b;c=\"\n\"",
        "a/b;c=\"\x7f\"",
        "a/b;c=\"\\\n\"",
        "a\xc3\xa9/b",
        "a/b\xc3\xa9",
        "a/b;c=\xc3\xa9",
        "a/b;c=\"\xe9\"", /* JSON could not say it, so it would come back as another one */
        "a/b;c=\"\xc3\"",
        "a/b;c=\"\xed\xa0\x80\"",
        "(a)/b",
        "a/b;c=\"d\\\"",
    };
    struct media_type m;
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        if (parse_type(velocity_str(refused[i]), &m)) fail_msg("accepted: %s", refused[i]);
    assert_false(parse_type(velocity_bytes("a/b\0", 4), &m));
    assert_false(parse_type(velocity_bytes("a\0/b", 4), &m));
    assert_false(parse_type(velocity_bytes("a/b;c=\"\0\"", 9), &m));
}

static void a_media_type_has_at_most_255_bytes(void **state) {
    char text[MEDIA_TYPE_MAX_BYTES + 1];
    struct media_type m;
    (void)state;
    memset(text, 'x', sizeof text);
    text[1] = '/';
    assert_true(media_type_parse(velocity_bytes(text, MEDIA_TYPE_MAX_BYTES), &m));
    assert_false(media_type_parse(velocity_bytes(text, MEDIA_TYPE_MAX_BYTES + 1), &m));
}

static void each_known_type_names_itself(void **state) {
    (void)state;
    for (uint32_t type = 0; type < 256; type++) {
        const char *name = value_type_name(type);
        struct media_type m;
        if (type > VALUE_TEXT) {
            assert_null(name);
            continue;
        }
        assert_true(media_type_parse(velocity_str(name), &m));
        assert_int_equal(m.type, type);
    }
}

/* ---- Host ---------------------------------------------------------------------------------------------------------
 */

static bool refuses_host(velocity_slice value) {
    char *copy = exact_copy(value);
    struct host h;
    bool ok = host_parse(velocity_bytes(copy, value.size), &h);
    free(copy);
    return !ok;
}

static void a_body_is_of_a_type_however_that_is_spelled_if_it_is_utf_8(void **state) {
    static const char *const good[] = {"application/x-ndjson",
                                       "Application/X-NDJSON",
                                       " application/x-ndjson ; charset=utf-8",
                                       "application/x-ndjson;charset=\"UTF-8\"",
                                       "application/x-ndjson; CharSet=Utf-8; version=1;",
                                       "application/x-ndjson; x-charset=latin1"};
    static const char *const bad[] = {"",
                                      "application/x-ndjsonx",
                                      "application/x-ndjso",
                                      "application/json",
                                      "application/x-ndjson; charset=iso-8859-1",
                                      "application/x-ndjson; charset=utf-8; charset=utf-16",
                                      "application/x-ndjson; charset=\"utf-16\"",
                                      "application/x-ndjson; charset=\"\"",
                                      "application/x-ndjson; charset=utf-80",
                                      "application/x-ndjson; charset",
                                      "application/x-ndjson charset=utf-8",
                                      "application/x-ndjson, application/x-ndjson"};
    (void)state;
    for (size_t i = 0; i < COUNT(good) + COUNT(bad); i++) {
        bool holds = i < COUNT(good);
        velocity_slice value = velocity_str(holds ? good[i] : bad[i - COUNT(good)]);
        char *copy = exact_copy(value);
        if (media_type_is(velocity_bytes(copy, value.size), "application/x-ndjson") != holds)
            fail_msg("%s: %s", holds ? "refused" : "taken", (const char *)value.data);
        free(copy);
    }
    assert_false(media_type_is(velocity_bytes(NULL, 0), "application/x-ndjson"));
}

static void loopback_names_are_known_with_any_port(void **state) {
    static const char *const loopback[] = {"localhost",
                                           "LocalHost",
                                           "localhost.",
                                           "localhost:2005",
                                           "localhost.:1",
                                           "localhost:",
                                           "127.0.0.1",
                                           "127.0.0.1:65535",
                                           "127.255.0.9",
                                           "127.0.0.1.",
                                           "[::1]",
                                           "[::1]:2005",
                                           "[0:0:0:0:0:0:0:1]",
                                           "[0000:0000:0000:0000:0000:0000:0000:0001]",
                                           " localhost "};
    static const char *const foreign[] = {"example.org",
                                          "localhost.example.org",
                                          "notlocalhost",
                                          "a.localhost",
                                          "127.0.0.1.nip.io",
                                          "128.0.0.1",
                                          "0.0.0.0",
                                          "10.0.0.1",
                                          "127.1",
                                          "127.0.0.1.2",
                                          "0177.0.0.1",
                                          "127.0.0.01",
                                          "0x7f.0.0.1",
                                          "2130706433",
                                          "[::]",
                                          "[::2]",
                                          "[fe80::1]",
                                          "[::ffff:127.0.0.1]",
                                          "[::127.0.0.1]",
                                          "localhost-",
                                          "127.0.0.256",
                                          "localhost..",
                                          "xn--localhost",
                                          "127.0.0."};
    struct host h;
    (void)state;
    for (size_t i = 0; i < COUNT(loopback); i++)
        if (!host_parse(velocity_str(loopback[i]), &h) || !host_is_loopback(&h)) fail_msg("not: %s", loopback[i]);
    for (size_t i = 0; i < COUNT(foreign); i++)
        if (!host_parse(velocity_str(foreign[i]), &h) || host_is_loopback(&h)) fail_msg("is: %s", foreign[i]);
}

static void malformed_hosts_are_refused(void **state) {
    static const char *const refused[] = {
        "",
        " ",
        ".",
        ":",
        ":2005",
        ".localhost",
        "local host",
        "localhost:x",
        "localhost:65536",
        "localhost:-1",
        "localhost:1:2",
        "localhost:000001",
        "localhost/",
        "localhost?",
        "localhost#",
        "user@localhost",
        "localhost@evil",
        "localhost,evil",
        "localhost evil",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[]:1",
        "[localhost]",
        "[127.0.0.1]",
        "[::1]x",
        "[::1]2005",
        "[::1%lo]",
        "[::1%25lo]",
        "[:::1]",
        "local\thost",
        "localhost\\",
        "lo%63alhost",
        "h\xc3\xb6st",
        "localhost\r\nX: y",
        "[::1]:99999",
        "[1]",
        "[g::1]",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        if (!refuses_host(velocity_str(refused[i]))) fail_msg("accepted: %s", refused[i]);
    assert_true(refuses_host(velocity_bytes("localhost\0", 10)));
    assert_true(refuses_host(velocity_bytes("[::1\0]", 6)));
    assert_true(refuses_host(velocity_bytes(NULL, 0)));
}

static void name_and_port_come_apart(void **state) {
    struct host h;
    (void)state;
    assert_true(host_parse(velocity_str("Db.Example.ORG.:8080"), &h));
    assert_slice(h.name, velocity_str("Db.Example.ORG"));
    assert_true(h.has_port);
    assert_int_equal(h.port, 8080);
    assert_false(h.ipv6);
    assert_true(host_is(&h, "db.example.org"));
    assert_false(host_is(&h, "example.org"));
    assert_true(host_parse(velocity_str("[2001:db8::1]"), &h));
    assert_slice(h.name, velocity_str("2001:db8::1"));
    assert_true(h.ipv6 && !h.has_port);
    assert_true(host_parse(velocity_str("a:0"), &h));
    assert_true(h.has_port && h.port == 0);
    assert_true(host_parse(velocity_str("a:"), &h));
    assert_false(h.has_port);
}

/* ---- others --------------------------------------------------------------------------------------------------------
 */

static void a_content_length_is_digits_that_fit(void **state) {
    static const char *const refused[] = {"",
                                          " ",
                                          "-1",
                                          "+1",
                                          "1a",
                                          "a1",
                                          "1,1",
                                          "1, 1",
                                          "1 1",
                                          "0x10",
                                          "1.0",
                                          "18446744073709551616",
                                          "99999999999999999999999",
                                          "1e3",
                                          "\xd9\xa1"};
    uint64_t n = 5;
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        if (content_length_parse(velocity_str(refused[i]), &n)) fail_msg("accepted: %s", refused[i]);
    assert_int_equal(n, 5);
    assert_true(content_length_parse(velocity_str("0"), &n) && n == 0);
    assert_true(content_length_parse(velocity_str(" 17\t"), &n) && n == 17);
    assert_true(content_length_parse(velocity_str("0000000000000000000000017"), &n) && n == 17);
    assert_true(content_length_parse(velocity_str("18446744073709551615"), &n) && n == UINT64_MAX);
}

static void names_compare_without_case_and_only_whole(void **state) {
    (void)state;
    assert_true(header_is(velocity_str("Keep-Alive"), "keep-alive"));
    assert_false(header_is(velocity_str("keep-aliv"), "keep-alive"));
    assert_false(header_is(velocity_str("keep-alive "), "keep-alive"));
    assert_false(header_is(velocity_str("@"), "`")); /* 0x40 and 0x60 are no pair of letters */
    assert_false(header_is(velocity_str("["), "{"));
    assert_slice(header_trim(velocity_str(" \t a b \t")), velocity_str("a b"));
    assert_int_equal(header_trim(velocity_str(" \t ")).size, 0);
    assert_int_equal(header_trim(velocity_bytes(NULL, 0)).size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_the_version_in_quotes),
        cmocka_unit_test(conditions_hold_for_the_versions_that_they_name),
        cmocka_unit_test(malformed_conditions_are_refused),
        cmocka_unit_test(tags_come_off_the_list_in_order),
        cmocka_unit_test(only_one_strong_tag_of_ours_is_a_single_version),
        cmocka_unit_test(media_types_are_told_by_what_they_say),
        cmocka_unit_test(malformed_media_types_are_refused),
        cmocka_unit_test(a_media_type_has_at_most_255_bytes),
        cmocka_unit_test(each_known_type_names_itself),
        cmocka_unit_test(a_body_is_of_a_type_however_that_is_spelled_if_it_is_utf_8),
        cmocka_unit_test(loopback_names_are_known_with_any_port),
        cmocka_unit_test(malformed_hosts_are_refused),
        cmocka_unit_test(name_and_port_come_apart),
        cmocka_unit_test(a_content_length_is_digits_that_fit),
        cmocka_unit_test(names_compare_without_case_and_only_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
