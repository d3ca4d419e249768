/*
 * auth_remembered.h - passwords that were right a moment ago, so that HTTP's Basic does not hash at every request.
 *
 * What is kept is HMAC-SHA-256 of name and password under a key of this process, and the number of the password that it
 * was right for; who changes a password gets another number, and nothing need be forgotten here.
 *
 * Threads: any. One mutex, held for a few instructions; nothing else is taken under it.
 */
#ifndef VELOCITY_SERVER_AUTH_REMEMBERED_H
#define VELOCITY_SERVER_AUTH_REMEMBERED_H

#include "engine/velocity.h"
#include "server/auth_digest.h"

#define REMEMBERED_MS      (5 * 60 * 1000)
#define REMEMBERED_ENTRIES 4096

struct remembered;

struct remembered *remembered_new(void); /* NULL: no memory, or no random numbers */
void remembered_free(struct remembered *remembered);

/* What the two functions below want. `user` holds no NUL and both are within auth.h's bounds. False: no memory. */
bool remembered_digest(const struct remembered *remembered, velocity_slice user, velocity_slice password,
                       uint8_t out[DIGEST_BYTES]);
/* The number of the password that it was; 0: not known, or too long ago. `now_ms` is of the monotonic clock. */
uint64_t remembered_find(struct remembered *remembered, const uint8_t digest[DIGEST_BYTES], int64_t now_ms);
void remembered_add(struct remembered *remembered, const uint8_t digest[DIGEST_BYTES], uint64_t number, int64_t now_ms);

#endif
