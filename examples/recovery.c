/*
 * recovery.c - backup and recovery. A checkpoint is a whole database in a folder of its own, made while the database is
 * in use. When a disk damages a file: velocity_verify tells what, velocity_repair saves the rest and says in which
 * ranges of keys older versions may show. (What a crash leaves needs none of it: opening the database is enough.)
 */
#include "example.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static void fill(velocity *db) {
    char key[32], value[100];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "row:%04d", i);
        MUST(velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
    }
    MUST(velocity_flush(db));
}

static void copy_file(const char *from, const char *to) {
    char bytes[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) exit(1);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, got, out) < got) exit(1);
    if (fclose(out) || fclose(in)) exit(1);
}

/* The checkpoint shares its files with the database: it took no time, and one damaged block would be in both. So a
 * backup is a copy of it, best on another disk. (To a path on another file system the checkpoint is a copy by itself.)
 */
static void back_up(velocity *db, const char *checkpoint, const char *backup) {
    char from[1024], to[1024];
    MUST(velocity_checkpoint(db, checkpoint));
    if (mkdir(backup, 0700)) exit(1);
    DIR *folder = opendir(checkpoint);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        if (e->d_name[0] == '.') continue;
        (void)snprintf(from, sizeof from, "%s/%s", checkpoint, e->d_name);
        (void)snprintf(to, sizeof to, "%s/%s", backup, e->d_name);
        copy_file(from, to);
    }
    if (!folder || closedir(folder)) exit(1);
}

static int count_rows(const char *path) {
    velocity *db;
    int rows = 0;
    MUST(velocity_open(path, NULL, &db));
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) rows++;
    MUST(velocity_iterator_status(it));
    velocity_iterator_free(it);
    MUST(velocity_close(db));
    return rows;
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
    char checkpoint[512], backup[512];
    (void)snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", path);
    (void)snprintf(backup, sizeof backup, "%s.backup", path);
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS; /* the rows can be made again: no need to wait for the disk */
    velocity *db;
    MUST(velocity_open(path, &options, &db));
    fill(db);
    back_up(db, checkpoint, backup);
    MUST(velocity_put(db, velocity_str("row:after"), velocity_str("later than the backup")));
    MUST(velocity_close(db));
    damage(path);

    velocity_report report = velocity_report_default();
    velocity_status status = velocity_verify(path, &report); /* the database must be closed */
    printf("verify: %s\n", velocity_status_name(status));
    show(&report);

    MUST(velocity_repair(path, &report));
    printf("repaired: %s, the damaged file is kept in lost/\n", report.repaired ? "yes" : "no");
    MUST(velocity_verify(path, &report));
    printf("verify: whole\n");

    velocity_value value;
    MUST(velocity_open(path, NULL, &db));
    MUST(velocity_get(db, velocity_str("row:after"), &value));
    printf("row:after is there: %.*s\n", (int)value.size, (const char *)value.data);
    velocity_value_release(&value);
    MUST(velocity_close(db));
    printf("what was saved is all of it: %s\n", count_rows(path) == 1001 ? "yes" : "no");

    MUST(velocity_verify(backup, &report)); /* a database like any other: to restore it is to open it */
    printf("the backup has %d rows\n", count_rows(backup));
    velocity_report_clear(&report);
    return 0;
}
