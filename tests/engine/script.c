/* script.c - a script's record, its writes and maintenance. See script.h; reading is in script_read.c. */
#include "script.h"

#include <stdarg.h>
#include <stdlib.h>

/* ---- the record -------------------------------------------------------------------------------------------------- */

void script_say(struct script *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(s->record, format, arguments);
    va_end(arguments);
}

void script_say_status(struct script *s, velocity_status status) {
    script_say(s, " %s", velocity_status_name(status));
    if (status == VELOCITY_OK || status == VELOCITY_NOT_FOUND || status == VELOCITY_CONFLICT) return;
    if (s->failure[0]) return;
    (void)snprintf(s->failure, sizeof s->failure, "%s: %s", velocity_status_name(status), velocity_error_message());
}

void script_say_operation(struct script *s, const struct model_operation *op) {
    if (op->end)
        script_say(s, " delete %zu to %zu,", op->key, op->end);
    else if (op->is_delete)
        script_say(s, " delete %zu,", op->key);
    else
        script_say(s, " put %zu (%zu bytes, flags %08x, until %lld),", op->key, op->value.size, op->flags,
                   (long long)op->expires_at_ms);
}

uint64_t script_version(const struct script *s, uint64_t sequence) {
    return s->letter ? sequence != VELOCITY_ABSENT : sequence;
}

void script_say_sequence(struct script *s, uint64_t sequence) {
    if (!s->letter) script_say(s, " %llu", (unsigned long long)sequence);
}

void script_init(struct script *s, uint64_t seed, size_t keys, char letter) {
    memset(s, 0, sizeof *s);
    s->m = model_new(seed, keys);
    s->letter = letter;
    if (letter) model_prefix_keys(s->m, letter);
    s->record = open_memstream(&s->text, &s->text_bytes);
    if (!s->record) abort();
    env_mutex_init(&s->mutex);
    env_condition_init(&s->settled);
}

void script_end(struct script *s) {
    if (s->record && fclose(s->record) != 0) abort();
    s->record = NULL;
}

void script_clear(struct script *s) {
    script_end(s);
    free(s->text);
    model_free(s->m);
    env_condition_destroy(&s->settled);
    env_mutex_destroy(&s->mutex);
}

void script_release(struct script *s) {
    script_say(s, "release:");
    script_release_reads(s);
    script_release_txns(s);
    script_say(s, "\n");
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put(struct script *s) {
    struct model_operation op = model_random_operation(s->m);
    velocity_slice key = s->m->keys[op.key].bytes;
    op.flags = 0;
    op.expires_at_ms = 0;
    script_say(s, "write");
    script_say_operation(s, &op);
    script_say(s, ":");
    script_say_status(s, op.end         ? velocity_delete_range(s->db, key, s->m->keys[op.end].bytes)
                         : op.is_delete ? velocity_delete(s->db, key)
                                        : velocity_put(s->db, key, op.value));
}

static velocity_batch *random_batch(struct script *s, size_t count) {
    velocity_batch *batch = velocity_batch_new();
    if (!batch) abort();
    script_say(s, "batch of");
    for (size_t i = 0; i < count; i++) {
        struct model_operation op = model_random_operation(s->m);
        velocity_slice key = s->m->keys[op.key].bytes;
        velocity_put_options options = velocity_put_options_default();
        options.flags = op.flags;
        options.expires_at_ms = op.expires_at_ms;
        script_say_operation(s, &op);
        if (op.end)
            velocity_batch_delete_range(batch, key, s->m->keys[op.end].bytes);
        else if (op.is_delete)
            velocity_batch_delete(batch, key);
        else
            velocity_batch_put(batch, key, op.value, &options);
    }
    return batch;
}

/* Mostly the version that the key has, sometimes another. */
static void require(struct script *s, velocity_batch *batch) {
    size_t key = model_random(s->m, s->m->key_count);
    velocity_value value;
    uint64_t version = VELOCITY_ABSENT;
    velocity_status status = velocity_get(s->db, s->m->keys[key].bytes, &value);
    if (status == VELOCITY_OK) {
        version = value.sequence;
        velocity_value_release(&value);
    }
    switch (model_random(s->m, 8)) {
    case 0: version++; break;
    case 1: version = VELOCITY_ABSENT; break;
    case 2: version = VELOCITY_EXISTS; break;
    default: break;
    }
    script_say(s, ", required key %zu at %llu", key, (unsigned long long)script_version(s, version));
    velocity_batch_require(batch, s->m->keys[key].bytes, version);
}

static void write_batch(struct script *s) {
    velocity_batch *batch = random_batch(s, model_random(s->m, SCRIPT_BATCH));
    velocity_write_options options = model_random_write_options(s->m);
    uint64_t sequence = 0, current = 0, required = model_random(s->m, 3) ? 0 : model_random(s->m, 4);
    for (; required > 0; required--) require(s, batch);
    script_say(s, ":");
    velocity_status status = velocity_write(s->db, batch, &options, &sequence);
    script_say_status(s, status);
    if (status == VELOCITY_OK) script_say_sequence(s, sequence);
    if (status == VELOCITY_CONFLICT) {
        script_say(s, ", condition %zu", velocity_batch_conflict(batch, &current));
        script_say(s, " met %llu", (unsigned long long)script_version(s, current));
    }
    velocity_batch_free(batch);
}

static void written(void *arg, velocity_status status, uint64_t sequence) {
    struct script_write *w = arg;
    struct script *s = w->script;
    env_mutex_lock(&s->mutex);
    w->status = status;
    w->sequence = sequence;
    if (--s->under_way == 0) env_condition_signal(&s->settled);
    env_mutex_unlock(&s->mutex);
}

/* Some asynchronous batches and a put that comes behind them all. */
static void write_async(struct script *s) {
    size_t count = 1 + model_random(s->m, SCRIPT_ASYNC);
    s->under_way = count;
    for (size_t i = 0; i < count; i++) {
        struct script_write *w = &s->writes[i];
        *w = (struct script_write){.script = s, .batch = random_batch(s, 1 + model_random(s->m, SCRIPT_BATCH))};
        velocity_write_options options = model_random_write_options(s->m);
        script_say(s, ", asynchronous; ");
        velocity_status status = velocity_write_async(s->db, w->batch, &options, written, w);
        if (status) written(w, status, 0);
    }
    put(s);
    env_mutex_lock(&s->mutex);
    while (s->under_way) env_condition_wait(&s->settled, &s->mutex);
    env_mutex_unlock(&s->mutex);
    for (size_t i = 0; i < count; i++) {
        script_say_status(s, s->writes[i].status);
        script_say_sequence(s, s->writes[i].sequence);
        velocity_batch_free(s->writes[i].batch);
    }
}

/* What must be refused, with nothing done. */
static void misuse(struct script *s) {
    velocity_slice key = s->m->keys[model_random(s->m, s->m->key_count)].bytes, none = velocity_bytes(NULL, 0);
    velocity_status empty = velocity_put(s->db, none, key), backward = velocity_delete_range(s->db, key, key);
    script_say(s, "misuse: %s %s", velocity_status_name(empty), velocity_status_name(backward));
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static void flush(struct script *s) {
    script_say(s, "flush:");
    script_say_status(s, velocity_flush(s->db));
}

static void compact(struct script *s) {
    velocity_range range = velocity_range_default();
    bool all = model_random(s->m, 2) == 0;
    range.start = s->m->keys[model_random(s->m, s->m->key_count)].bytes;
    script_say(s, "compact:");
    script_say_status(s, velocity_compact(s->db, all ? NULL : &range));
}

void script_step(struct script *s) {
    uint64_t sort = model_random(s->m, 1000);
    if (sort < 330)
        put(s);
    else if (sort < 430)
        write_batch(s);
    else if (sort < 460)
        write_async(s);
    else if (sort < 464)
        misuse(s);
    else if (sort < 470)
        flush(s);
    else if (sort < 473)
        compact(s);
    else if (sort < 650)
        script_txn_step(s);
    else
        script_read_step(s);
    script_say(s, "\n");
}
