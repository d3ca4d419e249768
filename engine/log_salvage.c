/*
 * log_salvage.c - replays logs that may be damaged: what is damaged is told and passed over. See log.h.
 *
 * Of undamaged logs it hands on exactly what log_replay does, and it tells of a damage exactly where log_replay answers
 * CORRUPT. Behind a damage it goes on with the next valid group.
 *
 * The time it takes is in proportion to the size of the segments, whatever stands in them. Gaps are met at ever higher
 * places, and what is missing has ever higher sequences: so a group that proved too little once is not asked again.
 */
#include "coding.h"
#include "log_internal.h"
#include "status.h"

enum { READ_ATTEMPTS = 3 };

struct salvage {
    struct log_replay *replay;
    struct log_segment *segments;
    size_t count;
    log_damage_told *told;
    void *arg;
    bool ended; /* the tail was reached */
    /* In the present segment: where the last search for a proof ended, and what that group says was synced. */
    uint64_t proof_at, proof_through;
    /* The last of the later segments that was searched (none if it is not a later one), and the highest that any group
     * in it says was synced. */
    size_t searched;
    uint64_t searched_through;
};

static velocity_status tell(struct salvage *v, uint64_t number, uint64_t offset, uint64_t first, uint64_t behind) {
    struct log_damage damage = {number, offset, first, behind};
    return v->told(v->arg, &damage);
}

static velocity_status read_segment(const struct salvage *v, uint64_t number, struct segment_bytes *s) {
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = segment_read(v->replay, number, s);
    return status;
}

static bool proven_here(struct salvage *v, struct segment_bytes *s, uint64_t at) {
    uint64_t sequence = v->replay->next_sequence;
    if (v->proof_at >= at && v->proof_through >= sequence) return true;
    if (v->proof_at < at) v->proof_at = at;
    v->proof_through = segment_synced_through(s, &v->proof_at, sequence);
    return v->proof_through >= sequence;
}

/* The same by the segments behind i. One that is sealed says that all before it counted; one that can't be read might
 * have proven it: log_replay stops there, too. */
static velocity_status proven_later(struct salvage *v, size_t i, bool *proven) {
    uint64_t sequence = v->replay->next_sequence;
    if (v->searched <= i) {
        v->searched = i;
        v->searched_through = 0;
    }
    while (v->searched_through < sequence && v->searched + 1 < v->count) {
        struct segment_bytes next;
        uint64_t at = FILE_HEADER_BYTES;
        const struct log_segment *segment = &v->segments[++v->searched];
        velocity_status status = segment->sealed_end ? VELOCITY_OK : read_segment(v, segment->number, &next);
        v->searched_through = UINT64_MAX;
        if (segment->sealed_end || status == VELOCITY_CORRUPT || status == VELOCITY_IO || status == VELOCITY_NOT_FOUND)
            break;
        v->searched_through = 0;
        if (status) return status;
        v->searched_through = segment_synced_through(&next, &at, UINT64_MAX);
        segment_free(&next);
    }
    *proven = v->searched_through >= sequence;
    return VELOCITY_OK;
}

/* Whether a valid group from `at` on, here or in a later log, says that the next sequence was once on disk. */
static velocity_status look_for_proof(struct salvage *v, size_t i, struct segment_bytes *s, uint64_t at, bool *proven) {
    *proven = proven_here(v, s, at);
    return *proven ? VELOCITY_OK : proven_later(v, i, proven);
}

/* Something is missing before the valid group at `at`: is it damage, or the tail? */
static velocity_status judge_gap(struct salvage *v, size_t i, struct segment_bytes *s, uint64_t good, uint64_t at,
                                 const struct log_group *group) {
    bool proven = v->segments[i].sealed_end != 0;
    velocity_status status = proven ? VELOCITY_OK : look_for_proof(v, i, s, at, &proven);
    if (status) return status;
    if (!proven) {
        v->ended = true;
        return VELOCITY_OK;
    }
    uint64_t next = v->replay->next_sequence, first = group->first_sequence;
    if (first > next)
        (void)status_set(VELOCITY_CORRUPT,
                         "%s: offset %llu: the operations %llu to %llu were on disk once and are damaged", s->path,
                         (unsigned long long)good, (unsigned long long)next, (unsigned long long)(first - 1));
    else
        (void)status_set(VELOCITY_CORRUPT, "%s: offset %llu: what stands between two commit groups is damaged", s->path,
                         (unsigned long long)good);
    return tell(v, s->identity.number, good, next, first > next ? first : next);
}

/* Reading ended behind the last group that counts: is something missing there? */
static velocity_status judge_end(struct salvage *v, const struct log_segment *segment, const struct segment_bytes *s) {
    velocity_status damage = VELOCITY_OK;
    if (segment->end < segment->sealed_end)
        damage = status_set(VELOCITY_CORRUPT, "%s: offset %llu: the log counted up to %llu once, and ends here",
                            s->path, (unsigned long long)segment->end, (unsigned long long)segment->sealed_end);
    else if (!segment->sealed_end && segment_is_forged(s))
        damage = segment_forged(s, segment->end);
    return damage ? tell(v, segment->number, segment->end, v->replay->next_sequence, UINT64_MAX) : VELOCITY_OK;
}

static velocity_status salvage_groups(struct salvage *v, size_t i, struct segment_bytes *s) {
    struct log_segment *segment = &v->segments[i];
    struct log_replay *replay = v->replay;
    uint64_t end = segment->sealed_end && segment->sealed_end < s->size ? segment->sealed_end : s->size;
    uint64_t at = FILE_HEADER_BYTES, good = at; /* good: behind the last group that counts */
    bool may_skip = segment->sequence_may_skip;
    velocity_status status = VELOCITY_OK;
    v->proof_at = v->proof_through = 0;
    while (!status && at < end && !segment_is_forged(s)) {
        struct log_group group;
        if (!segment_group_at(s, at, &group)) {
            at += LOG_ALIGNMENT;
            continue;
        }
        uint64_t behind = at + log_group_bytes(group.payload_bytes);
        if (group.first_sequence < replay->next_sequence &&
            group.first_sequence + group.count <= replay->next_sequence) {
            at = good = behind; /* tables have it */
            continue;
        }
        bool gap = at != good || (group.first_sequence > replay->next_sequence && !may_skip);
        if (gap) status = judge_gap(v, i, s, good, at, &group);
        if (status || v->ended) break;
        status = segment_apply(replay, s, at, group);
        if (status == VELOCITY_CORRUPT)
            status = tell(v, s->identity.number, at, group.first_sequence, group.first_sequence + group.count);
        uint64_t next = group.first_sequence + group.count;
        if (next > replay->next_sequence) replay->next_sequence = next; /* else it makes no sense */
        at = good = behind;
        may_skip = false;
    }
    segment->end = good;
    segment->file_bytes = s->size;
    return status || v->ended ? status : judge_end(v, segment, s);
}

velocity_status log_salvage(struct log_replay *replay, struct log_segment *segments, size_t count,
                            log_damage_told *told, void *arg) {
    struct salvage v = {.replay = replay, .segments = segments, .count = count, .told = told, .arg = arg};
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < count && !status && !v.ended; i++) {
        struct segment_bytes s;
        segments[i].end = FILE_HEADER_BYTES;
        if (segments[i].begins_with > replay->next_sequence) replay->next_sequence = segments[i].begins_with;
        status = read_segment(&v, segments[i].number, &s);
        if (status == VELOCITY_CORRUPT || status == VELOCITY_IO || status == VELOCITY_NOT_FOUND) {
            status = tell(&v, segments[i].number, 0, replay->next_sequence, UINT64_MAX);
            continue;
        }
        if (status) break;
        status = salvage_groups(&v, i, &s);
        segment_free(&s);
    }
    return status;
}
