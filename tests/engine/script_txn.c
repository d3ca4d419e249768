/* script_txn.c - a script's transactions, of all isolations and some at a time, so that they get into each other's way
 * and plain writes into theirs. See script.h. */
#include "script.h"

static void begin(struct script *s, struct script_txn *t) {
    velocity_isolation isolation = (velocity_isolation)model_random(s->m, 3);
    script_say(s, " begins, isolation %d:", (int)isolation);
    t->savepoint_count = 0;
    script_say_status(s, velocity_txn_begin(s->db, isolation, &t->txn));
}

static void end(struct script_txn *t) {
    velocity_txn_free(t->txn);
    t->txn = NULL;
}

static void get(struct script *s, struct script_txn *t) {
    size_t key = model_random(s->m, s->m->key_count);
    velocity_value value;
    if (model_random(s->m, 4) == 0) {
        script_say(s, " contains key %zu:", key);
        script_say_status(s, velocity_txn_contains(t->txn, s->m->keys[key].bytes));
        return;
    }
    script_say(s, " gets key %zu:", key);
    velocity_status status = velocity_txn_get(t->txn, s->m->keys[key].bytes, &value);
    script_say_value(s, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static void get_many(struct script *s, struct script_txn *t) {
    enum { MANY = 6 };
    velocity_slice keys[MANY];
    velocity_value values[MANY];
    velocity_status statuses[MANY];
    for (size_t i = 0; i < MANY; i++) keys[i] = s->m->keys[model_random(s->m, s->m->key_count)].bytes;
    script_say(s, " gets many:");
    script_say_status(s, velocity_txn_get_many(t->txn, NULL, MANY, keys, values, statuses));
    for (size_t i = 0; i < MANY; i++) {
        script_say_value(s, statuses[i], &values[i]);
        if (statuses[i] == VELOCITY_OK) velocity_value_release(&values[i]);
    }
}

static void scan(struct script *s, struct script_txn *t) {
    uint8_t space[3][MODEL_BOUND_BYTES];
    script_say(s, " scans");
    velocity_range range = script_random_range(s, space);
    velocity_iterator *it = velocity_txn_iterator(t->txn, &range);
    if (model_random(s->m, 4))
        script_move(s, it, range.keys_only);
    else
        script_scan(s, it, range.keys_only);
    velocity_iterator_free(it);
}

static void write(struct script *s, struct script_txn *t) {
    struct model_operation op = model_random_operation(s->m);
    velocity_slice key = s->m->keys[op.key].bytes;
    velocity_put_options options = velocity_put_options_default();
    options.flags = op.flags;
    options.expires_at_ms = op.expires_at_ms;
    script_say(s, " writes:");
    script_say_operation(s, &op);
    script_say_status(s, op.end         ? velocity_txn_delete_range(t->txn, key, s->m->keys[op.end].bytes)
                         : op.is_delete ? velocity_txn_delete(t->txn, key)
                                        : velocity_txn_put(t->txn, key, op.value, &options));
}

static void turn_back(struct script *s, struct script_txn *t) {
    if (t->savepoint_count == 0 || (t->savepoint_count < SCRIPT_SAVEPOINTS && model_random(s->m, 2))) {
        script_say(s, " makes a savepoint:");
        script_say_status(s, velocity_txn_savepoint(t->txn, &t->savepoints[t->savepoint_count++]));
        return;
    }
    size_t to = model_random(s->m, t->savepoint_count);
    script_say(s, " goes back to savepoint %zu:", to);
    script_say_status(s, velocity_txn_rollback_to(t->txn, t->savepoints[to]));
    t->savepoint_count = to + 1;
}

static void commit(struct script *s, struct script_txn *t) {
    velocity_write_options options = model_random_write_options(s->m);
    uint64_t sequence = 0;
    script_say(s, " commits:");
    velocity_status status = velocity_txn_commit(t->txn, &options, &sequence);
    script_say_status(s, status);
    if (status == VELOCITY_OK) script_say_sequence(s, sequence);
    end(t);
}

static void roll_back(struct script *s, struct script_txn *t) {
    script_say(s, " rolls back:");
    script_say_status(s, velocity_txn_rollback(t->txn));
    end(t);
}

void script_release_txns(struct script *s) {
    for (size_t i = 0; i < SCRIPT_TXNS; i++)
        if (s->txns[i].txn) roll_back(s, &s->txns[i]);
}

void script_txn_step(struct script *s) {
    size_t which = model_random(s->m, SCRIPT_TXNS);
    struct script_txn *t = &s->txns[which];
    uint64_t sort = model_random(s->m, 100);
    script_say(s, "transaction %zu", which);
    if (!t->txn)
        begin(s, t);
    else if (sort < 20)
        get(s, t);
    else if (sort < 25)
        get_many(s, t);
    else if (sort < 40)
        scan(s, t);
    else if (sort < 75)
        write(s, t);
    else if (sort < 83)
        turn_back(s, t);
    else if (sort < 97)
        commit(s, t);
    else
        roll_back(s, t);
}
