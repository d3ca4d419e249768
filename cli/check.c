/* check.c - velocity db verify, db repair, db sst-verify, db compact. */
#include "cli/show.h"

#include <inttypes.h>
#include <stdio.h>

static velocity_check_options check_options(const struct files_command *f) {
    velocity_check_options check = velocity_check_options_default();
    check.database = &f->options;
    check.progress = show_progress();
    return check;
}

/* One JSON object, or text that ends with the verdict. */
static int show_result(const struct files_command *f, const velocity_report *report, const char *result,
                       bool repaired) {
    if (!f->json) {
        show_report(report, NULL, repaired);
        printf("%s\n", result);
        return EXIT_DONE;
    }
    struct json_writer w = {0};
    json_begin_object(&w);
    json_name(&w, "path");
    json_write_string(&w, velocity_str(f->path));
    json_name(&w, "result");
    json_write_string(&w, velocity_str(result));
    show_report(report, &w, repaired);
    json_end_object(&w);
    bool written = show_line(&w);
    json_writer_free(&w);
    return written ? EXIT_DONE : complain(EXIT_FAILED, "can't write the report");
}

static int end_check(struct files_command *f, velocity_status status, velocity_report *report) {
    int code = EXIT_DONE;
    show_progress_end();
    if (status && status != VELOCITY_CORRUPT)
        code = complain_of(status);
    else
        code = show_result(f, report, status ? "damaged" : "whole", false);
    if (!code && status) code = EXIT_FAILED;
    velocity_report_clear(report);
    files_command_end(f);
    return code;
}

int run_db_verify(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    velocity_report report = velocity_report_default();
    velocity_check_options check = check_options(&f);
    velocity_status status = velocity_verify_with(f.path, &check, &report);
    return end_check(&f, status, &report);
}

int run_sst_verify(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    velocity_report report = velocity_report_default();
    velocity_check_options check = check_options(&f);
    velocity_status status = velocity_table_read(f.path, &check, NULL, &report);
    return end_check(&f, status, &report);
}

int run_db_repair(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    velocity_report report = velocity_report_default();
    velocity_check_options check = check_options(&f);
    velocity_status status = velocity_repair_with(f.path, &check, &report);
    show_progress_end();
    if (status)
        code = complain_of(status);
    else
        code = show_result(&f, &report, report.repaired ? "repaired" : "whole", true);
    velocity_report_clear(&report);
    files_command_end(&f);
    return code;
}

/* ---- compact -------------------------------------------------------------------------------------------------------
 */

static velocity_status compact(velocity *db, uint64_t bytes[2], uint64_t entries[2]) {
    velocity_stats stats = {.struct_size = sizeof stats};
    velocity_status status = velocity_flush(db); /* what the log holds counts too */
    for (int after = 0; after < 2 && !status; after++) {
        if (after) status = velocity_compact(db, NULL);
        if (!status) status = velocity_stats_get(db, &stats);
        bytes[after] = stats.table_bytes;
        entries[after] = stats.table_entries;
    }
    return status;
}

int run_db_compact(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    uint64_t bytes[2] = {0, 0}, entries[2] = {0, 0};
    velocity *db;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    velocity_status status = velocity_open(f.path, &f.options, &db);
    files_command_end(&f);
    if (status) return complain_of(status);
    status = compact(db, bytes, entries);
    if (status) code = complain_of(status);
    status = velocity_close(db);
    if (status && !code) code = complain_of(status);
    if (code) return code;
    if (f.json) {
        printf("{\"bytes_before\":%" PRIu64 ",\"bytes_after\":%" PRIu64 ",\"entries_before\":%" PRIu64
               ",\"entries_after\":%" PRIu64 "}\n",
               bytes[0], bytes[1], entries[0], entries[1]);
        return EXIT_DONE;
    }
    fputs("tables: ", stdout);
    show_size(bytes[0]);
    printf(" with %" PRIu64 " entries before, ", entries[0]);
    show_size(bytes[1]);
    printf(" with %" PRIu64 " after\n", entries[1]);
    return EXIT_DONE;
}
