/*
 * log_replay.c - reads the log back. See log.h.
 *
 * What is recovered is always a prefix of what was written. A place where no valid group stands is either the end, or
 * damage: it is damage if a valid group further on says that the sequence expected here was already on disk
 * (synced_through), or if the segment is sealed beyond it.
 */
#include "log.h"

#include "coding.h"
#include "log_internal.h"
#include "status.h"

enum { IN_VAIN_TIMES = 16 }; /* see segment_is_forged */

void segment_free(struct segment_bytes *s) {
    env_free(s->path);
    env_free(s->data);
    cipher_free(s->identity.cipher);
    memset(s, 0, sizeof *s);
}

/*
 * A segment is used only after its header was synced. So where the header is bad, something that has the shape of a
 * group behind it shows that the header was good once and is damaged now.
 */
static bool holds_group_shape(const struct segment_bytes *s) {
    if (s->size < FILE_HEADER_BYTES + LOG_GROUP_HEADER_BYTES) return false;
    const uint8_t *g = s->data + FILE_HEADER_BYTES;
    return get_u64(g + GROUP_POSITION) == FILE_HEADER_BYTES &&
           get_u64(g + GROUP_DATABASE_ID) == s->identity.database_id;
}

velocity_status segment_read(const struct log_replay *replay, uint64_t number, struct segment_bytes *s) {
    memset(s, 0, sizeof *s);
    s->identity.number = number;
    s->identity.database_id = replay->database_id[0];
    env_file *file = NULL;
    size_t got;
    struct file_header header;
    velocity_status status = VELOCITY_NO_MEMORY;
    if ((s->path = file_path(replay->folder, FILE_LOG, number))) status = env_open_read(replay->env, s->path, &file);
    if (!status) status = env_size(file, &s->size);
    if (!status && !(s->data = env_alloc(s->size ? s->size : 1))) status = VELOCITY_NO_MEMORY;
    if (!status) status = env_read(file, s->data, s->size, 0, &got);
    if (!status) {
        s->size = got;
        status = file_header_parse(s->data, s->size, FILE_LOG, s->path, &header);
        if (status == VELOCITY_CORRUPT && !holds_group_shape(s)) {
            s->never_used = true;
            status = VELOCITY_OK;
        }
    }
    if (!status && !s->never_used && header.number > number &&
        memcmp(header.database_id, replay->database_id, sizeof header.database_id) == 0)
        s->never_used = true;
    if (!status && !s->never_used &&
        (header.number != number || memcmp(header.database_id, replay->database_id, sizeof header.database_id) != 0))
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the header is of another file", s->path);
    if (!status && !s->never_used) {
        s->identity.seed = file_seed(&header);
        s->old_key = !key_ring_is_present(replay->keys, &header);
        status = cipher_of(replay->keys, &header, s->path, &s->identity.cipher);
    }
    if (env_close(file) && !status) status = VELOCITY_IO;
    if (status) segment_free(s);
    return status;
}

enum log_found log_group_find(const struct log_identity *identity, const uint8_t *g, uint64_t size, uint64_t offset,
                              struct log_group *out) {
    if (size < LOG_GROUP_HEADER_BYTES) return LOG_GROUP_NONE;
    if (get_u64(g + GROUP_POSITION) != offset || get_u64(g + GROUP_LOG_NUMBER) != identity->number ||
        get_u64(g + GROUP_DATABASE_ID) != identity->database_id)
        return LOG_GROUP_NONE;
    out->payload_bytes = get_u32(g + GROUP_PAYLOAD_BYTES);
    if (out->payload_bytes > size - LOG_GROUP_HEADER_BYTES) return LOG_GROUP_CUT;
    out->count = get_u32(g + GROUP_COUNT);
    out->first_sequence = get_u64(g + GROUP_FIRST_SEQUENCE);
    out->wall_ms = get_u64(g + GROUP_WALL_MS);
    out->synced_through = get_u64(g + GROUP_SYNCED_THROUGH);
    if (out->count == 0) return LOG_GROUP_DAMAGED; /* none is written without an operation */
    bool right = get_u64(g + GROUP_CHECKSUM) == log_group_checksum(identity->seed, g, out->payload_bytes);
    return right ? LOG_GROUP_WHOLE : LOG_GROUP_DAMAGED;
}

bool segment_is_forged(const struct segment_bytes *s) {
    return s->hashed_in_vain / IN_VAIN_TIMES > s->size;
}

velocity_status segment_forged(const struct segment_bytes *s, uint64_t at) {
    return status_set(VELOCITY_CORRUPT,
                      "%s: offset %llu: behind this place stands more that looks like commit groups than a log holds",
                      s->path, (unsigned long long)at);
}

bool segment_group_at(struct segment_bytes *s, uint64_t at, struct log_group *out) {
    if (s->never_used || at > s->size || segment_is_forged(s)) return false;
    enum log_found found = log_group_find(&s->identity, s->data + at, s->size - at, at, out);
    if (found == LOG_GROUP_DAMAGED) s->hashed_in_vain += out->payload_bytes;
    return found == LOG_GROUP_WHOLE;
}

uint64_t segment_synced_through(struct segment_bytes *s, uint64_t *at, uint64_t enough) {
    struct log_group group;
    uint64_t highest = 0;
    *at = (*at + LOG_ALIGNMENT - 1) & ~(uint64_t)(LOG_ALIGNMENT - 1);
    while (*at + LOG_GROUP_HEADER_BYTES <= s->size && !segment_is_forged(s)) {
        if (!segment_group_at(s, *at, &group)) {
            *at += LOG_ALIGNMENT;
            continue;
        }
        if (group.synced_through > highest) highest = group.synced_through;
        if (highest >= enough) return highest;
        *at += log_group_bytes(group.payload_bytes);
    }
    return segment_is_forged(s) ? UINT64_MAX : highest;
}

/* Whether a group from `at` on proves that `sequence` was once on disk. */
static bool segment_proves(struct segment_bytes *s, uint64_t at, uint64_t sequence) {
    return segment_synced_through(s, &at, sequence) >= sequence;
}

static velocity_status damaged(const struct segment_bytes *s, uint64_t at, uint64_t sequence) {
    if (segment_is_forged(s)) return segment_forged(s, at);
    return status_set(VELOCITY_CORRUPT,
                      "%s: offset %llu: the commit group with sequence %llu was synced once and is damaged now",
                      s->path, (unsigned long long)at, (unsigned long long)sequence);
}

/*
 * Segment i holds a group that continues something which is not there; `from`, where the last group before it ends.
 * Is it provably lost, or were both never synced? OK: they were not, and it is the tail. A sealed segment says that all
 * before it counted.
 */
static velocity_status judge_gap(const struct log_replay *replay, const struct segment_bytes *from, uint64_t at,
                                 const struct log_segment *segments, size_t i, size_t count) {
    uint64_t sequence = replay->next_sequence;
    for (; i < count; i++) {
        struct segment_bytes s;
        if (segments[i].sealed_end) return damaged(from, at, sequence);
        velocity_status status = segment_read(replay, segments[i].number, &s);
        if (status) return status;
        bool proven = segment_proves(&s, FILE_HEADER_BYTES, sequence);
        segment_free(&s);
        if (proven) return damaged(from, at, sequence);
    }
    return VELOCITY_OK;
}

velocity_status log_group_open(const struct log_identity *identity, uint8_t *group, const struct log_group *found,
                               velocity_slice *payload) {
    uint8_t *stored = group + LOG_GROUP_HEADER_BYTES;
    *payload = velocity_bytes(stored, found->payload_bytes);
    if (!identity->cipher) return VELOCITY_OK;
    struct cipher_place place = log_group_place(group, get_u64(group + GROUP_POSITION));
    velocity_status status = cipher_unseal(identity->cipher, &place, stored, payload->size, stored);
    payload->size -= CIPHER_TAG_BYTES;
    return status;
}

velocity_status segment_apply(const struct log_replay *replay, const struct segment_bytes *s, uint64_t at,
                              struct log_group group) {
    velocity_slice payload;
    velocity_status status = log_group_open(&s->identity, s->data + at, &group, &payload);
    group.payload_bytes = (uint32_t)payload.size;
    /* So that nobody makes room for more operations than the file can hold, and sequences never fall. */
    if (!status && group.count > payload.size / LOG_OPERATION_LEAST_BYTES) status = VELOCITY_CORRUPT;
    if (!status && group.first_sequence + group.count < group.first_sequence) status = VELOCITY_CORRUPT;
    if (!status) status = replay->apply(replay->arg, s->identity.number, &group, payload.data);
    if (status == VELOCITY_CORRUPT)
        status = status_set(VELOCITY_CORRUPT, "%s: offset %llu: a commit group's operations make no sense", s->path,
                            (unsigned long long)at);
    return status;
}

/* Replays one segment. *gap: a group is there that begins too late, so something before it is missing. */
static velocity_status replay_segment(struct log_replay *replay, struct segment_bytes *s, struct log_segment *segment,
                                      bool *gap) {
    uint64_t at = FILE_HEADER_BYTES, end = segment->sealed_end ? segment->sealed_end : s->size;
    bool first = true;
    segment->file_bytes = s->size;
    *gap = false;
    while (at < end) {
        struct log_group group;
        if (!segment_group_at(s, at, &group)) {
            if (segment->sealed_end) return damaged(s, at, replay->next_sequence);
            break;
        }
        bool may_skip = first && segment->sequence_may_skip && group.first_sequence > replay->next_sequence;
        if (group.first_sequence != replay->next_sequence && !may_skip) {
            *gap = true;
            break;
        }
        velocity_status status = segment_apply(replay, s, at, group);
        if (status) return status;
        replay->next_sequence = group.first_sequence + group.count;
        if (first) segment->after = group.first_sequence - 1;
        segment->last = replay->next_sequence - 1;
        at += log_group_bytes(group.payload_bytes);
        first = false;
    }
    segment->end = at;
    return VELOCITY_OK;
}

velocity_status log_replay(struct log_replay *replay, struct log_segment *segments, size_t count) {
    struct segment_bytes before = {0}; /* what a gap is missing from */
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < count && !status; i++) {
        struct segment_bytes s;
        bool gap;
        if (segments[i].begins_with) replay->next_sequence = segments[i].begins_with;
        status = segment_read(replay, segments[i].number, &s);
        if (status) break;
        segments[i].old_key = s.old_key;
        status = replay_segment(replay, &s, &segments[i], &gap);
        if (!status && gap) {
            status = before.data ? judge_gap(replay, &before, segments[i - 1].end, segments, i, count)
                                 : judge_gap(replay, &s, FILE_HEADER_BYTES, segments, i, count);
            for (size_t later = i; later < count; later++) segments[later].end = FILE_HEADER_BYTES;
            segment_free(&s);
            break;
        }
        if (!status && !segments[i].sealed_end && segments[i].end < s.size &&
            segment_proves(&s, segments[i].end, replay->next_sequence))
            status = damaged(&s, segments[i].end, replay->next_sequence);
        segment_free(&before);
        before = s;
    }
    segment_free(&before);
    return status;
}
