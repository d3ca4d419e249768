/* txn_history.c - builds the graph of a history and looks for cycles. See txn_history.h. */
#include "txn_history.h"

#include <stdio.h>
#include <stdlib.h>

enum edge_kind { WW, WR, RW };

struct edge {
    size_t to;
    enum edge_kind kind;
};

struct node {
    struct edge *edges;
    size_t count, capacity;
};

struct version {
    uint64_t sequence;
    size_t writer; /* index of the transaction */
    bool deleted;
};

struct graph {
    const struct history *history;
    struct node *nodes;
    struct version *versions[HISTORY_KEYS]; /* by sequence: of each transaction its last on the key */
    size_t version_count[HISTORY_KEYS];
    bool at_snapshot; /* `begin` counts */
    char violation[200];
};

static void *must(void *block) {
    if (!block) abort();
    return block;
}

void txn_history_clear(struct history *h) {
    free(h->transactions);
    *h = (struct history){0};
}

void txn_history_add(struct history *h, const struct txn_history_transaction *t) {
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 64;
        h->transactions = must(realloc(h->transactions, h->capacity * sizeof *h->transactions));
    }
    h->transactions[h->count++] = *t;
}

/* ---- versions -----------------------------------------------------------------------------------------------------
 */

static int by_sequence(const void *a, const void *b) {
    const struct version *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void add_versions(struct graph *g, size_t writer) {
    const struct txn_history_transaction *t = &g->history->transactions[writer];
    for (size_t i = 0; i < t->write_count; i++) {
        const struct txn_history_write *w = &t->writes[i];
        bool last = true;
        for (size_t j = i + 1; j < t->write_count; j++) last = last && t->writes[j].key != w->key;
        if (!last) continue;
        g->versions[w->key][g->version_count[w->key]++] = (struct version){w->sequence, writer, w->deleted};
    }
}

static void order_versions(struct graph *g) {
    for (size_t key = 0; key < HISTORY_KEYS; key++)
        g->versions[key] = must(calloc(g->history->count + 1, sizeof *g->versions[key]));
    for (size_t i = 0; i < g->history->count; i++) add_versions(g, i);
    for (size_t key = 0; key < HISTORY_KEYS; key++)
        qsort(g->versions[key], g->version_count[key], sizeof *g->versions[key], by_sequence);
}

/* How many versions of the key are there at `sequence`. */
static size_t versions_until(const struct graph *g, uint32_t key, uint64_t sequence) {
    size_t n = 0;
    while (n < g->version_count[key] && g->versions[key][n].sequence <= sequence) n++;
    return n;
}

/* ---- edges --------------------------------------------------------------------------------------------------------
 */

static void add_edge(struct graph *g, size_t from, size_t to, enum edge_kind kind) {
    struct node *n = &g->nodes[from];
    if (from == to) return;
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 8;
        n->edges = must(realloc(n->edges, n->capacity * sizeof *n->edges));
    }
    n->edges[n->count++] = (struct edge){to, kind};
}

#define VIOLATION(g, ...) (void)snprintf((g)->violation, sizeof(g)->violation, __VA_ARGS__)

/* The read saw the version before `next`: *next versions of the key came before what it did not see. False: it saw what
 * cannot be. */
static bool place_read(struct graph *g, const struct txn_history_transaction *t, const struct txn_history_read *r,
                       size_t *next) {
    const struct version *versions = g->versions[r->key];
    size_t at_begin = versions_until(g, r->key, t->begin);
    *next = at_begin;
    if (r->writer) {
        for (*next = 1; *next <= g->version_count[r->key]; ++*next)
            if (g->history->transactions[versions[*next - 1].writer].number == r->writer) break;
        if (*next > g->version_count[r->key] || versions[*next - 1].deleted) {
            VIOLATION(g, "key %u: a value of %llx was read, which never was its last committed one", r->key,
                      (unsigned long long)r->writer);
            return false;
        }
    }
    if (!g->at_snapshot) return r->writer != 0; /* which absence it was is not known */
    bool absent = at_begin == 0 || versions[at_begin - 1].deleted;
    if (*next == at_begin && absent == !r->writer) return true;
    VIOLATION(g, "key %u: %llx at %llu read a value of %llx, which was not the newest then", r->key,
              (unsigned long long)t->number, (unsigned long long)t->begin, (unsigned long long)r->writer);
    return false;
}

static void add_read(struct graph *g, size_t reader, const struct txn_history_read *r) {
    size_t next;
    if (!place_read(g, &g->history->transactions[reader], r, &next)) return;
    if (next > 0) add_edge(g, g->versions[r->key][next - 1].writer, reader, WR);
    if (next < g->version_count[r->key]) add_edge(g, reader, g->versions[r->key][next].writer, RW);
}

static void add_overwrites(struct graph *g, uint32_t key) {
    for (size_t i = 1; i < g->version_count[key]; i++) {
        const struct version *older = &g->versions[key][i - 1], *newer = &g->versions[key][i];
        const struct txn_history_transaction *t = &g->history->transactions[newer->writer];
        add_edge(g, older->writer, newer->writer, WW);
        if (g->at_snapshot && older->sequence > t->begin)
            VIOLATION(g, "key %u: %llx began at %llu and overwrote %llu: an update was lost", key,
                      (unsigned long long)t->number, (unsigned long long)t->begin, (unsigned long long)older->sequence);
    }
}

/* ---- cycles -------------------------------------------------------------------------------------------------------
 */

/*
 * States are (node, whether the edge that led there was rw). Which edges may follow depends on what is looked for, so
 * any cycle of states is a violation. Takes states away that no state leads to, until none are left or all that are
 * left have one.
 */
static bool may_follow(velocity_isolation isolation, bool after_rw, enum edge_kind kind) {
    if (kind != RW || isolation == VELOCITY_ISOLATION_SERIALIZABLE) return true;
    return isolation == VELOCITY_ISOLATION_SNAPSHOT && !after_rw;
}

static size_t state_after(const struct edge *e) {
    return 2 * e->to + (e->kind == RW);
}

static bool has_cycle(const struct graph *g, velocity_isolation isolation) {
    size_t states = 2 * g->history->count, ready_count = 0, taken = 0;
    size_t *incoming = must(calloc(states + 1, sizeof *incoming)), *ready = must(calloc(states + 1, sizeof *ready));
    for (size_t s = 0; s < states; s++)
        for (size_t i = 0; i < g->nodes[s / 2].count; i++)
            if (may_follow(isolation, s % 2, g->nodes[s / 2].edges[i].kind))
                incoming[state_after(&g->nodes[s / 2].edges[i])]++;
    for (size_t s = 0; s < states; s++)
        if (incoming[s] == 0) ready[ready_count++] = s;
    while (taken < ready_count) {
        size_t s = ready[taken++];
        for (size_t i = 0; i < g->nodes[s / 2].count; i++) {
            const struct edge *e = &g->nodes[s / 2].edges[i];
            if (may_follow(isolation, s % 2, e->kind) && --incoming[state_after(e)] == 0)
                ready[ready_count++] = state_after(e);
        }
    }
    free(incoming);
    free(ready);
    return taken < states;
}

const char *txn_history_violation(const struct history *h, velocity_isolation isolation) {
    static char text[200];
    struct graph g = {.history = h, .at_snapshot = isolation != VELOCITY_ISOLATION_READ_COMMITTED};
    g.nodes = must(calloc(h->count + 1, sizeof *g.nodes));
    order_versions(&g);
    for (uint32_t key = 0; key < HISTORY_KEYS; key++) add_overwrites(&g, key);
    for (size_t i = 0; i < h->count; i++)
        for (size_t r = 0; r < h->transactions[i].read_count; r++) add_read(&g, i, &h->transactions[i].reads[r]);
    for (int i = VELOCITY_ISOLATION_READ_COMMITTED; i <= (int)isolation && !g.violation[0]; i++)
        if (has_cycle(&g, (velocity_isolation)i)) VIOLATION(&g, "a cycle that isolation %d forbids", i);
    for (size_t i = 0; i < h->count; i++) free(g.nodes[i].edges);
    for (size_t key = 0; key < HISTORY_KEYS; key++) free(g.versions[key]);
    free(g.nodes);
    memcpy(text, g.violation, sizeof text);
    return text[0] ? text : NULL;
}
