/*
 * auth_check.c - who is it, by name and password.
 *
 *     auth_password: banned? -> remembered? -> the queue of the hashing thread, which asks both again: of many
 *     checks that wait together, the right ones cost one hash, and guesses beyond the limit none
 *
 * An unknown name costs the hash of another user, chosen by the name, whose answer is thrown away: however many costs
 * the configuration mixes, nobody can tell by the time which names there are.
 */
#include "server/auth_internal.h"

#include "engine/status.h"

#include <semaphore.h>
#include <stdio.h>

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void refuse_banned(struct auth_check *check, uint32_t retry_after_seconds) {
    check->result = AUTH_BANNED;
    check->retry_after_seconds = retry_after_seconds;
}

/* The user's principal, if the password is still the one that was verified. */
static struct principal *principal_of(struct auth *auth, velocity_slice name, uint64_t password_number) {
    struct principal *principal = NULL;
    (void)pthread_rwlock_rdlock(&auth->lock);
    struct user *user = user_list_find(&auth->users, name);
    if (user && user->password_number == password_number) principal = principal_acquire(user->principal);
    (void)pthread_rwlock_unlock(&auth->lock);
    return principal;
}

static void succeed(struct auth_check *check, struct principal *principal) {
    failures_forget(check->auth->failures, check->address, check->user);
    check->principal = principal;
    check->result = AUTH_OK;
}

static void fail(struct auth_check *check) {
    check->retry_after_seconds =
        failures_add(check->auth->failures, check->address, check->user, auth_monotonic_ms(check->auth));
    check->result = AUTH_REFUSED;
}

/* What needs no hash. True: answered. Good names only are looked up, so `digest` is made for those only. */
static bool answer_at_once(struct auth_check *check, uint8_t digest[DIGEST_BYTES], bool *has_digest) {
    struct auth *auth = check->auth;
    int64_t now_ms = auth_monotonic_ms(auth);
    uint32_t seconds = failures_banned(auth->failures, check->address, check->user, now_ms);
    *has_digest = false;
    if (seconds) {
        refuse_banned(check, seconds);
        return true;
    }
    if (check->password.size > AUTH_PASSWORD_MAX || !auth_has_users(auth)) {
        fail(check);
        return true;
    }
    if (!auth_name_is_good(check->user)) return false;
    *has_digest = remembered_digest(auth->remembered, check->user, check->password, digest);
    uint64_t number = *has_digest ? remembered_find(auth->remembered, digest, now_ms) : 0;
    struct principal *principal = number ? principal_of(auth, check->user, number) : NULL;
    if (principal) succeed(check, principal);
    return principal != NULL;
}

/* ---- on the hashing thread -------------------------------------------------------------------------------------- */

/* Whose hash is taken: the user's, or for an unknown name the one of a user that the name always leads to. Answers the
 * number of the password; 0: a stranger's. */
static uint64_t choose_hash(struct auth *auth, velocity_slice name, char hash[PASSWORD_HASH_BYTES]) {
    uint8_t digest[DIGEST_BYTES] = {0};
    uint32_t choice;
    (void)digest_keyed(auth->seed, name, digest); /* without memory: the first user's */
    memcpy(&choice, digest, sizeof choice);
    (void)pthread_rwlock_rdlock(&auth->lock);
    const struct user *known = user_list_find(&auth->users, name), *user = known;
    if (!user && auth->users.count) user = auth->users.items[choice % auth->users.count];
    hash[0] = '\0';
    if (user) memcpy(hash, user->hash, PASSWORD_HASH_BYTES);
    uint64_t number = known ? known->password_number : 0;
    (void)pthread_rwlock_unlock(&auth->lock);
    return number;
}

static void verify(struct auth_check *check, const uint8_t digest[DIGEST_BYTES], bool has_digest) {
    struct auth *auth = check->auth;
    char hash[PASSWORD_HASH_BYTES];
    uint64_t number = choose_hash(auth, check->user, hash);
    velocity_status status = password_verify(hash, check->password);
    explicit_bzero(hash, sizeof hash);
    /* INVALID: there is no user left, and nothing was hashed. */
    if (status != VELOCITY_INVALID) atomic_fetch_add_explicit(&auth->hashes, 1, memory_order_relaxed);
    if (status == VELOCITY_NO_MEMORY) {
        check->result = AUTH_BUSY; /* nobody knows whether it was right */
        return;
    }
    struct principal *principal = number && status == VELOCITY_OK ? principal_of(auth, check->user, number) : NULL;
    if (!principal) {
        fail(check);
        return;
    }
    if (has_digest) remembered_add(auth->remembered, digest, number, auth_monotonic_ms(auth));
    succeed(check, principal);
}

static struct auth_check *check_of(struct executor_task *task) {
    return (struct auth_check *)((char *)task - offsetof(struct auth_check, task));
}

static void run_check(struct executor_task *task) {
    struct auth_check *check = check_of(task);
    uint8_t digest[DIGEST_BYTES];
    bool has_digest;
    if (!answer_at_once(check, digest, &has_digest)) verify(check, digest, has_digest);
    explicit_bzero(digest, sizeof digest);
    check->done(check);
}

bool auth_password(struct auth *auth, struct auth_check *check) {
    uint8_t digest[DIGEST_BYTES];
    bool has_digest;
    check->auth = auth;
    check->principal = NULL;
    check->retry_after_seconds = 0;
    check->task.run = run_check;
    bool answered = answer_at_once(check, digest, &has_digest);
    explicit_bzero(digest, sizeof digest);
    /* Once it is submitted, the check is the hashing thread's. */
    if (answered) return true;
    if (executor_submit(auth->hasher, &check->task)) return false;
    atomic_fetch_add_explicit(&auth->queue_full, 1, memory_order_relaxed);
    check->result = AUTH_BUSY;
    return true;
}

/* ---- for changes, which wait ------------------------------------------------------------------------------------ */

struct hash_job {
    struct executor_task task;
    struct auth *auth;
    velocity_slice password;
    const char *hash; /* to be verified; NULL: one is to be made */
    char *out;
    velocity_status status;
    char message[256]; /* of the hashing thread, where it failed */
    sem_t finished;
};

static void run_job(struct executor_task *task) {
    struct hash_job *job = (struct hash_job *)task; /* its first member */
    atomic_fetch_add_explicit(&job->auth->hashes, 1, memory_order_relaxed);
    job->status =
        job->hash ? password_verify(job->hash, job->password) : job->auth->environment.hash(job->password, job->out);
    if (job->status) (void)snprintf(job->message, sizeof job->message, "%s", velocity_error_message());
    (void)sem_post(&job->finished);
}

static velocity_status run_and_wait(struct auth *auth, struct hash_job *job) {
    job->task.run = run_job;
    job->auth = auth;
    (void)sem_init(&job->finished, 0, 0);
    if (executor_submit(auth->hasher, &job->task)) {
        while (sem_wait(&job->finished) != 0) {
        }
        if (job->status) (void)status_set(job->status, "%s", job->message);
    } else {
        atomic_fetch_add_explicit(&auth->queue_full, 1, memory_order_relaxed);
        job->status = status_set(VELOCITY_BUSY, "too many passwords wait to be hashed; try again");
    }
    (void)sem_destroy(&job->finished);
    return job->status;
}

velocity_status auth_hash(struct auth *auth, const char *password, char out[PASSWORD_HASH_BYTES]) {
    struct hash_job job = {.password = velocity_str(password), .out = out};
    return run_and_wait(auth, &job);
}

velocity_status auth_verify(struct auth *auth, const char *hash, velocity_slice password) {
    struct hash_job job = {.password = password, .hash = hash};
    return run_and_wait(auth, &job);
}
