/* scratch.c - see scratch.h. */
#include "server/scratch.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_ALIGNMENT   ((size_t)16)
#define SCRATCH_BLOCK_BYTES ((size_t)16384)

struct scratch_block {
    struct scratch_block *next;
    size_t size; /* of bytes; two words keep them aligned */
    unsigned char bytes[];
};

static unsigned char *align(unsigned char *p) {
    return p + (-(uintptr_t)p & (SCRATCH_ALIGNMENT - 1));
}

void scratch_init(struct scratch *scratch, void *first, size_t size) {
    unsigned char *begin = first, *aligned;
    memset(scratch, 0, sizeof *scratch);
    if (!size) return; /* without a first block, which then may be no address at all */
    aligned = align(begin);
    scratch->first_end = begin + size;
    scratch->first_at = aligned < scratch->first_end ? aligned : scratch->first_end;
    scratch->at = scratch->first_at;
    scratch->end = scratch->first_end;
}

void *scratch_alloc(struct scratch *scratch, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + SCRATCH_ALIGNMENT - 1) & ~(SCRATCH_ALIGNMENT - 1);
    if (scratch->at && size <= (size_t)(scratch->end - scratch->at)) {
        void *piece = scratch->at;
        scratch->at += size;
        return piece;
    }
    size_t room = size > SCRATCH_BLOCK_BYTES ? size : SCRATCH_BLOCK_BYTES;
    struct scratch_block *block = malloc(sizeof *block + room);
    if (!block) return NULL;
    block->next = scratch->blocks;
    block->size = room;
    scratch->blocks = block;
    scratch->at = block->bytes + size;
    scratch->end = block->bytes + room;
    return block->bytes;
}

void scratch_reset(struct scratch *scratch) {
    while (scratch->blocks) {
        struct scratch_block *next = scratch->blocks->next;
        free(scratch->blocks);
        scratch->blocks = next;
    }
    scratch->at = scratch->first_at;
    scratch->end = scratch->first_end;
}

void scratch_overwrite(struct scratch *scratch) {
    unsigned char *used = scratch->blocks ? scratch->first_end : scratch->at;
    if (used > scratch->first_at) explicit_bzero(scratch->first_at, (size_t)(used - scratch->first_at));
    for (struct scratch_block *block = scratch->blocks; block; block = block->next)
        explicit_bzero(block->bytes, block->size);
}

bool scratch_copy(struct scratch *scratch, velocity_slice bytes, velocity_slice *out) {
    char *copy = scratch_alloc(scratch, bytes.size + 1);
    if (!copy) return false;
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = 0;
    *out = velocity_bytes(copy, bytes.size);
    return true;
}
