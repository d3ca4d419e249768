/*
 * toml_fuzz.c - any bytes as the configuration file: it is refused in one line that names the file, or loaded; then
 * what is printed as in force loads again, and reads the same; its JSON is JSON; read again it has not changed.
 */
#include "server/config.h"
#include "server/json.h"
#include "server/json_write.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file in memory, whose path is `path`. */
static int make_file(const void *data, size_t size, char path[32]) {
    int file = memfd_create("toml", MFD_CLOEXEC);
    CHECK(file >= 0 && (size == 0 || write(file, data, size) == (ssize_t)size));
    (void)snprintf(path, 32, "/proc/self/fd/%d", file);
    return file;
}

static char *print(const struct config *config, size_t *size) {
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    CHECK(out);
    config_print(config, out);
    CHECK(fclose(out) == 0);
    return text;
}

static void check_json(const struct config *config) {
    struct json_writer w = {0};
    struct json_value root;
    config_write_json(config, &w);
    CHECK(!w.failed && json_parse(velocity_bytes(w.data, w.size), &root, NULL));
    json_writer_free(&w);
}

/* Nothing has changed since `config` was loaded from there, but perhaps the users. */
static void check_unchanged(const struct config *config, const char *path, bool users) {
    struct config_request request = {.path = path};
    struct config_changes changes;
    struct config_error error;
    struct config next;
    if (!config_reload(config, &request, &next, &changes, &error)) {
        fprintf(stderr, "%s\n", error.text);
        CHECK(!"what was loaded, or printed as in force, loads");
    }
    CHECK(changes.changed_count == 0 && changes.restart_count == 0 && (users || !changes.users));
    config_free(&next);
}

static void check_printed(const struct config *config) {
    char path[32];
    size_t size = 0;
    char *text = print(config, &size);
    int file = make_file(text, size, path);
    check_unchanged(config, path, true); /* what is secret is not printed */
    CHECK(close(file) == 0);
    free(text);
}

/* Control characters in a text are printed as question marks, and come back as those. Line ends are in texts of several
 * lines only, any other character may be escaped. */
static bool may_hold_control_characters(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (data[i] == '\\' || data[i] == 0x7f || (data[i] < ' ' && data[i] != '\n')) return true;
    return memmem(data, size, "\"\"\"", 3) || memmem(data, size, "'''", 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    struct config config;
    struct config_error error;
    int file = make_file(data, size, path);
    struct config_request request = {.path = path};
    if (config_load(&request, &config, &error)) {
        check_json(&config);
        check_unchanged(&config, path, false);
        if (!may_hold_control_characters(data, size)) check_printed(&config);
        config_free(&config);
    } else {
        CHECK(error.source == CONFIG_FILE && strncmp(error.text, path, strlen(path)) == 0);
        CHECK(!strchr(error.text, '\n') && strlen(error.text) > strlen(path) + 2);
    }
    CHECK(close(file) == 0);
    return 0;
}
