/* crc32c.h - CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as in RFC 3720; in hardware where the CPU has it.
 */
#ifndef VELOCITY_CRC32C_H
#define VELOCITY_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` more bytes after those that gave `crc` (0 to begin). Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* For tests: the portable way, whatever the CPU. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
