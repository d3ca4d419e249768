/*
 * transactions_fixture.h - a registry of transactions over everything that stands behind it, with a clock that stands
 * still until it is moved, and short words for what is done with it: by ann, in "default", under SNAPSHOT, where the
 * name does not say otherwise.
 */
#ifndef VELOCITY_TESTS_SERVER_TRANSACTIONS_FIXTURE_H
#define VELOCITY_TESTS_SERVER_TRANSACTIONS_FIXTURE_H

#include "tests/server/fixture.h"

#include "server/transactions.h"

enum { IDLE_MS = 30000, MAX_MS = 300000, BASE_BYTES = 32768, MIB = 1 << 20 };

struct bench {
    struct fixture behind;
    struct transactions *all;
    _Atomic uint64_t now_ms;
    struct principal *ann, *bob;
};

/* For cmocka: *state is a bench. */
int transactions_set_up(void **state);
int transactions_tear_down(void **state);
/* Anew, with other options; what they leave out is the bench's. */
void open_registry(struct bench *b, struct transactions_options options);
void pass(struct bench *b, uint64_t ms);
struct transactions_stats stats_of(struct bench *b);

struct transaction_caller in(struct principal *who, const char *database);
velocity_status try_begin(struct bench *b, struct principal *who, struct transaction_info *info);
struct transaction_info begin(struct bench *b, struct principal *who);
enum transaction_entry enter(struct bench *b, struct principal *who, const struct transaction_info *info,
                             struct transaction **out, struct outcome *outcome);
struct transaction *inside(struct bench *b, const struct transaction_info *info);
/* How it ended; -1: that is not known. */
int end_of(struct bench *b, const struct transaction_info *info);
enum transaction_entry roll_back(struct bench *b, const struct transaction_info *info);

struct store_commit write_inside(struct transaction *transaction, const char *key, velocity_slice value);
void put_inside(struct bench *b, const struct transaction_info *info, const char *key, const char *value);
/* Waits for the answer. */
struct store_commit commit_inside(struct transaction *transaction);
struct store_commit commit(struct bench *b, const struct transaction_info *info);

#endif
