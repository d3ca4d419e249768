/* service_transaction_test.c - requests inside of transactions: when the disk is nearly full, and when another is
 * inside. */
#include "tests/server/transactions_fixture.h"

#include "server/service_internal.h"

/* The service's own registry takes the place of the bench's. */
static int set_up(void **state) {
    if (transactions_set_up(state)) return -1;
    struct bench *b = *state;
    transactions_free(b->all);
    b->all = service_transactions(b->behind.service);
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    b->all = NULL;
    return transactions_tear_down(state);
}

static struct call inside_of(struct bench *b, const struct transaction_info *info, enum service_operation operation) {
    return (struct call){.request = {.operation = operation,
                                     .key = LITERAL("a"),
                                     .value = LITERAL("inside"),
                                     .caller.principal = b->ann,
                                     .transaction_id = velocity_str(info->id)}};
}

static void expect(struct bench *b, const struct transaction_info *info, enum service_operation operation,
                   velocity_status status, enum service_refusal refusal) {
    struct call call = inside_of(b, info, operation);
    assert_int_equal(perform(&b->behind, &call), status);
    assert_int_equal(call.request.refusal, refusal);
    end(&call);
}

static void is_done(struct bench *b, const struct transaction_info *info, enum service_operation operation) {
    expect(b, info, operation, VELOCITY_OK, SERVICE_NO_REFUSAL);
}

static void with_the_disk_nearly_full_puts_are_committed_later_and_deletes_at_once(void **state) {
    struct bench *b = *state;
    struct transaction_info puts = begin(b, b->ann), deletes = begin(b, b->ann);
    is_done(b, &puts, SERVICE_PUT);
    is_done(b, &deletes, SERVICE_DELETE);
    b->behind.service->disk.reserve_bytes = UINT64_MAX - 1;
    for (int i = 0; i < 2; i++) {
        expect(b, &puts, SERVICE_COMMIT, VELOCITY_NO_SPACE, SERVICE_DISK_LOW);
        expect(b, &puts, SERVICE_PUT, VELOCITY_NO_SPACE, SERVICE_DISK_LOW);
        is_done(b, &puts, SERVICE_GET); /* it goes on */
    }
    is_done(b, &deletes, SERVICE_COMMIT);
    assert_int_equal(stats_of(b).open, 1);
    b->behind.service->disk.reserve_bytes = 0;
    struct transaction_info again = begin(b, b->ann);
    is_done(b, &again, SERVICE_PUT);
    is_done(b, &again, SERVICE_COMMIT);
    assert_value(&b->behind, "a", "inside");
    expect(b, &puts, SERVICE_COMMIT, VELOCITY_CONFLICT, SERVICE_NO_REFUSAL);
    assert_int_equal(stats_of(b).open, 0);
}

static void while_another_is_inside_each_is_told_so_and_nothing_is_done(void **state) {
    static const enum service_operation operations[] = {SERVICE_GET, SERVICE_PUT, SERVICE_COMMIT, SERVICE_ROLLBACK};
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    is_done(b, &info, SERVICE_PUT);
    struct transaction *other = inside(b, &info);
    for (size_t i = 0; i < COUNT(operations); i++)
        expect(b, &info, operations[i], VELOCITY_INVALID, SERVICE_TRANSACTION_BUSY);
    transaction_leave(other);
    is_done(b, &info, SERVICE_GET);
    is_done(b, &info, SERVICE_COMMIT);
    assert_value(&b->behind, "a", "inside");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(with_the_disk_nearly_full_puts_are_committed_later_and_deletes_at_once),
        TEST(while_another_is_inside_each_is_told_so_and_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
