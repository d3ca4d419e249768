/* snapshot.c - frozen views: a list of the sequences that flush and compaction must keep seen, each with its time. */
#include "database_internal.h"

velocity_snapshot *velocity_snapshot_new(velocity *db) {
    velocity_snapshot *s = env_alloc(sizeof *s);
    if (!s) return NULL;
    s->db = db;
    atomic_fetch_add(&db->live_handles, 1);
    env_mutex_lock(&db->snapshot_mutex);
    s->sequence = atomic_load(&db->visible_sequence); /* never below an older snapshot's: the list stays sorted */
    s->now_ms = clock_now(&db->clock);                /* likewise */
    s->next = &db->snapshots;
    s->previous = db->snapshots.previous;
    s->previous->next = s->next->previous = s;
    env_mutex_unlock(&db->snapshot_mutex);
    return s;
}

uint64_t velocity_snapshot_sequence(const velocity_snapshot *s) {
    return s->sequence;
}

void velocity_snapshot_free(velocity_snapshot *s) {
    if (!s) return;
    velocity *db = s->db;
    env_mutex_lock(&db->snapshot_mutex);
    s->previous->next = s->next;
    s->next->previous = s->previous;
    env_mutex_unlock(&db->snapshot_mutex);
    env_free(s);
    atomic_fetch_sub(&db->live_handles, 1);
}

/* Of several that see the same the earliest counts, which comes first. */
static void note_view(uint64_t sequence, uint64_t now_ms, uint64_t *sequences, uint64_t *clocks, size_t *count) {
    if (*count && sequences[*count - 1] == sequence) return;
    sequences[*count] = sequence;
    clocks[(*count)++] = now_ms;
}

uint64_t snapshot_earliest_clock(velocity *db) {
    env_mutex_lock(&db->snapshot_mutex);
    const velocity_snapshot *oldest = db->snapshots.next;
    uint64_t now_ms = oldest == &db->snapshots ? clock_now(&db->clock) : oldest->now_ms;
    env_mutex_unlock(&db->snapshot_mutex);
    return now_ms;
}

velocity_status snapshot_sequences(velocity *db, uint64_t **out, uint64_t **clocks, size_t *count) {
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&db->snapshot_mutex);
    size_t n = 1;
    for (velocity_snapshot *s = db->snapshots.next; s != &db->snapshots; s = s->next) n++;
    uint64_t *sequences = env_alloc(2 * n * sizeof *sequences);
    *out = sequences;
    *clocks = sequences ? sequences + n : NULL;
    *count = 0;
    if (!sequences) {
        status = VELOCITY_NO_MEMORY;
    } else {
        for (velocity_snapshot *s = db->snapshots.next; s != &db->snapshots; s = s->next)
            note_view(s->sequence, s->now_ms, sequences, *clocks, count);
        note_view(atomic_load(&db->visible_sequence), clock_now(&db->clock), sequences, *clocks, count);
    }
    env_mutex_unlock(&db->snapshot_mutex);
    return status;
}

uint64_t snapshot_oldest(velocity *db) {
    env_mutex_lock(&db->snapshot_mutex);
    const velocity_snapshot *s = db->snapshots.next;
    uint64_t oldest = s != &db->snapshots ? s->sequence : atomic_load(&db->visible_sequence);
    env_mutex_unlock(&db->snapshot_mutex);
    return oldest;
}
