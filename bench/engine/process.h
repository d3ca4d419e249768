/* process.h - what the system says of this process, and of a directory. */
#ifndef VELOCITY_BENCH_PROCESS_H
#define VELOCITY_BENCH_PROCESS_H

#include <stdint.h>

double process_memory_mib(void);      /* resident now */
double process_peak_memory_mib(void); /* resident at most, so far */
double process_written_bytes(void);   /* that it caused to be sent to the disk */
double process_read_bytes(void);      /* that its system calls read, from the system's cache too */
double process_cpu_seconds(void);
/* Blocks that the files in it occupy. */
double directory_bytes(const char *path);
/* Removes everything in the directory, and it. Harmless where it is missing. */
void directory_remove(const char *path);
/* From now on this process and what the system caches for it have so much memory; 0: as before. Needs the right to make
 * a control group, and ends the process where that is missing. */
void process_limit_memory(uint64_t bytes);
/* Called by another process when the limited one has ended. */
void process_limit_remove(int pid);

#endif
