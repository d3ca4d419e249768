/* table_read_test.c - velocity_table_read shows one table file whole, ends where its visitor wants, and tells of
 * damage. */
#include "testing.h"

enum { KEYS = 500 };

static const velocity_slice key = {"thirty-two bytes to read a table", 32};

/* A database of one table: KEYS puts, a delete and a range delete; the last value stands apart. */
static const char *make_table(const char *folder, bool encrypted) {
    velocity_options o = velocity_options_default();
    o.value_log_threshold = 1000;
    if (encrypted) o.encryption_key = key;
    velocity *db;
    char text[16], name[64], large[2000];
    memset(large, 'x', sizeof large);
    OK(velocity_open(folder, &o, &db));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(text, sizeof text, "key%05d", i);
        velocity_slice value = i == KEYS - 1 ? velocity_bytes(large, sizeof large) : velocity_str(text);
        OK(velocity_put(db, velocity_str(text), value));
    }
    OK(velocity_delete(db, velocity_str("nothing")));
    OK(velocity_delete_range(db, velocity_str("p"), velocity_str("q")));
    OK(velocity_flush(db));
    OK(velocity_close(db));
    assert_int_equal(files_ending(folder, ".sst", name), 1);
    return path_in(folder, name);
}

struct seen {
    size_t tables, blocks, entries, puts, references;
    uint64_t progress;
    velocity_status answer; /* to the nth call, counted down */
    size_t in;
};

static velocity_status answer(struct seen *s) {
    return s->in && --s->in == 0 ? s->answer : VELOCITY_OK;
}

static velocity_status see_table(void *arg, const velocity_table_info *info) {
    struct seen *s = arg;
    s->tables++;
    assert_int_equal(info->entries, KEYS + 2);
    assert_int_equal(info->tombstones, 2);
    assert_int_equal(info->smallest_sequence, 1);
    assert_int_equal(info->largest_sequence, KEYS + 2);
    assert_true(info->one_version);
    return answer(s);
}

static velocity_status see_block(void *arg, const velocity_block *block) {
    struct seen *s = arg;
    s->blocks++;
    assert_true(block->stored_bytes > 0 && block->raw_bytes > 0);
    return answer(s);
}

static velocity_status see_entry(void *arg, const velocity_entry *e) {
    struct seen *s = arg;
    s->entries++;
    s->puts += e->kind == VELOCITY_ENTRY_PUT;
    s->references += e->kind == VELOCITY_ENTRY_VALUE_REFERENCE;
    return answer(s);
}

static void see_progress(void *arg, uint64_t done, uint64_t total) {
    struct seen *s = arg;
    assert_true(done <= total);
    s->progress = done;
}

static velocity_table_visitor visitor_of(struct seen *s) {
    return (velocity_table_visitor){
        .struct_size = sizeof(velocity_table_visitor),
        .table = see_table,
        .block = see_block,
        .entry = see_entry,
        .arg = s,
    };
}

static void a_whole_table_shows_every_entry_and_its_report_is_clean(void **state) {
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        const char *file = make_table(path_in(*state, encrypted ? "encrypted" : "plain"), encrypted);
        struct seen s = {0};
        velocity_table_visitor visitor = visitor_of(&s);
        velocity_options o = velocity_options_default();
        velocity_check_options check = velocity_check_options_default();
        velocity_report report = velocity_report_default();
        if (encrypted) o.encryption_key = key;
        check.database = &o;
        check.progress = see_progress;
        check.arg = &s;
        OK(velocity_table_read(file, &check, &visitor, &report));
        assert_int_equal(s.tables, 1);
        assert_int_equal(s.entries, KEYS + 2);
        assert_int_equal(s.puts, KEYS - 1);
        assert_int_equal(s.references, 1);
        assert_true(s.progress > 0);
        assert_int_equal(report.blocks, s.blocks);
        assert_int_equal(report.entries, KEYS + 2);
        assert_int_equal(report.last_sequence, KEYS + 2);
        assert_int_equal(report.damages, 0);
        velocity_report_clear(&report);
        OK(velocity_table_read(file, &check, NULL, NULL));
    }
}

/* Whatever it answers, also what elsewhere would mean that the table is damaged. */
static void what_the_visitor_answers_ends_the_reading_and_is_its_answer(void **state) {
    static const velocity_status answers[] = {VELOCITY_BUSY, VELOCITY_CORRUPT, VELOCITY_IO, VELOCITY_NOT_FOUND};
    const char *file = make_table(*state, false);
    for (size_t i = 0; i < sizeof answers / sizeof *answers * 4; i++) {
        static const size_t at[] = {1, 2, 10, KEYS};
        struct seen s = {.answer = answers[i / 4], .in = at[i % 4]};
        velocity_table_visitor visitor = visitor_of(&s);
        velocity_report report = velocity_report_default();
        assert_int_equal(velocity_table_read(file, NULL, &visitor, &report), answers[i / 4]);
        assert_int_equal(s.tables + s.blocks + s.entries, at[i % 4]);
        assert_int_equal(report.damages, 0);
        velocity_report_clear(&report);
    }
}

static void a_damaged_table_shows_what_is_intact(void **state) {
    const char *file = make_table(*state, false);
    size_t size;
    uint8_t *bytes = file_bytes(file, &size);
    for (size_t at = 0; at < size; at += 97) {
        struct seen s = {0};
        velocity_table_visitor visitor = visitor_of(&s);
        velocity_report report = velocity_report_default();
        visitor.table = NULL;
        bytes[at] ^= 1;
        file_replace(file, bytes, size);
        bytes[at] ^= 1;
        assert_int_equal(velocity_table_read(file, NULL, &visitor, &report), VELOCITY_CORRUPT);
        assert_true(report.damages > 0);
        assert_true(s.entries == KEYS + 2 || report.stale_count > 0 || at < 128);
        velocity_report_clear(&report);
    }
    file_replace(file, bytes, size);
    OK(velocity_table_read(file, NULL, NULL, NULL));
    free(bytes);
}

static void what_is_no_table_or_has_another_key_is_refused(void **state) {
    const char *file = make_table(*state, true);
    char log[64];
    FAILS(VELOCITY_INVALID, "no key was given", velocity_table_read(file, NULL, NULL, NULL));
    velocity_options o = velocity_options_default();
    velocity_check_options check = velocity_check_options_default();
    check.database = &o;
    o.encryption_key = velocity_bytes("thirty-two bytes of another key.", 32);
    FAILS(VELOCITY_INVALID, "none of the keys given", velocity_table_read(file, &check, NULL, NULL));
    o.encryption_key = velocity_str("short");
    FAILS(VELOCITY_INVALID, "32", velocity_table_read(file, &check, NULL, NULL));
    FAILS(VELOCITY_NOT_FOUND, "nowhere", velocity_table_read(path_in(*state, "nowhere"), NULL, NULL, NULL));
    FAILS(VELOCITY_INVALID, "needs a file", velocity_table_read("", NULL, NULL, NULL));
    FAILS(VELOCITY_INVALID, "needs a file", velocity_table_read(NULL, NULL, NULL, NULL));
    assert_true(files_ending(*state, ".log", log) > 0);
    assert_int_equal(velocity_table_read(path_in(*state, log), NULL, NULL, NULL), VELOCITY_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_whole_table_shows_every_entry_and_its_report_is_clean),
        TEST_IN_FOLDER(what_the_visitor_answers_ends_the_reading_and_is_its_answer),
        TEST_IN_FOLDER(a_damaged_table_shows_what_is_intact),
        TEST_IN_FOLDER(what_is_no_table_or_has_another_key_is_refused),
    };
    return cmocka_run_group_tests_name("table_read", tests, NULL, NULL);
}
