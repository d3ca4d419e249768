/*
 * timestamp.c - see timestamp.h. Days are counted with the Gregorian calendar in both directions of time, as RFC 3339
 * wants it: years of 365 days, a day more each 4 but not each 100 but each 400.
 */
#include "server/timestamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS    INT64_C(86400000)
#define FIRST_DAY (-INT64_C(719528)) /* 0000-01-01 */
#define LAST_DAY  INT64_C(2932896)   /* 9999-12-31 */

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* From 1970-01-01 to the year's first day; years from 0. */
static int64_t days_before_year(int64_t year) {
    if (year == 0) return FIRST_DAY;
    int64_t before = year - 1;
    return FIRST_DAY + 366 + before * 365 + before / 4 - before / 100 + before / 400;
}

static int64_t day_number(int64_t year, int month, int day) {
    int64_t days = days_before_year(year);
    for (int m = 1; m < month; m++) days += days_in_month(year, m);
    return days + day - 1;
}

void timestamp_format(int64_t ms, char out[TIMESTAMP_BYTES]) {
    if (ms < FIRST_DAY * DAY_MS) ms = FIRST_DAY * DAY_MS;
    if (ms >= (LAST_DAY + 1) * DAY_MS) ms = (LAST_DAY + 1) * DAY_MS - 1;
    int64_t days = ms / DAY_MS - (ms % DAY_MS < 0), rest = ms - days * DAY_MS;
    int64_t year = (days - FIRST_DAY) / 366; /* at most some years too early */
    while (days_before_year(year + 1) <= days) year++;
    int month = 1, left = (int)(days - days_before_year(year));
    while (left >= days_in_month(year, month)) left -= days_in_month(year, month++);
    (void)snprintf(out, TIMESTAMP_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000u,
                   (unsigned)month % 100u, (unsigned)(left + 1) % 100u, (unsigned)(rest / 3600000) % 100u,
                   (unsigned)(rest / 60000 % 60), (unsigned)(rest / 1000 % 60), (unsigned)(rest % 1000));
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* `count` digits at *p, which moves on. False: there are fewer, or the number is outside. */
static bool take(const char **p, const char *end, int count, int minimum, int maximum, int *out) {
    int n = 0;
    if (end - *p < count) return false;
    for (int i = 0; i < count; i++) {
        char c = (*p)[i];
        if (c < '0' || c > '9') return false;
        n = n * 10 + (c - '0');
    }
    *p += count;
    *out = n;
    return n >= minimum && n <= maximum;
}

static bool take_sign(const char **p, const char *end, char sign) {
    if (*p == end || **p != sign) return false;
    (*p)++;
    return true;
}

/* ".059", or nothing. */
static bool take_fraction(const char **p, const char *end, int *ms) {
    int digits = 0, n = 0;
    *ms = 0;
    if (!take_sign(p, end, '.')) return true;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
        if (digits++ < 3) n = n * 10 + (**p - '0');
    for (int i = digits; i < 3; i++) n *= 10;
    *ms = n;
    return digits >= 1 && digits <= 9;
}

static bool take_offset(const char **p, const char *end, int *minutes) {
    int hour, minute;
    *minutes = 0;
    if (take_sign(p, end, 'Z') || take_sign(p, end, 'z')) return true;
    bool east = take_sign(p, end, '+');
    if (!east && !take_sign(p, end, '-')) return false;
    if (!take(p, end, 2, 0, 23, &hour) || !take_sign(p, end, ':') || !take(p, end, 2, 0, 59, &minute)) return false;
    *minutes = (hour * 60 + minute) * (east ? 1 : -1);
    return true;
}

static bool take_date(const char **p, const char *end, int64_t *days) {
    int year, month, day;
    if (!take(p, end, 4, 0, 9999, &year) || !take_sign(p, end, '-') || !take(p, end, 2, 1, 12, &month) ||
        !take_sign(p, end, '-') || !take(p, end, 2, 1, days_in_month(year, month), &day))
        return false;
    *days = day_number(year, month, day);
    return true;
}

bool timestamp_parse(velocity_slice text, int64_t *ms) {
    const char *p = text.data, *end = p + text.size;
    int64_t days;
    int hour, minute, second, fraction, offset;
    if (text.size == 0 || !take_date(&p, end, &days)) return false;
    if (!take_sign(&p, end, 'T') && !take_sign(&p, end, 't')) return false;
    if (!take(&p, end, 2, 0, 23, &hour) || !take_sign(&p, end, ':') || !take(&p, end, 2, 0, 59, &minute) ||
        !take_sign(&p, end, ':') || !take(&p, end, 2, 0, 59, &second))
        return false;
    if (!take_fraction(&p, end, &fraction) || !take_offset(&p, end, &offset) || p != end) return false;
    *ms = days * DAY_MS + (((int64_t)hour * 60 + minute - offset) * 60 + second) * 1000 + fraction;
    return true;
}

void timestamp_write(struct json_writer *w, int64_t ms) {
    char text[TIMESTAMP_BYTES];
    if (ms == 0) {
        json_write_null(w);
        return;
    }
    timestamp_format(ms, text);
    json_write_string(w, velocity_str(text));
}

int64_t timestamp_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
