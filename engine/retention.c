/*
 * retention.c - see retention.h. The sequences that somebody sees cut the order of writes into stripes; all versions of
 * a key in one stripe are seen by the same readers, who all see the newest of them.
 */
#include "retention.h"

#include "slice.h"

velocity_status retention_init(struct retention *r, velocity *db, bool bottom) {
    memset(r, 0, sizeof *r);
    r->bottom = bottom;
    return snapshot_sequences(db, &r->sequences, &r->clocks, &r->count);
}

void retention_clear(struct retention *r) {
    env_free(r->sequences);
    env_free(r->key);
}

/* The first sequence that sees the entry; count if nobody does yet. */
static size_t stripe_of(const struct retention *r, uint64_t sequence) {
    if (r->count == 1) return sequence > r->sequences[0];
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->sequences[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static velocity_status remember_key(struct retention *r, velocity_slice key) {
    if (key.size > r->key_capacity) {
        env_free(r->key);
        r->key_capacity = 0;
        if (!(r->key = env_alloc(key.size * 2))) return VELOCITY_NO_MEMORY;
        r->key_capacity = key.size * 2;
    }
    memcpy(r->key, key.data, key.size);
    r->key_bytes = key.size;
    r->has_key = true;
    return VELOCITY_OK;
}

/* Whoever sees the entry sees it in its stripe or a later one, where it is later, too. */
static bool is_over(const struct retention *r, const struct entry *e, size_t stripe) {
    uint64_t now_ms = r->clocks[stripe < r->count ? stripe : r->count - 1];
    return e->expires_at_ms < 0 || now_ms >= (uint64_t)e->expires_at_ms;
}

/* Whether a range delete that all who see the entry also see covers it: a range delete, all of its range. */
static bool is_covered(struct retention *r, const struct entry *e, size_t stripe) {
    if (stripe == r->count) return false;
    if (!r->has_stretch || r->stretch_stripe != stripe || !range_stretch_holds(&r->stretch, e->key)) {
        r->stretch = range_stretch_all();
        range_list_narrow(r->ranges, e->key, false, r->sequences[stripe], &r->stretch);
        r->stretch_stripe = stripe;
        r->has_stretch = true;
    }
    if (r->stretch.sequence <= e->sequence) return false;
    return e->kind != ENTRY_RANGE_DELETE || slice_compare(e->value, r->stretch.to) <= 0;
}

/* Whether there is nothing left for a delete that everybody sees to hide. */
static bool is_spent(const struct retention *r, const struct entry *e) {
    if (e->kind == ENTRY_RANGE_DELETE) return r->range_is_spent && r->range_is_spent(r->arg, e);
    return r->bottom && (e->kind == ENTRY_DELETE || r->expired);
}

velocity_status retention_judge(struct retention *r, const struct entry *e, bool *keep, bool *new_key) {
    size_t stripe = stripe_of(r, e->sequence);
    *new_key = !r->has_key || !slice_equal(e->key, velocity_bytes(r->key, r->key_bytes));
    bool hidden = !*new_key && stripe == r->stripe && e->kind != ENTRY_RANGE_DELETE;
    *keep = !hidden && !(r->ranges && is_covered(r, e, stripe));
    r->stripe = stripe;
    r->expired = *keep && e->expires_at_ms && is_over(r, e, stripe);
    if (r->expired) {
        r->tombstone = (struct entry){.key = e->key, .sequence = e->sequence, .kind = ENTRY_DELETE};
        r->expired_count++;
    }
    if (*keep && stripe == 0 && is_spent(r, e)) *keep = false;
    return *new_key ? remember_key(r, e->key) : VELOCITY_OK;
}
