/*
 * form_fuzz.c - any body as a form: what is taken is JSON by our own scanner, whatever getter is asked stays inside of
 * it, and the first error stays. Any text as a moment: what is read is written and read again as the same.
 */
#include "http/form.h"
#include "server/json.h"
#include "server/timestamp.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { NAME, SIZE, YES, LIST, MEMBERS };
static const char *const names[MEMBERS] = {"name", "size", "yes", "list"};

static void ask(struct form *form, const uint8_t *order, size_t size) {
    for (size_t i = 0; i < size && i < 8; i++) {
        int member = order[i] % MEMBERS;
        enum form_need need = (enum form_need)(order[i] / MEMBERS % 3);
        bool failed = form->failed, yes;
        int64_t number;
        size_t count;
        const char *text;
        const char *const *texts;
        switch (order[i] / 16 % 4) {
        case 0:
            text = form_text(form, member, need, 1, 8);
            CHECK(!text || (!form->failed && strlen(text) >= 1 && strlen(text) <= 8));
            break;
        case 1:
            if (form_i64(form, member, need, -5, 1000, &number)) CHECK(number >= -5 && number <= 1000);
            break;
        case 2: (void)form_bool(form, member, need, &yes); break;
        default:
            texts = form_texts(form, member, need, 3, 8, &count);
            CHECK(!texts == !count && count <= 3);
            for (size_t k = 0; k < count; k++) CHECK(strlen(texts[k]) <= 8);
        }
        CHECK(!failed || form->failed);
        CHECK(!form->failed || (form->reason[0] && memchr(form->reason, 0, sizeof form->reason)));
    }
}

static void check_moment(velocity_slice text) {
    char written[TIMESTAMP_BYTES];
    int64_t ms, again;
    if (!timestamp_parse(text, &ms)) return;
    timestamp_format(ms, written);
    CHECK(timestamp_parse(velocity_str(written), &again));
    /* An offset may lead out of the years that can be written. */
    CHECK(again == ms || again == INT64_C(253402300799999) || again == -INT64_C(62167219200000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned char first[32];
    struct scratch scratch;
    struct form form;
    size_t order = size < 8 ? size : 8;
    velocity_slice body = velocity_bytes(data + order, size - order);
    char *exact = fuzz_buffer(body.size);
    if (body.size) memcpy(exact, body.data, body.size);
    scratch_init(&scratch, first, sizeof first);
    form_parse(&form, velocity_bytes(exact, body.size), &scratch, names, MEMBERS);
    if (!form.failed) CHECK(json_valid(body, NULL));
    ask(&form, data, order);
    form_free(&form);
    scratch_reset(&scratch);
    free(exact);
    check_moment(velocity_bytes(data, size));
    return 0;
}
