/*
 * outcomes.h - how transactions ended, for those who ask again: by id, for a while, in bounded memory.
 *
 *     ring of records, oldest first        buckets (by id) --> record --next--> record
 *     [first ......... newest]  free ->
 *
 * The ring and its buckets double as long as there is more to remember, up to `most` records of some 60 bytes and
 * OUTCOMES_MOST_KEY_BYTES of keys; then the oldest makes room, however young it is.
 *
 * Threads: one at a time.
 */
#ifndef VELOCITY_SERVER_OUTCOMES_H
#define VELOCITY_SERVER_OUTCOMES_H

#include "engine/velocity.h"

#define OUTCOME_ID_BYTES      16
#define OUTCOME_MESSAGE_BYTES 256 /* with a NUL */

#define OUTCOMES_MOST_KEY_BYTES (UINT64_C(64) << 20)

struct outcome {
    uint8_t id[OUTCOME_ID_BYTES]; /* random */
    uint64_t owner;               /* who may ask: a hash */
    uint8_t end;                  /* the caller's word for how it ended */
    velocity_status status;
    uint64_t version;
    char message[OUTCOME_MESSAGE_BYTES];
    velocity_slice key; /* that lost; empty: none */
};

struct outcomes;

/* `most`: a power of two. NULL: no memory. */
struct outcomes *outcomes_new(uint32_t most, uint64_t keep_ms);
void outcomes_free(struct outcomes *outcomes); /* NULL is allowed */
/* Copied, its key where there is memory for it. Without memory the oldest ones make room sooner. `now_ms` never goes
 * back. */
void outcomes_add(struct outcomes *outcomes, const struct outcome *outcome, uint64_t now_ms);
/* False: there is none, or it is too old. To be cleared. */
bool outcomes_find(const struct outcomes *outcomes, const uint8_t id[OUTCOME_ID_BYTES], uint64_t now_ms,
                   struct outcome *out);
/* Frees its key; harmless on a zeroed one. */
void outcome_clear(struct outcome *outcome);
uint32_t outcomes_count(const struct outcomes *outcomes);

#endif
