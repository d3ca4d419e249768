/* testing.c - see testing.h. */
#include "testing.h"

#include <dirent.h>
#include <ftw.h>
#include <unistd.h>

int folder_setup(void **state) {
    char *path = strdup("engine_test.XXXXXX");
    *state = path;
    return path && mkdtemp(path) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

int folder_teardown(void **state) {
    int result = nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

const char *path_in(const char *folder, const char *name) {
    static _Thread_local char paths[8][160];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

size_t files_ending(const char *folder, const char *suffix, char *name) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    size_t found = 0;
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *each = entries[i]->d_name;
        size_t size = strlen(each), wanted = strlen(suffix);
        if (size >= wanted && strcmp(each + size - wanted, suffix) == 0) {
            found++;
            if (name) (void)snprintf(name, 64, "%.63s", each);
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

uint8_t *file_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    (void)fclose(file);
    return data;
}

void file_replace(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void file_flip(const char *path, size_t offset, uint8_t bits) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ bits, file), EOF);
    assert_int_equal(fclose(file), 0);
}

void file_copy(const char *from, const char *to) {
    size_t size;
    uint8_t *data = file_bytes(from, &size);
    file_replace(to, data, size);
    free(data);
}

size_t awkward_key(uint64_t *state, uint8_t *out) {
    static const uint8_t letters[] = {0x00, 'a', 0xff, 0x01};
    size_t size = 1 + below(state, 12), variety = 1 + below(state, 4);
    for (size_t i = 0; i < size; i++) out[i] = letters[below(state, variety)];
    return size;
}
