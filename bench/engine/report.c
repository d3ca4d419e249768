/*
 * report.c - see report.h.
 *
 * A cell is the median of the rounds; a latency's p50 and p99 are the medians of the rounds' percentiles, its max is
 * the largest of all rounds. A ratio divides medians. A row or an engine without a result shows a dash.
 */
#include "report.h"

#include <stdlib.h>

bool report_line(report *r, int engine, const char *line) {
    char id[32];
    row_result result;
    if (sscanf(line, "%31s %lf %lf %lf %lf", id, &result.value, &result.p50_us, &result.p99_us, &result.max_us) != 5)
        return false;
    for (int row = 0; row < ROW_COUNT; row++) {
        report_cell *cell = &r->cells[row][engine];
        if (strcmp(bench_rows[row].id, id) != 0 || cell->count == REPORT_MAX_ROUNDS) continue;
        cell->results[cell->count++] = result;
        return true;
    }
    return false;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of one field, given by its offset in row_result; -1 without results. */
static double median(const report_cell *cell, size_t field) {
    double values[REPORT_MAX_ROUNDS];
    if (cell->count == 0) return -1;
    for (uint32_t i = 0; i < cell->count; i++)
        memcpy(&values[i], (const char *)&cell->results[i] + field, sizeof values[i]);
    qsort(values, cell->count, sizeof *values, compare);
    uint32_t middle = cell->count / 2;
    return cell->count % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

static double value_of_cell(const report *r, int row, int engine) {
    return median(&r->cells[row][engine], offsetof(row_result, value));
}

/* 1234567 as 1,234,567. */
static void print_number(FILE *out, double value, uint32_t decimals) {
    char digits[64];
    if (value < 0) {
        (void)fprintf(out, " – |");
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.*f", (int)decimals, value);
    size_t whole = strcspn(digits, ".");
    (void)fputc(' ', out);
    for (size_t i = 0; digits[i]; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0) (void)fputc(',', out);
        (void)fputc(digits[i], out);
    }
    (void)fprintf(out, " |");
}

/* The best of the engines of a kind, Velocity left out; -1: none. */
static double best(const report *r, int row, bench_kind kind, int without) {
    double result = -1;
    for (int e = 0; bench_engines[e]; e++) {
        double value = value_of_cell(r, row, e);
        if (e == without || bench_engines[e]->kind != kind || value < 0) continue;
        if (result < 0 || (bench_rows[row].lower_is_better ? value < result : value > result)) result = value;
    }
    return result;
}

static void print_ratio(FILE *out, double mine, double other) {
    if (mine < 0 || other <= 0) {
        (void)fprintf(out, " – |");
    } else {
        (void)fprintf(out, " %.2f |", mine / other);
    }
}

static bool engine_shown(const report *r, int engine) {
    return r->options->engines[engine];
}

static int velocity_index(void) {
    for (int e = 0; bench_engines[e]; e++)
        if (strcmp(bench_engines[e]->id, "velocity") == 0) return e;
    return -1;
}

static void print_values(const report *r, FILE *out) {
    int mine = velocity_index();
    (void)fprintf(out, "| median of %u |", r->options->rounds);
    for (int e = 0; bench_engines[e]; e++)
        if (engine_shown(r, e)) (void)fprintf(out, " %s |", bench_engines[e]->title);
    (void)fprintf(out, " ÷ best LSM peer | ÷ LMDB | ÷ bare |\n|---|");
    for (int e = 0; bench_engines[e]; e++)
        if (engine_shown(r, e)) (void)fprintf(out, "---:|");
    (void)fprintf(out, "---:|---:|---:|\n");
    for (int row = 0; row < ROW_COUNT; row++) {
        if (!r->options->rows[row]) continue;
        (void)fprintf(out, "| %s, %s%s |", bench_rows[row].title, bench_rows[row].unit,
                      bench_rows[row].lower_is_better ? " (less is better)" : "");
        for (int e = 0; bench_engines[e]; e++)
            if (engine_shown(r, e)) print_number(out, value_of_cell(r, row, e), bench_rows[row].decimals);
        double value = mine < 0 ? -1 : value_of_cell(r, row, mine);
        print_ratio(out, value, best(r, row, BENCH_LSM, mine));
        print_ratio(out, value, best(r, row, BENCH_BTREE, mine));
        print_ratio(out, value, best(r, row, BENCH_BARE, mine));
        (void)fputc('\n', out);
    }
}

static void print_latency(FILE *out, const report_cell *cell) {
    double max = 0;
    if (cell->count == 0) {
        (void)fprintf(out, " – |");
        return;
    }
    for (uint32_t i = 0; i < cell->count; i++)
        if (cell->results[i].max_us > max) max = cell->results[i].max_us;
    (void)fprintf(out, " %.1f / %.1f / %.0f |", median(cell, offsetof(row_result, p50_us)),
                  median(cell, offsetof(row_result, p99_us)), max);
}

static void print_latencies(const report *r, FILE *out) {
    (void)fprintf(out, "\n| p50 / p99 / max, µs |");
    for (int e = 0; bench_engines[e]; e++)
        if (engine_shown(r, e)) (void)fprintf(out, " %s |", bench_engines[e]->title);
    (void)fprintf(out, "\n|---|");
    for (int e = 0; bench_engines[e]; e++)
        if (engine_shown(r, e)) (void)fprintf(out, "---:|");
    (void)fputc('\n', out);
    for (int row = 0; row < ROW_COUNT; row++) {
        if (!r->options->rows[row] || !bench_rows[row].latency) continue;
        (void)fprintf(out, "| %s |", bench_rows[row].title);
        for (int e = 0; bench_engines[e]; e++)
            if (engine_shown(r, e)) print_latency(out, &r->cells[row][e]);
        (void)fputc('\n', out);
    }
}

void report_print(const report *r, FILE *out) {
    print_values(r, out);
    print_latencies(r, out);
    for (int e = 0; bench_engines[e]; e++)
        if (r->failures[e] > 0)
            (void)fprintf(out, "\n**%s failed %u times; its messages are above the table.**\n", bench_engines[e]->title,
                          r->failures[e]);
}

static void json_cell(const report_cell *cell, const char *id, const char *row, const char *before, FILE *out) {
    (void)fprintf(out, "%s{\"row\":\"%s\",\"engine\":\"%s\",\"rounds\":[", before, row, id);
    for (uint32_t i = 0; i < cell->count; i++) {
        const row_result *x = &cell->results[i];
        (void)fprintf(out, "%s{\"value\":%.6f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"max_us\":%.3f}", i ? "," : "", x->value,
                      x->p50_us, x->p99_us, x->max_us);
    }
    (void)fprintf(out, "]}");
}

void report_json(const report *r, FILE *out) {
    const char *before = "\n";
    (void)fprintf(out, "{\"keys\":%llu,\"value_bytes\":%u,\"rounds\":%u,\"results\":[",
                  (unsigned long long)r->options->keys, r->options->value_bytes, r->options->rounds);
    for (int row = 0; row < ROW_COUNT; row++) {
        for (int e = 0; bench_engines[e]; e++) {
            if (r->cells[row][e].count == 0) continue;
            json_cell(&r->cells[row][e], bench_engines[e]->id, bench_rows[row].id, before, out);
            before = ",\n";
        }
    }
    (void)fprintf(out, "\n]}\n");
}
