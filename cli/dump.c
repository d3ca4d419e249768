/* dump.c - velocity db dump and db sst-dump: what a database, or one table file, holds. */
#include "cli/show.h"

#include <inttypes.h>
#include <stdio.h>

enum { SHOWN_BYTES = 64 }; /* of a value, unless --full asks for all */

static const char *type_name(uint32_t flags) {
    switch (flags & 0xff) {
    case 0: return "bytes";
    case 1: return "json";
    case 2: return "text";
    case 255: return "named";
    default: return "unknown";
    }
}

static const char *entry_kind_name(velocity_entry_kind kind) {
    switch (kind) {
    case VELOCITY_ENTRY_PUT: return "put";
    case VELOCITY_ENTRY_DELETE: return "delete";
    case VELOCITY_ENTRY_RANGE_DELETE: return "delete-range";
    case VELOCITY_ENTRY_VALUE_REFERENCE: return "put-apart";
    }
    return "unknown";
}

struct dump {
    struct json_writer w;
    bool json, full, blocks;
    uint64_t count;
};

static bool show_entry(struct dump *d, const velocity_entry *e, bool with_kind) {
    d->count++;
    if (!d->json) {
        putchar('"');
        show_bytes(e->key, 0);
        printf("\"  version %" PRIu64, e->sequence);
        if (with_kind) printf("  %s", entry_kind_name(e->kind));
        if (e->kind != VELOCITY_ENTRY_DELETE) printf("  %s  %zu bytes", type_name(e->flags), e->value.size);
        if (e->flags >> 8) printf("  flags 0x%" PRIx32, e->flags >> 8);
        if (e->expires_at_ms) printf("  expires %" PRId64, e->expires_at_ms);
        if (e->value.size) {
            fputs("  \"", stdout);
            show_bytes(e->value, d->full ? 0 : SHOWN_BYTES);
            putchar('"');
        }
        return putchar('\n') != EOF;
    }
    json_begin_object(&d->w);
    json_write_key(&d->w, e->key);
    json_name(&d->w, "version");
    json_write_u64_string(&d->w, e->sequence);
    if (with_kind) {
        json_name(&d->w, "kind");
        json_write_string(&d->w, velocity_str(entry_kind_name(e->kind)));
    }
    if (e->kind != VELOCITY_ENTRY_DELETE) {
        json_name(&d->w, "type");
        json_write_string(&d->w, velocity_str(type_name(e->flags)));
        json_name(&d->w, "flags");
        json_write_u64(&d->w, e->flags);
        json_name(&d->w, "size");
        json_write_u64(&d->w, e->value.size);
        json_write_text(&d->w, e->value);
    }
    if (e->expires_at_ms) {
        json_name(&d->w, "expires_at_ms");
        json_write_i64(&d->w, e->expires_at_ms);
    }
    json_end_object(&d->w);
    return show_line(&d->w);
}

/* ---- a database ----------------------------------------------------------------------------------------------------
 */

/* The levels, before the entries. */
static velocity_status show_levels(velocity *db, struct dump *d) {
    velocity_stats stats = {.struct_size = sizeof stats};
    velocity_status status = velocity_stats_get(db, &stats);
    if (status) return status;
    if (d->json) {
        json_begin_object(&d->w);
        json_name(&d->w, "last_version");
        json_write_u64_string(&d->w, stats.last_sequence);
        json_name(&d->w, "levels");
        json_begin_array(&d->w);
    }
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        if (!stats.level_tables[l]) continue;
        if (!d->json) {
            printf("# level %d: %" PRIu64 " tables, ", l, stats.level_tables[l]);
            show_size(stats.level_bytes[l]);
            putchar('\n');
            continue;
        }
        json_begin_object(&d->w);
        json_name(&d->w, "level");
        json_write_i64(&d->w, l);
        json_name(&d->w, "tables");
        json_write_u64(&d->w, stats.level_tables[l]);
        json_name(&d->w, "bytes");
        json_write_u64(&d->w, stats.level_bytes[l]);
        json_end_object(&d->w);
    }
    if (d->json) {
        json_end_array(&d->w);
        json_end_object(&d->w);
        return show_line(&d->w) ? VELOCITY_OK : VELOCITY_IO;
    }
    printf("# %" PRIu64 " entries in tables, last version %" PRIu64 "\n", stats.table_entries, stats.last_sequence);
    return VELOCITY_OK;
}

static int dump_entries(velocity *db, struct dump *d, const char *prefix) {
    velocity_range range = velocity_range_default();
    range.fill_cache = false;
    if (prefix) range.prefix = velocity_str(prefix);
    velocity_iterator *it = velocity_iterator_new(db, &range);
    bool written = true;
    for (; velocity_iterator_valid(it) && written; velocity_iterator_next(it)) {
        velocity_entry e = {.key = velocity_iterator_key(it),
                            .value = velocity_iterator_value(it),
                            .sequence = velocity_iterator_sequence(it),
                            .expires_at_ms = velocity_iterator_expires_at_ms(it),
                            .flags = velocity_iterator_flags(it),
                            .kind = VELOCITY_ENTRY_PUT};
        written = show_entry(d, &e, false);
    }
    velocity_status status = velocity_iterator_status(it);
    int code = status ? complain_of(status) : EXIT_DONE;
    velocity_iterator_free(it);
    return written ? code : complain(EXIT_FAILED, "can't write to standard output");
}

int run_db_dump(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    velocity *db;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    velocity_status status = velocity_open(f.path, &f.options, &db);
    files_command_end(&f);
    if (status) return complain_of(status);
    struct dump d = {.json = f.json, .full = command_value(command, arguments, "full") != NULL};
    if (command_value(command, arguments, "levels")) status = show_levels(db, &d);
    code = status ? complain_of(status) : dump_entries(db, &d, command_value(command, arguments, "prefix"));
    json_writer_free(&d.w);
    status = velocity_close(db);
    return status && !code ? complain_of(status) : code;
}

/* ---- a table file --------------------------------------------------------------------------------------------------
 */

static velocity_status show_table(void *arg, const velocity_table_info *info) {
    struct dump *d = arg;
    const struct {
        const char *name;
        uint64_t number;
    } fields[] = {
        {"number", info->number},
        {"file_bytes", info->file_bytes},
        {"created_ms", info->created_ms},
        {"entries", info->entries},
        {"tombstones", info->tombstones},
        {"raw_bytes", info->raw_bytes},
        {"smallest_version", info->smallest_sequence},
        {"largest_version", info->largest_sequence},
        {"data_blocks", info->data_blocks},
        {"filter_partitions", info->filter_partitions},
        {"filter_partition_bytes", info->filter_partition_bytes},
        {"filter_probes", info->filter_probes},
        {"one_version_per_key", info->one_version},
    };
    if (d->json) json_begin_object(&d->w);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!d->json) {
            printf("# %-22s %" PRIu64 "\n", fields[i].name, fields[i].number);
            continue;
        }
        json_name(&d->w, fields[i].name);
        json_write_u64(&d->w, fields[i].number);
    }
    if (!d->json) return VELOCITY_OK;
    json_end_object(&d->w);
    return show_line(&d->w) ? VELOCITY_OK : VELOCITY_IO;
}

static velocity_status show_block(void *arg, const velocity_block *block) {
    static const char *const kinds[] = {"data", "index", "filter", "ranges"};
    struct dump *d = arg;
    if (!d->blocks) return VELOCITY_OK;
    if (!d->json) {
        printf("# %s block at %" PRIu64 ": %" PRIu64 " bytes stored, %" PRIu64 " raw, %" PRIu64 " entries\n",
               kinds[block->kind], block->offset, block->stored_bytes, block->raw_bytes, block->entries);
        return VELOCITY_OK;
    }
    json_begin_object(&d->w);
    json_name(&d->w, "block");
    json_write_string(&d->w, velocity_str(kinds[block->kind]));
    json_name(&d->w, "offset");
    json_write_u64(&d->w, block->offset);
    json_name(&d->w, "stored_bytes");
    json_write_u64(&d->w, block->stored_bytes);
    json_name(&d->w, "raw_bytes");
    json_write_u64(&d->w, block->raw_bytes);
    json_name(&d->w, "entries");
    json_write_u64(&d->w, block->entries);
    json_end_object(&d->w);
    return show_line(&d->w) ? VELOCITY_OK : VELOCITY_IO;
}

static velocity_status show_table_entry(void *arg, const velocity_entry *entry) {
    return show_entry(arg, entry, true) ? VELOCITY_OK : VELOCITY_IO;
}

int run_sst_dump(const struct command *command, const struct command_arguments *arguments) {
    struct files_command f;
    int code = files_command_begin(command, arguments, &f);
    if (code) return code;
    struct dump d = {.json = f.json,
                     .full = command_value(command, arguments, "full") != NULL,
                     .blocks = command_value(command, arguments, "blocks") != NULL};
    velocity_check_options check = velocity_check_options_default();
    check.database = &f.options;
    velocity_table_visitor visitor = {sizeof visitor, show_table, show_block, show_table_entry, &d};
    velocity_report report = velocity_report_default();
    velocity_status status = velocity_table_read(f.path, &check, &visitor, &report);
    files_command_end(&f);
    if (status == VELOCITY_CORRUPT)
        for (size_t i = 0; i < report.finding_count; i++)
            code = complain(EXIT_FAILED, "%s: offset %" PRIu64 ": %s", f.path, report.findings[i].offset,
                            report.findings[i].what);
    else if (status)
        code = complain_of(status);
    velocity_report_clear(&report);
    json_writer_free(&d.w);
    return code;
}
