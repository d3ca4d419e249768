/*
 * file_writer.h - a file that is written from its header to its end, and then never again: tables, value files.
 *
 * Bytes are buffered, and writeback is started as they go, so that the sync at the end finds little to do. One thread.
 */
#ifndef VELOCITY_FILE_WRITER_H
#define VELOCITY_FILE_WRITER_H

#include "cipher.h"
#include "env.h"
#include "file.h"

struct file_writer {
    env *env;
    char *path;
    env_file *file;  /* NULL: closed */
    cipher *cipher;  /* NULL: not encrypted */
    uint64_t seed;   /* of the checksums */
    uint64_t offset; /* bytes produced: written and in `buffer` */
    uint64_t paced;  /* up to where writeback was started */
    uint8_t *buffer;
    size_t buffered;
};

/* Creates the file that header->kind and number name in the folder, and fills in the header. A failure leaves *w clear,
 * and nothing behind on disk. */
VELOCITY_CHECK_RESULT velocity_status file_writer_create(struct file_writer *w, env *e, const char *folder,
                                                         const key_ring *keys, struct file_header *header);
VELOCITY_CHECK_RESULT velocity_status file_writer_append(struct file_writer *w, const void *data, size_t size);
/* Writes out what is buffered, syncs and closes. Then, or after a failure of any call, one of the next two. */
VELOCITY_CHECK_RESULT velocity_status file_writer_finish(struct file_writer *w);
/* Lets go of everything but the file. A writer of zeroes is allowed. */
void file_writer_clear(struct file_writer *w);
/* The same, and the file goes, finished or not: nobody will read it. */
void file_writer_abandon(struct file_writer *w);

#endif
