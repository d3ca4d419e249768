/*
 * json.c - documents: the engine stores bytes, and beside them 32 bits of flags that it does not look at. The low 8
 * name the value's type, by convention: 0 bytes, 1 JSON, 2 text. So a reader (the HTTP server among them) knows what it
 * has.
 */
#include "example.h"

enum { TYPE_JSON = 1, TYPE_MASK = 0xff };

static void put_document(velocity *db, const char *key, const char *json) {
    velocity_put_options options = velocity_put_options_default();
    velocity_batch *batch = velocity_batch_new();
    options.flags = TYPE_JSON;
    if (!batch) exit(1);
    velocity_batch_put(batch, velocity_str(key), velocity_str(json), &options);
    MUST(velocity_write(db, batch, NULL, NULL)); /* reports what went wrong in the batch, too */
    velocity_batch_free(batch);
}

int main(int argc, char **argv) {
    velocity *db;
    char json[128];
    MUST(velocity_open(argc > 1 ? argv[1] : "json.db", NULL, &db));

    put_document(db, "user:ada", "{\"name\":\"Ada\",\"born\":1815}");
    put_document(db, "user:bob", "{\"name\":\"Bob\"}");
    MUST(velocity_put(db, velocity_str("user:ada:photo"), velocity_bytes("\x89PNG\0", 5)));

    /* An index by hand: a second key that leads to the document. It is written in the same batch, so never one without
     * the other. */
    velocity_batch *batch = velocity_batch_new();
    velocity_put_options options = velocity_put_options_default();
    options.flags = TYPE_JSON;
    (void)snprintf(json, sizeof json, "{\"name\":\"Grace\",\"born\":%d}", 1906);
    if (!batch) return 1;
    velocity_batch_put(batch, velocity_str("user:grace"), velocity_str(json), &options);
    velocity_batch_put(batch, velocity_str("born:1906:grace"), velocity_str("user:grace"), NULL);
    MUST(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);

    velocity_range range = velocity_range_default();
    range.prefix = velocity_str("user:");
    velocity_iterator *it = velocity_iterator_new(db, &range);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
        velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
        bool is_json = (velocity_iterator_flags(it) & TYPE_MASK) == TYPE_JSON;
        printf("%.*s ", (int)key.size, (const char *)key.data);
        if (is_json)
            printf("%.*s\n", (int)value.size, (const char *)value.data);
        else
            printf("(%zu bytes)\n", value.size);
    }
    MUST(velocity_iterator_status(it));
    velocity_iterator_free(it);

    velocity_value found, document;
    MUST(velocity_get(db, velocity_str("born:1906:grace"), &found));
    MUST(velocity_get(db, velocity_bytes(found.data, found.size), &document));
    printf("born in 1906: %.*s\n", (int)document.size, (const char *)document.data);
    velocity_value_release(&document);
    velocity_value_release(&found);
    MUST(velocity_close(db));
    return 0;
}
