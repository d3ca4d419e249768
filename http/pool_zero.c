/*
 * pool_zero.c - libmicrohttpd's memset, where it links statically (http/CMakeLists.txt).
 *
 * After every request libmicrohttpd zeroes the connection's read buffer and then its whole memory, which has to be
 * 128 KiB so that the longest key fits escaped: 192 KiB of writes that miss the second-level cache, measured at twice
 * the cost of all else that it does for a small GET. It says itself that this is "technically not needed": everything
 * there is written before it is read. So in its copy of the library memset comes here: the read buffer's unused rest is
 * left as it is, and of the whole memory only both ends are zeroed, where requests that are not huge leave their bytes.
 *
 * What can stay is bytes of earlier requests of the same connection, in its own memory.
 */
#include "engine/velocity.h"

#define LARGE_BYTES ((size_t)16384) /* nothing else that the library zeroes is as large */
#define WHOLE_BYTES ((size_t)98304) /* a read buffer is at most half of the memory at first */
#define END_BYTES   ((size_t)1024)

void *velocity_pool_memset(void *block, int byte, size_t size);

void *velocity_pool_memset(void *block, int byte, size_t size) {
    if (byte != 0 || size < LARGE_BYTES) return memset(block, byte, size);
    if (size < WHOLE_BYTES) return block;
    memset(block, 0, END_BYTES);
    memset((unsigned char *)block + size - END_BYTES, 0, END_BYTES);
    return block;
}
