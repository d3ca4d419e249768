/*
 * merge_model.h - RFC 7396, section 2, as its pseudocode says it, over a tree: to hold merge_patch() against. Of
 * members with one name the last one counts. For small documents: it recurses.
 */
#ifndef VELOCITY_TESTS_MERGE_MODEL_H
#define VELOCITY_TESTS_MERGE_MODEL_H

#include "server/json.h"

#include <stdlib.h>

struct model {
    struct model *next; /* member of the same object */
    char *name;         /* its bytes; a lone surrogate as three */
    size_t name_size;
    struct model *members; /* of an object */
    velocity_slice raw;    /* of anything else; NULL: an object */
};

static inline void model_free(struct model *model) {
    while (model) {
        struct model *next = model->next;
        model_free(model->members);
        free(model->name);
        free(model);
        model = next;
    }
}

static inline struct model **model_find(struct model *object, const char *name, size_t size) {
    struct model **at = &object->members;
    while (*at && ((*at)->name_size != size || (size && memcmp((*at)->name, name, size) != 0))) at = &(*at)->next;
    return at;
}

/* Takes the member out. NULL: there is none. */
static inline struct model *model_take(struct model *object, const char *name, size_t size) {
    struct model **at = model_find(object, name, size), *found = *at;
    if (!found) return NULL;
    *at = found->next;
    found->next = NULL;
    return found;
}

static inline void model_add(struct model *object, struct model *member, const char *name, size_t size) {
    model_free(model_take(object, name, size));
    free(member->name);
    member->name = malloc(size + 1);
    if (!member->name) abort();
    if (size) memcpy(member->name, name, size);
    member->name_size = size;
    member->next = object->members;
    object->members = member;
}

static inline struct model *model_new(void) {
    struct model *model = calloc(1, sizeof *model);
    if (!model) abort();
    return model;
}

/* Of what json_parse() accepted, whose text must live as long. */
static inline struct model *model_of(struct json_value value) {
    struct model *model = model_new();
    struct json_reader reader;
    struct json_member member;
    if (value.type != JSON_OBJECT) {
        model->raw = value.raw;
        return model;
    }
    for (json_read(&reader, value); json_next_member(&reader, &member);) {
        char *buffer = malloc(member.name.size + 1);
        if (!buffer) abort();
        velocity_slice name = json_name_bytes(member.name, buffer);
        model_add(model, model_of(member.value), name.data, name.size);
        free(buffer);
    }
    return model;
}

static inline bool model_is_null(const struct model *model) {
    return model->raw.data && *(const char *)model->raw.data == 'n';
}

/* Takes both over. */
static inline struct model *model_merge(struct model *target, struct model *patch) {
    if (patch->raw.data) {
        model_free(target);
        return patch;
    }
    if (!target || target->raw.data) {
        model_free(target);
        target = model_new();
    }
    for (struct model *member; (member = patch->members);) {
        patch->members = member->next;
        member->next = NULL;
        char *name = member->name;
        member->name = NULL;
        struct model *old = model_take(target, name, member->name_size);
        size_t size = member->name_size;
        if (model_is_null(member)) {
            model_free(old);
            model_free(member);
        } else {
            model_add(target, model_merge(old, member), name, size);
        }
        free(name);
    }
    model_free(patch);
    return target;
}

static inline bool model_equal(const struct model *a, const struct model *b) {
    size_t in_a = 0, in_b = 0;
    if (!a->raw.data != !b->raw.data) return false;
    if (a->raw.data) return a->raw.size == b->raw.size && memcmp(a->raw.data, b->raw.data, a->raw.size) == 0;
    for (const struct model *m = b->members; m; m = m->next) in_b++;
    for (const struct model *m = a->members; m; m = m->next, in_a++) {
        const struct model *other = *model_find((struct model *)(uintptr_t)b, m->name, m->name_size);
        if (!other || !model_equal(m, other)) return false;
    }
    return in_a == in_b;
}

#endif
