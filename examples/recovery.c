/*
 * recovery.c - when a disk damages a file: velocity_verify tells what, velocity_repair saves the rest and says in which
 * ranges of keys older versions may show. (What a crash leaves needs none of it: opening the database is enough.)
 */
#include "example.h"

#include <dirent.h>
#include <string.h>

static void fill(const char *path) {
    velocity *db;
    char key[32], value[100];
    memset(value, 'v', sizeof value);
    MUST(velocity_open(path, NULL, &db));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "row:%04d", i);
        velocity_put_options options = velocity_put_options_default();
        velocity_batch *batch = velocity_batch_new();
        if (!batch) exit(1);
        velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), &options);
        velocity_write_options relaxed = velocity_write_options_default();
        relaxed.durability = VELOCITY_DURABILITY_OS;
        MUST(velocity_write(db, batch, &relaxed, NULL));
        velocity_batch_free(batch);
    }
    MUST(velocity_flush(db));
    MUST(velocity_close(db));
}

/* A byte of a table changes, as on a failing disk. */
static void damage(const char *path) {
    char name[512] = "";
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));)
        if (strstr(e->d_name, ".sst")) (void)snprintf(name, sizeof name, "%s/%.200s", path, e->d_name);
    if (folder) (void)closedir(folder);
    FILE *file = fopen(name, "r+b");
    if (!file || fseek(file, 2000, SEEK_SET) || fputc(0x55, file) == EOF || fclose(file)) exit(1);
}

static void show(const velocity_report *report) {
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].kind == VELOCITY_FINDING_DAMAGE) printf("damage: %s\n", report->findings[i].what);
    for (size_t i = 0; i < report->stale_count; i++) {
        const velocity_key_range *range = &report->stale[i];
        /* A bound without data is none: then nothing is known of where it ends. */
        bool bounded = range->first.data && range->last.data;
        printf("in doubt: %s\n", bounded ? "the keys between two that the report names" : "all keys");
    }
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "recovery.db";
    fill(path);
    damage(path);

    velocity_report report = velocity_report_default();
    velocity_status status = velocity_verify(path, &report); /* the database must be closed */
    printf("verify: %s\n", velocity_status_name(status));
    show(&report);

    MUST(velocity_repair(path, &report));
    printf("repaired: %s, the damaged file is kept in lost/\n", report.repaired ? "yes" : "no");
    MUST(velocity_verify(path, &report));
    printf("verify: whole\n");
    velocity_report_clear(&report);

    velocity *db;
    velocity_value value;
    MUST(velocity_open(path, NULL, &db));
    MUST(velocity_get(db, velocity_str("row:0999"), &value));
    printf("row:0999 is there, %zu bytes\n", value.size);
    velocity_value_release(&value);
    MUST(velocity_close(db));
    return 0;
}
