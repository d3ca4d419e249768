/*
 * form.c - see form.h. One thread at a time; cJSON keeps a pointer to its last error in a static that nobody reads.
 */
#include "http/form.h"

#include "server/fields.h"
#include "server/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static void fail(struct form *form, enum problem_code code, const char *format, va_list args) {
    if (form->failed) return;
    form->failed = true;
    form->code = code;
    (void)vsnprintf(form->reason, sizeof form->reason, format, args);
}

void form_refuse(struct form *form, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(form, PROBLEM_INVALID_BODY, format, args);
    va_end(args);
}

static void fail_with(struct form *form, enum problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail_with(struct form *form, enum problem_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(form, code, format, args);
    va_end(args);
}

/* ---- reading the body ------------------------------------------------------------------------------------------- */

/* Of a valid document, where a backslash stands in strings only. cJSON would end the string there. */
static bool holds_nul(velocity_slice document) {
    const char *p = document.data, *end = p + document.size;
    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        if (end - p >= 6 && memcmp(p + 1, "u0000", 5) == 0) return true;
        p += 2; /* past what is escaped: it may be a backslash */
    }
    return false;
}

static bool read_document(struct form *form, velocity_slice body) {
    struct json_error error;
    if (!json_valid(body, &error)) {
        fail_with(form, PROBLEM_INVALID_JSON, "%s", error.reason);
        form->has_offset = true;
        form->offset = error.offset;
        return false;
    }
    if (holds_nul(body)) {
        form_refuse(form, "a text holds a NUL");
        return false;
    }
    const char *end = NULL, *stop = (const char *)body.data + body.size;
    form->root = cJSON_ParseWithLengthOpts(body.data, body.size, &end, false);
    /* What is grammatical and still has no bytes. */
    if (!form->root) form_refuse(form, "a text holds half of a surrogate pair, or there is no memory");
    while (form->root && end < stop && strchr(" \t\r\n", *end)) end++;
    if (form->root && end != stop) form_refuse(form, "the body goes on behind its end");
    return !form->failed;
}

void form_parse(struct form *form, velocity_slice body, struct scratch *scratch, const char *const *names,
                size_t count) {
    uint64_t seen = 0;
    memset(form, 0, offsetof(struct form, reason));
    form->reason[0] = 0;
    form->scratch = scratch;
    form->names = names;
    form->count = count;
    if (!read_document(form, body)) return;
    if (!cJSON_IsObject(form->root)) {
        form_refuse(form, "the body is an object");
        return;
    }
    for (const cJSON *child = form->root->child; child; child = child->next) {
        int field = field_index(velocity_str(child->string), names, count, &seen);
        if (field < 0) {
            form_refuse(form, "\"%.100s\" is %s", child->string,
                        field == FIELD_REPEATED ? "given twice" : "not known here");
            return;
        }
        form->members[field] = child;
    }
}

/* As deep as the scanner lets a document be. */
static void overwrite(cJSON *item) {
    for (; item; item = item->next) {
        if (item->valuestring) explicit_bzero(item->valuestring, strlen(item->valuestring));
        if (item->child) overwrite(item->child);
    }
}

void form_free(struct form *form) {
    overwrite(form->root);
    cJSON_Delete(form->root);
    form->root = NULL;
    memset(form->members, 0, sizeof form->members);
}

/* ---- members ---------------------------------------------------------------------------------------------------- */

bool form_has(const struct form *form, int member) {
    return form->members[member] != NULL;
}

bool form_is_null(const struct form *form, int member) {
    return cJSON_IsNull(form->members[member]);
}

bool form_is_word(const struct form *form, int member, const char *word) {
    const cJSON *item = form->members[member];
    return cJSON_IsString(item) && strcmp(item->valuestring, word) == 0;
}

/* NULL: there is nothing to look at. */
static const cJSON *take(struct form *form, int member, enum form_need need) {
    const cJSON *item = form->failed ? NULL : form->members[member];
    if (form->failed) return NULL;
    if (!item) {
        if (need == FORM_REQUIRED) form_refuse(form, "\"%s\" is missing", form->names[member]);
        return NULL;
    }
    if (!cJSON_IsNull(item)) return item;
    if (need != FORM_NULLABLE) form_refuse(form, "\"%s\" can't be null", form->names[member]);
    return NULL;
}

static const char *copy(struct form *form, const char *text) {
    velocity_slice out;
    if (scratch_copy(form->scratch, velocity_str(text), &out)) return out.data;
    fail_with(form, PROBLEM_OVERLOADED, "no memory");
    return NULL;
}

const char *form_text(struct form *form, int member, enum form_need need, size_t minimum, size_t maximum) {
    const cJSON *item = take(form, member, need);
    if (!item) return NULL;
    size_t size = cJSON_IsString(item) ? strlen(item->valuestring) : SIZE_MAX;
    if (size >= minimum && size <= maximum) return copy(form, item->valuestring);
    form_refuse(form, "\"%s\" is a text of %zu to %zu bytes", form->names[member], minimum, maximum);
    return NULL;
}

bool form_i64(struct form *form, int member, enum form_need need, int64_t minimum, int64_t maximum, int64_t *out) {
    const cJSON *item = take(form, member, need);
    if (!item) return false;
    double number = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    /* NaN fails the comparisons. */
    if (number >= (double)minimum && number <= (double)maximum && number == floor(number)) {
        *out = (int64_t)number;
        return true;
    }
    form_refuse(form, "\"%s\" is a whole number from %lld to %lld", form->names[member], (long long)minimum,
                (long long)maximum);
    return false;
}

bool form_bool(struct form *form, int member, enum form_need need, bool *out) {
    const cJSON *item = take(form, member, need);
    if (!item) return false;
    if (cJSON_IsBool(item)) {
        *out = cJSON_IsTrue(item);
        return true;
    }
    form_refuse(form, "\"%s\" is true or false", form->names[member]);
    return false;
}

static size_t list_size(const cJSON *item) {
    size_t count = 0;
    for (const cJSON *child = item->child; child; child = child->next) count++;
    return count;
}

const char *const *form_texts(struct form *form, int member, enum form_need need, size_t max_count, size_t max_size,
                              size_t *count) {
    const cJSON *item = take(form, member, need);
    *count = 0;
    if (!item) return NULL;
    size_t found = cJSON_IsArray(item) ? list_size(item) : 0;
    if (found == 0 || found > max_count) {
        form_refuse(form, "\"%s\" is a list of 1 to %zu texts", form->names[member], max_count);
        return NULL;
    }
    const char **texts = scratch_alloc(form->scratch, found * sizeof *texts);
    if (!texts) {
        fail_with(form, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    size_t filled = 0;
    for (const cJSON *child = item->child; child; child = child->next) {
        if (!cJSON_IsString(child) || strlen(child->valuestring) > max_size) {
            form_refuse(form, "\"%s\" holds texts of at most %zu bytes", form->names[member], max_size);
            return NULL;
        }
        texts[filled] = copy(form, child->valuestring);
        if (!texts[filled++]) return NULL;
    }
    *count = found;
    return texts;
}
