/*
 * auth_record_fuzz.c - any bytes as the record of a user, a token or a session, chosen by the first one: what is taken
 * is within all bounds, and is read the same again after it was written.
 */
#include "engine/database.h"
#include "server/auth_internal.h"
#include "tests/fuzz/engine_fuzz.h"

/* The key of the seeds' tokens and sessions: the first half of their SHA-256. */
#define ID "00112233445566778899aabbccddeeff"

static velocity *db;
static struct auth auth; /* as far as reading a record needs it */

static void set_up(void) {
    velocity_options options = velocity_options_default();
    if (db) return;
    options.memtable_bytes = 64 << 10;
    fuzz_must(database_open(env_sim_env(env_sim_new(1)), "system", &options, &db));
}

/* Writes the batch, and gives what stands under the key then. */
static void write_and_read(velocity_batch *batch, velocity_slice key, velocity_value *out) {
    velocity_write_options options = velocity_write_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    CHECK(velocity_write(db, batch, &options, NULL) == VELOCITY_OK);
    CHECK(velocity_get(db, key, out) == VELOCITY_OK);
    velocity_batch_free(batch);
}

static void check_scope(const struct scope *a, const struct scope *b) {
    CHECK(a->database_count <= SCOPE_MAX_DATABASES && a->prefix_count <= SCOPE_MAX_PREFIXES);
    CHECK(scope_covers(a, b) && scope_covers(b, a));
}

static void try_user(velocity_slice record) {
    velocity_slice key = velocity_str("user/ann");
    struct user *user, *again;
    velocity_value value;
    if (record_read_user(&auth, key, record, &user) != VELOCITY_OK) return;
    CHECK(user->principal->role < ROLE_COUNT && user->created_at_ms >= 0);
    CHECK(password_hash_check(user->hash) == VELOCITY_OK);
    velocity_batch *batch = velocity_batch_new();
    CHECK(batch && record_put_user(batch, user) == VELOCITY_OK);
    write_and_read(batch, key, &value);
    CHECK(record_read_user(&auth, key, velocity_bytes(value.data, value.size), &again) == VELOCITY_OK);
    CHECK(strcmp(user->hash, again->hash) == 0 && user->created_at_ms == again->created_at_ms);
    CHECK(user->principal->role == again->principal->role);
    check_scope(&user->principal->scope, &again->principal->scope);
    velocity_value_release(&value);
    user_free(user);
    user_free(again);
}

static void try_secret(velocity_slice record, enum secret_kind kind) {
    velocity_slice key = velocity_str(kind == SECRET_TOKEN ? "token/" ID : "session/" ID);
    struct secret *secret, *again;
    velocity_value value;
    if (record_read_secret(key, record, kind, &secret) != VELOCITY_OK) return;
    CHECK(auth_name_is_good(velocity_str(secret->user)) && secret->role >= -1 && secret->role < ROLE_COUNT);
    secret->expires_at_ms = 0; /* the engine would take it for gone */
    velocity_batch *batch = velocity_batch_new();
    CHECK(batch && record_put_secret(batch, secret) == VELOCITY_OK);
    write_and_read(batch, key, &value);
    CHECK(record_read_secret(key, velocity_bytes(value.data, value.size), kind, &again) == VELOCITY_OK);
    CHECK(memcmp(secret->digest, again->digest, DIGEST_BYTES) == 0 && strcmp(secret->user, again->user) == 0);
    CHECK(strcmp(secret->name, again->name) == 0 && strcmp(secret->csrf, again->csrf) == 0);
    CHECK(secret->role == again->role && secret->scoped == again->scoped && secret->browser == again->browser);
    CHECK(memcmp(secret->password_mark, again->password_mark, PASSWORD_MARK_BYTES) == 0);
    check_scope(&secret->scope, &again->scope);
    velocity_value_release(&value);
    secret_free(secret);
    secret_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    set_up();
    if (size == 0) return 0;
    velocity_slice record = velocity_bytes(data + 1, size - 1);
    if (data[0] == 'u') try_user(record);
    if (data[0] == 't') try_secret(record, SECRET_TOKEN);
    if (data[0] == 's') try_secret(record, SECRET_SESSION);
    return 0;
}
