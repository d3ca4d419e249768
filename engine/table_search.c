/* table_search.c - see table_search.h. */
#include "table_search.h"

#include "crc32c.h"
#include "status.h"
#include "table_walk.h"

enum {
    UNSURE_BYTES = 1 << 20, /* where it is not sure that a block begins, its end is looked for in so many bytes */
    SECTOR_BYTES = 4096,    /* a part of a file that can't be read is passed over in such steps */
    READ_ATTEMPTS = 3,
};

struct search {
    struct table *table;
    env_file *file;
    uint8_t *bytes; /* the file from `offset` on */
    size_t filled, capacity;
    uint64_t offset, to;
    table_block_found *found;
    void *arg;
    bool gap;
};

/* Reads what it can: what the disk does not give up stays zero. */
static velocity_status read_piece(struct search *s, uint8_t *to, size_t size, uint64_t offset, size_t *got) {
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = env_read(s->file, to, size, offset, got);
    if (status != VELOCITY_IO) return status;
    *got = 0;
    for (size_t done = 0; done < size;) {
        size_t part = size - done < SECTOR_BYTES ? size - done : SECTOR_BYTES, read = 0;
        status = env_read(s->file, to + done, part, offset + done, &read);
        if (status == VELOCITY_IO) memset(to + done, 0, read = part);
        if (status && status != VELOCITY_IO) return status;
        *got += read;
        done += part;
        if (read < part) break;
    }
    return VELOCITY_OK;
}

/* Has as much as possible of the file from `at` on in memory. */
static velocity_status fill(struct search *s, uint64_t at) {
    size_t keep = (size_t)(s->offset + s->filled - at);
    memmove(s->bytes, s->bytes + (at - s->offset), keep);
    s->offset = at;
    s->filled = keep;
    uint64_t left = s->to > at + keep ? s->to - at - keep : 0;
    size_t size = s->capacity - keep < left ? s->capacity - keep : (size_t)left, got = 0;
    velocity_status status = size ? read_piece(s, s->bytes + keep, size, at + keep, &got) : VELOCITY_OK;
    s->filled += got;
    return status;
}

/* Whether the trailer at `at` may be that of a block of `bytes` stored bytes. */
static bool is_plausible(const struct search *s, size_t at, uint64_t bytes) {
    return table_trailer_plausible(s->table, s->bytes + at, bytes);
}

/* The end of the block that begins at `start`, looking at most `most` bytes ahead; 0: there is none. */
static size_t block_end(const struct search *s, size_t start, size_t most) {
    uint64_t place[2] = {s->table->seed, s->offset + start};
    uint32_t crc = crc32c(0, place, sizeof place);
    size_t summed = start;
    size_t last = s->filled < BLOCK_TRAILER_BYTES ? 0 : s->filled - BLOCK_TRAILER_BYTES;
    if (last > start + most) last = start + most;
    for (size_t at = start + 1; at <= last; at++) {
        if (!is_plausible(s, at, at - start)) continue;
        crc = crc32c(crc, s->bytes + summed, at - summed);
        summed = at;
        const uint8_t *trailer = s->bytes + at;
        if (file_block_checksum(crc, place[1], trailer, BLOCK_TRAILER_BYTES - 4) ==
            get_u32(trailer + BLOCK_TRAILER_BYTES - 4))
            return at;
    }
    return 0;
}

/*
 * Nothing begins at `start`: the next place where a block does. What looks like a trailer may end the damaged block, or
 * be that of an uncompressed block whose beginning it tells. 0: none in what is in memory.
 */
static size_t next_block(const struct search *s, size_t start, size_t *end) {
    for (size_t at = start; at + BLOCK_TRAILER_BYTES <= s->filled; at++) {
        const uint8_t *trailer = s->bytes + at;
        uint32_t raw = get_u32(trailer + 1);
        if (raw == 0 || raw > UNSURE_BYTES) continue;
        size_t begin = at - start > raw ? at - raw : 0;
        if (trailer[0] == 0 && begin && block_end(s, begin, raw) == at) {
            *end = at;
            return begin;
        }
        begin = at + BLOCK_TRAILER_BYTES;
        if (trailer[0] <= TABLE_TRAILER_KINDS && (*end = block_end(s, begin, UNSURE_BYTES))) return begin;
    }
    return 0;
}

static velocity_status take(struct search *s, size_t start, size_t end) {
    struct block_handle handle = {s->offset + start, (uint32_t)(end - start)};
    struct cache_entry *entry;
    velocity_status status = table_decode_block(s->table, handle, s->bytes + start, &entry);
    if (status == VELOCITY_CORRUPT) { /* its bytes are what they were: of no use all the same */
        s->gap = true;
        return VELOCITY_OK;
    }
    if (status) return status;
    status = s->found(s->arg, handle, entry, s->gap);
    s->gap = false;
    cache_entry_release(entry);
    return status;
}

/* Whether what stands at `start` is the footer, behind which there is nothing. */
static bool is_footer(const struct search *s, size_t start) {
    return s->filled - start == TABLE_FOOTER_BYTES && get_u64(s->bytes + start) == TABLE_FOOTER_MAGIC;
}

static velocity_status search_all(struct search *s) {
    uint64_t at = s->offset;
    for (;;) {
        velocity_status status = VELOCITY_OK;
        /* Enough ahead for most blocks; all that fits for the rest. */
        if (s->offset + s->filled < at + UNSURE_BYTES) status = fill(s, at);
        size_t start = (size_t)(at - s->offset);
        if (status || start >= s->filled || is_footer(s, start)) return status;
        size_t end = block_end(s, start, s->capacity);
        if (!end && s->offset < at) {
            if ((status = fill(s, at))) return status;
            start = 0;
            end = block_end(s, 0, s->capacity);
        }
        if (!end) {
            s->gap = true;
            start = next_block(s, start, &end);
            if (!start && s->offset + s->filled < s->to && s->filled > UNSURE_BYTES) {
                at = s->offset + s->filled - UNSURE_BYTES; /* in the next piece, perhaps */
                continue;
            }
            if (!start) return VELOCITY_OK;
        }
        status = take(s, start, end);
        if (status) return status;
        at = s->offset + end + BLOCK_TRAILER_BYTES;
    }
}

velocity_status table_search(struct table *table, uint64_t from, uint64_t to, table_block_found *found, void *arg,
                             bool *gap_at_end) {
    struct search s = {.table = table, .offset = from, .found = found, .arg = arg};
    uint64_t size = 0;
    *gap_at_end = false;
    velocity_status status = env_open_read(table->file.env, table->path, &s.file);
    if (status == VELOCITY_NOT_FOUND) {
        *gap_at_end = true;
        return VELOCITY_OK;
    }
    if (!status) status = env_size(s.file, &size);
    s.to = size < to ? size : to;
    if (!status && from < s.to) {
        s.capacity = s.to - from < TABLE_WALK_WINDOW_BYTES ? (size_t)(s.to - from) : TABLE_WALK_WINDOW_BYTES;
        s.bytes = env_alloc(s.capacity);
        status = s.bytes ? search_all(&s) : VELOCITY_NO_MEMORY;
    }
    env_free(s.bytes);
    velocity_status closed = env_close(s.file);
    *gap_at_end = s.gap || (to != UINT64_MAX && size < to);
    return status ? status : closed;
}
