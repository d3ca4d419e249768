/*
 * password.c - argon2id hashes as PHC strings (RFC 9106; github.com/P-H-C/phc-string-format). See auth.h.
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>      both in base64 without padding
 *
 * A string is taken apart here before libargon2 sees it: whoever can write one (into the configuration, or a record)
 * shall not be able to make us take gigabytes or minutes to look at it. Any thread.
 */
#include "server/auth.h"

#include "engine/env.h"
#include "engine/status.h"
#include "server/base64.h"
#include "server/decimal.h"

#include <argon2.h>

enum {
    MEMORY_KIB = 19456, /* OWASP's Password Storage Cheat Sheet: m=19 MiB, t=2, p=1 */
    PASSES = 2,
    LANES = 1,
    MAX_MEMORY_KIB = 262144,
    MAX_PASSES = 10,
    MAX_LANES = 4,
    KIB_PER_LANE = 8, /* at least: RFC 9106, section 3.1 */
    SALT_BYTES = 16,
    HASH_BYTES = 32,
    MIN_SALT_BYTES = 8,
    MIN_HASH_BYTES = 16,
};

/* What libargon2 says, as a status. */
static velocity_status outcome(int result) {
    switch (result) {
    case ARGON2_OK: return VELOCITY_OK;
    case ARGON2_VERIFY_MISMATCH: return status_set(VELOCITY_NOT_FOUND, "it is another password");
    case ARGON2_MEMORY_ALLOCATION_ERROR:
    case ARGON2_THREAD_FAIL: return status_set(VELOCITY_NO_MEMORY, "no memory to hash a password");
    default: return status_set(VELOCITY_INVALID, "argon2: %s", argon2_error_message(result));
    }
}

velocity_status password_hash(velocity_slice password, char out[PASSWORD_HASH_BYTES]) {
    unsigned char salt[SALT_BYTES];
    out[0] = '\0';
    if (password.size > AUTH_PASSWORD_MAX)
        return status_set(VELOCITY_INVALID, "a password has at most %d bytes", AUTH_PASSWORD_MAX);
    velocity_status status = env_random(env_posix(), salt, sizeof salt);
    if (status) return status;
    return outcome(argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password.data, password.size, salt, sizeof salt,
                                         HASH_BYTES, out, PASSWORD_HASH_BYTES));
}

/* ---- taking a string apart -------------------------------------------------------------------------------------- */

/* Moves *at behind `text`, if that is what comes next. */
static bool skip(const char **at, const char *text) {
    size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0) return false;
    *at += size;
    return true;
}

static bool number(const char **at, uint64_t *out) {
    size_t size = strspn(*at, "0123456789");
    if (!decimal_u64(velocity_bytes(*at, size), out)) return false;
    *at += size;
    return true;
}

/* Base64 with +/ and without padding, to its end: how many bytes it stands for; 0: it is none. */
static size_t base64_bytes(velocity_slice text) {
    char url[PASSWORD_HASH_BYTES], bytes[PASSWORD_HASH_BYTES];
    size_t size = 0;
    if (text.size > sizeof url) return 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = ((const char *)text.data)[i];
        if (c == '-' || c == '_') return 0;
        url[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    return base64url_decode(velocity_bytes(url, text.size), bytes, &size) ? size : 0;
}

velocity_status password_hash_check(const char *hash) {
    const char *at = hash;
    uint64_t memory, passes, lanes;
    if (strnlen(hash, PASSWORD_HASH_BYTES) == PASSWORD_HASH_BYTES)
        return status_set(VELOCITY_INVALID, "a password's hash has fewer than %d characters", PASSWORD_HASH_BYTES);
    if (!skip(&at, "$argon2id$v=19$m=") || !number(&at, &memory) || !skip(&at, ",t=") || !number(&at, &passes) ||
        !skip(&at, ",p=") || !number(&at, &lanes) || !skip(&at, "$"))
        return status_set(VELOCITY_INVALID, "not the hash of a password: it begins with $argon2id$v=19$m=...,t=...,"
                                            "p=...$");
    const char *end_of_salt = strchr(at, '$');
    if (!end_of_salt || base64_bytes(velocity_bytes(at, (size_t)(end_of_salt - at))) < MIN_SALT_BYTES ||
        base64_bytes(velocity_str(end_of_salt + 1)) < MIN_HASH_BYTES)
        return status_set(VELOCITY_INVALID,
                          "not the hash of a password: it ends with a salt of at least %d bytes, $ and "
                          "a hash of at least %d, in base64 without padding",
                          MIN_SALT_BYTES, MIN_HASH_BYTES);
    if (passes < 1 || lanes < 1 || memory < KIB_PER_LANE * lanes)
        return status_set(VELOCITY_INVALID, "the hash of a password has t and p of at least 1, and m of at least 8 p");
    if (memory > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES)
        return status_set(VELOCITY_INVALID, "the hash of a password costs too much: at most m=%d,t=%d,p=%d",
                          MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES);
    return VELOCITY_OK;
}

velocity_status password_verify(const char *hash, velocity_slice password) {
    velocity_status status = password_hash_check(hash);
    if (status) return status;
    if (password.size > AUTH_PASSWORD_MAX) return status_set(VELOCITY_NOT_FOUND, "it is another password");
    return outcome(argon2id_verify(hash, password.data, password.size));
}
