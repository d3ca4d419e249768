/* testing.c - see testing.h. */
#include "testing.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
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
    static char paths[256][512];
    static unsigned next;
    char *path = paths[next++ % 256];
    int size = snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    assert_true(size > 0 && (size_t)size < sizeof paths[0]);
    return path;
}

static bool ends_so(const char *name, const char *suffix) {
    size_t size = strlen(name), wanted = strlen(suffix);
    return size >= wanted && strcmp(name + size - wanted, suffix) == 0;
}

/* Calls visit for every name that ends so, in order. */
static void each_file(const char *folder, const char *suffix, void (*visit)(void *arg, const char *name), void *arg) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && ends_so(entries[i]->d_name, suffix)) visit(arg, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

struct search {
    size_t found, wanted;
    char *name;
};

static void look(void *arg, const char *name) {
    struct search *s = arg;
    if (s->name && (s->wanted == SIZE_MAX || s->wanted == s->found)) (void)snprintf(s->name, 64, "%.63s", name);
    s->found++;
}

size_t files_ending(const char *folder, const char *suffix, char *name) {
    struct search s = {.wanted = SIZE_MAX, .name = name};
    each_file(folder, suffix, look, &s);
    return s.found;
}

void files_sorted(const char *folder, const char *suffix, size_t index, char name[64]) {
    struct search s = {.wanted = index, .name = name};
    each_file(folder, suffix, look, &s);
    assert_true(index < s.found);
}

struct copying {
    const char *from, *to;
};

static void copy_one(void *arg, const char *name) {
    const struct copying *c = arg;
    if (strcmp(name, "LOCK") == 0) return;
    file_copy(path_in(c->from, name), path_in(c->to, name));
}

void folder_copy(const char *from, const char *to) {
    struct copying c = {from, to};
    assert_int_equal(mkdir(to, 0700), 0);
    each_file(from, "", copy_one, &c);
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

void runs_in_one_thread(void) {
#ifdef __SANITIZE_THREAD__
    skip();
#endif
}

uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

size_t awkward_key(uint64_t *state, uint8_t *out) {
    static const uint8_t letters[] = {0x00, 'a', 0xff, 0x01};
    size_t size = 1 + below(state, 12), variety = 1 + below(state, 4);
    for (size_t i = 0; i < size; i++) out[i] = letters[below(state, variety)];
    return size;
}
