/* show.c - see show.h. */
#include "cli/show.h"
#include "server/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options -------------------------------------------------------------------------------------------------------
 */

int complain_of(velocity_status status) {
    return complain(status == VELOCITY_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED, "%s", velocity_error_message());
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int files_command_begin(const struct command *command, const struct command_arguments *arguments,
                        struct files_command *out) {
    const char *key_file = command_value(command, arguments, "key-file");
    memset(out, 0, sizeof *out);
    if (arguments->operand_count != 1)
        return complain(EXIT_USAGE, "%s takes one %s; see \"velocity help %s\"", command->name, command->operand,
                        command->name);
    const char *path = arguments->operands[0];
    if (snprintf(out->path, sizeof out->path, "%s/databases/default", path) >= (int)sizeof out->path)
        return complain(EXIT_USAGE, "%s: the path is too long", path);
    if (!is_folder(out->path)) (void)snprintf(out->path, sizeof out->path, "%s", path);
    out->options = velocity_options_default();
    out->options.create_if_missing = false;
    out->json = command_value(command, arguments, "json") != NULL;
    if (!key_file) return EXIT_DONE;
    velocity_status status = velocity_key_from_file(key_file, out->key);
    if (status) return complain_of(status);
    out->options.encryption_key = velocity_bytes(out->key, sizeof out->key);
    return EXIT_DONE;
}

void files_command_end(struct files_command *f) {
    explicit_bzero(f->key, sizeof f->key);
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------
 */

static void show_byte(unsigned char byte) {
    switch (byte) {
    case '\n': fputs("\\n", stdout); break;
    case '\t': fputs("\\t", stdout); break;
    case '\r': fputs("\\r", stdout); break;
    case '\\': fputs("\\\\", stdout); break;
    case '"': fputs("\\\"", stdout); break;
    default:
        if (byte < 0x20 || byte >= 0x7f)
            printf("\\x%02x", byte);
        else
            putchar(byte);
    }
}

void show_bytes(velocity_slice bytes, size_t most) {
    const unsigned char *p = bytes.data, *end = p + bytes.size;
    if (bytes.size == 0) return;
    if (most && bytes.size > most) end = p + most;
    while (p < end) {
        size_t size = *p >= 0x80 ? utf8_sequence(p, end) : 0;
        if (size == 2 && p[0] == 0xc2 && p[1] < 0xa0) size = 0; /* a control character of Latin-1 */
        if (size) {
            (void)fwrite(p, 1, size, stdout);
            p += size;
        } else {
            show_byte(*p++);
        }
    }
    if (most && bytes.size > most) fputs("...", stdout);
}

void show_size(uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit < 4; unit++) size /= 1024;
    printf(unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

bool show_line(struct json_writer *w) {
    json_append(w, "\n", 1);
    bool ok = !w->failed && fwrite(w->data, 1, w->size, stdout) == w->size;
    json_writer_clear(w);
    return ok;
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static void draw(void *arg, uint64_t done_bytes, uint64_t total_bytes) {
    enum { WIDTH = 40 };
    char bar[WIDTH + 1];
    (void)arg;
    if (total_bytes == 0 || done_bytes > total_bytes) done_bytes = total_bytes = 1;
    size_t full = (size_t)((double)done_bytes / (double)total_bytes * WIDTH);
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    (void)fprintf(stderr, "\r%s %3.0f%%", bar, (double)done_bytes * 100 / (double)total_bytes);
}

show_progress_function *show_progress(void) {
    return isatty(STDERR_FILENO) ? draw : NULL;
}

void show_progress_end(void) {
    if (isatty(STDERR_FILENO)) (void)fputs("\r\033[K", stderr);
}

/* ---- reports -------------------------------------------------------------------------------------------------------
 */

static const char *kind_name(velocity_finding_kind kind) {
    static const char *const names[] = {"note", "damage", "lost", "saved"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

static void write_bound(struct json_writer *w, const char *name, velocity_slice key) {
    json_name(w, name);
    if (!key.data) {
        json_write_null(w);
        return;
    }
    json_begin_object(w);
    json_write_key(w, key);
    json_end_object(w);
}

static void write_report(const velocity_report *report, struct json_writer *w) {
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {
        {"files", report->files},
        {"bytes", report->bytes},
        {"tables", report->tables},
        {"blocks", report->blocks},
        {"entries", report->entries},
        {"log_groups", report->log_groups},
        {"log_operations", report->log_operations},
        {"notes", report->notes},
        {"damages", report->damages},
        {"tables_rewritten", report->tables_rewritten},
        {"tables_lost", report->tables_lost},
        {"entries_saved", report->entries_saved},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_name(w, numbers[i].name);
        json_write_u64(w, numbers[i].number);
    }
    json_name(w, "last_version");
    json_write_u64_string(w, report->last_sequence);
    json_name(w, "findings");
    json_begin_array(w);
    for (size_t i = 0; i < report->finding_count; i++) {
        const velocity_finding *f = &report->findings[i];
        json_begin_object(w);
        json_name(w, "kind");
        json_write_string(w, velocity_str(kind_name(f->kind)));
        json_name(w, "file");
        json_write_string(w, velocity_str(f->file));
        json_name(w, "offset");
        json_write_u64(w, f->offset);
        json_name(w, "what");
        json_write_string(w, velocity_str(f->what));
        json_end_object(w);
    }
    json_end_array(w);
    json_name(w, "stale");
    json_begin_array(w);
    for (size_t i = 0; i < report->stale_count; i++) {
        json_begin_object(w);
        write_bound(w, "first", report->stale[i].first);
        write_bound(w, "last", report->stale[i].last);
        json_end_object(w);
    }
    json_end_array(w);
}

static void show_bound(velocity_slice key, const char *otherwise) {
    if (!key.data) {
        fputs(otherwise, stdout);
        return;
    }
    putchar('"');
    show_bytes(key, 0);
    putchar('"');
}

void show_report(const velocity_report *report, struct json_writer *w, bool repaired) {
    if (w) {
        write_report(report, w);
        return;
    }
    for (size_t i = 0; i < report->finding_count; i++) {
        const velocity_finding *f = &report->findings[i];
        printf("%-6s  %-16s  %10" PRIu64 "  %s\n", kind_name(f->kind), f->file, f->offset, f->what);
    }
    if (report->notes + report->damages > report->finding_count)
        printf("... only the first %zu are listed\n", report->finding_count);
    if (report->stale_count)
        printf("%s\n", repaired ? "In these ranges older versions, or deleted keys, may show:"
                                : "In these ranges older versions, or deleted keys, may show after a repair:");
    for (size_t i = 0; i < report->stale_count; i++) {
        fputs("  from ", stdout);
        show_bound(report->stale[i].first, "the first key");
        fputs(" to ", stdout);
        show_bound(report->stale[i].last, "the last key");
        putchar('\n');
    }
    printf("%" PRIu64 " files, ", report->files);
    show_size(report->bytes);
    printf("; %" PRIu64 " tables with %" PRIu64 " blocks and %" PRIu64 " entries; %" PRIu64 " operations in %" PRIu64
           " groups of logs\n",
           report->tables, report->blocks, report->entries, report->log_operations, report->log_groups);
}
