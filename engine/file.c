/* file.c - names and headers of files. See file.h. */
#include "file.h"

#include "coding.h"
#include "crc32c.h"
#include "status.h"

#include <stdio.h>
#include <xxhash.h>

/* Where the fields of a header stand. Reserved bytes are zero. */
enum {
    AT_MAGIC = 0,
    AT_KIND = 8,
    AT_VERSION = 9,
    AT_HEADER_BYTES = 10,
    AT_DATABASE_ID = 16,
    AT_NUMBER = 32,
    AT_UID = 40,
    AT_CIPHER = 56,
    AT_KEY_ID = 64,
    AT_SALT = 72,
    AT_CREATED = 104,
    AT_ARGUMENT = 112,
    AT_CHECKSUM = 124,
};

static const char magic[8] = {'V', 'E', 'L', 'O', 'C', 'I', 'T', 'Y'};

velocity_status file_header_make(env *e, struct file_header *header, uint8_t out[FILE_HEADER_BYTES]) {
    velocity_status status = env_random(e, header->uid, sizeof header->uid);
    if (!status && header->cipher != CIPHER_NONE) status = env_random(e, header->salt, sizeof header->salt);
    if (status) return status;
    header->created_ms = env_now_ms(e);
    file_header_encode(header, out);
    return VELOCITY_OK;
}

void file_header_encode(const struct file_header *header, uint8_t out[FILE_HEADER_BYTES]) {
    memset(out, 0, FILE_HEADER_BYTES);
    memcpy(out + AT_MAGIC, magic, sizeof magic);
    out[AT_KIND] = (uint8_t)header->kind;
    out[AT_VERSION] = FILE_FORMAT_VERSION;
    put_u16(out + AT_HEADER_BYTES, FILE_HEADER_BYTES);
    memcpy(out + AT_DATABASE_ID, header->database_id, 16);
    put_u64(out + AT_NUMBER, header->number);
    memcpy(out + AT_UID, header->uid, 16);
    out[AT_CIPHER] = header->cipher;
    memcpy(out + AT_KEY_ID, header->key_id, sizeof header->key_id);
    memcpy(out + AT_SALT, header->salt, sizeof header->salt);
    put_u64(out + AT_CREATED, header->created_ms);
    put_u64(out + AT_ARGUMENT, header->argument);
    put_u32(out + AT_CHECKSUM, crc32c(0, out, AT_CHECKSUM));
}

velocity_status file_header_parse(const uint8_t *bytes, size_t size, enum file_kind kind, const char *path,
                                  struct file_header *out) {
    if (size < FILE_HEADER_BYTES)
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: the file ends inside its header (%zu bytes)", path, size);
    if (memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: not a Velocity file", path);
    if (crc32c(0, bytes, AT_CHECKSUM) != get_u32(bytes + AT_CHECKSUM))
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: the file header's checksum is wrong", path);
    if (bytes[AT_VERSION] != FILE_FORMAT_VERSION)
        return status_set(VELOCITY_UNSUPPORTED, "%s: file format %u; this build reads %u", path, bytes[AT_VERSION],
                          FILE_FORMAT_VERSION);
    if (bytes[AT_KIND] != (uint8_t)kind)
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: a file of kind %u where kind %u belongs", path,
                          bytes[AT_KIND], (unsigned)kind);
    if (bytes[AT_CIPHER] > CIPHER_AES_256_GCM)
        return status_set(VELOCITY_UNSUPPORTED, "%s: encrypted with cipher %u, which this build does not know", path,
                          bytes[AT_CIPHER]);
    out->cipher = bytes[AT_CIPHER];
    memcpy(out->key_id, bytes + AT_KEY_ID, sizeof out->key_id);
    memcpy(out->salt, bytes + AT_SALT, sizeof out->salt);
    out->kind = kind;
    memcpy(out->database_id, bytes + AT_DATABASE_ID, 16);
    out->number = get_u64(bytes + AT_NUMBER);
    memcpy(out->uid, bytes + AT_UID, 16);
    out->created_ms = get_u64(bytes + AT_CREATED);
    out->argument = get_u64(bytes + AT_ARGUMENT);
    return VELOCITY_OK;
}

velocity_status file_header_read(env_file *file, enum file_kind kind, const char *path, struct file_header *out) {
    uint8_t bytes[FILE_HEADER_BYTES];
    size_t got;
    velocity_status status = env_read(file, bytes, sizeof bytes, 0, &got);
    if (status) return status;
    return file_header_parse(bytes, got, kind, path, out);
}

uint64_t file_seed(const struct file_header *header) {
    return XXH3_64bits(header->uid, sizeof header->uid);
}

uint32_t file_block_checksum_begin(uint64_t seed, uint64_t offset) {
    uint64_t place[2] = {seed, offset};
    return crc32c(0, place, sizeof place);
}

uint32_t file_block_checksum(uint64_t seed, uint64_t offset, const void *data, size_t size) {
    return crc32c(file_block_checksum_begin(seed, offset), data, size);
}

char *file_path_named(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = env_alloc(size);
    if (path) (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *file_path(const char *folder, enum file_kind kind, uint64_t number) {
    char name[40];
    switch (kind) {
    case FILE_LOG: (void)snprintf(name, sizeof name, "%08llu.log", (unsigned long long)number); break;
    case FILE_TABLE: (void)snprintf(name, sizeof name, "%08llu.sst", (unsigned long long)number); break;
    case FILE_MANIFEST: (void)snprintf(name, sizeof name, "MANIFEST-%08llu", (unsigned long long)number); break;
    case FILE_VALUES: (void)snprintf(name, sizeof name, "%08llu.val", (unsigned long long)number); break;
    case FILE_CURRENT: (void)snprintf(name, sizeof name, "CURRENT"); break;
    }
    return file_path_named(folder, name);
}

velocity_status file_sync_parent(env *e, const char *path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    while (size && path[size - 1] != '/') size--;
    if (size == 0) return env_sync_directory(e, ".");
    char *parent = env_alloc(size + 1);
    if (!parent) return VELOCITY_NO_MEMORY;
    memcpy(parent, path, size);
    parent[size == 1 ? 1 : size - 1] = '\0';
    velocity_status status = env_sync_directory(e, parent);
    env_free(parent);
    return status;
}

bool file_name_parse(const char *name, enum file_kind *kind, uint64_t *number) {
    static const struct {
        const char *before, *after;
        enum file_kind kind;
    } shapes[] = {
        {"", ".log", FILE_LOG}, {"", ".sst", FILE_TABLE}, {"", ".val", FILE_VALUES}, {"MANIFEST-", "", FILE_MANIFEST}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t skip = strlen(shapes[i].before);
        if (strncmp(name, shapes[i].before, skip) != 0) continue;
        const char *digits = name + skip;
        size_t count = strspn(digits, "0123456789");
        if (count < 8 || count > 19 || strcmp(digits + count, shapes[i].after) != 0) continue;
        *kind = shapes[i].kind;
        *number = 0;
        for (size_t d = 0; d < count; d++) *number = *number * 10 + (uint64_t)(digits[d] - '0');
        return true;
    }
    return false;
}
