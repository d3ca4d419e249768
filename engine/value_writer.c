/* value_writer.c - see value_writer.h. */
#include "value_writer.h"

#include "array.h"
#include "file_writer.h"

enum {
    PACK_BYTES_MAX = 16 * 1024 * 1024, /* larger values stay raw: packing them would take as much memory again */
    FILE_TABLES = 4,                   /* a value file ends at so many times table_bytes */
};

struct value_output {
    struct file_writer file;
    struct value_file_meta meta;
};

void value_writer_init(struct value_writer *w, velocity *db) {
    memset(w, 0, sizeof *w);
    w->db = db;
    w->packer.compression = db->options.compression;
    w->packer.last_level = true; /* values stay where they are, as those of the last level */
}

/* ---- one file --------------------------------------------------------------------------------------------------- */

static velocity_status output_begin(struct value_writer *w) {
    velocity *db = w->db;
    struct value_output *o = env_alloc_zeroed(sizeof *o);
    if (!o) return VELOCITY_NO_MEMORY;
    o->meta.number = database_new_number(db);
    struct file_header header = {.kind = FILE_VALUES, .number = o->meta.number};
    memcpy(header.database_id, db->database_id, sizeof header.database_id);
    velocity_status status = file_writer_create(&o->file, db->env, db->path, db->keys, &header);
    if (status) {
        env_free(o);
        return status;
    }
    memcpy(o->meta.uid, header.uid, sizeof o->meta.uid);
    w->output = o;
    return VELOCITY_OK;
}

static velocity_status remember_file(struct value_writer *w, struct value_file *file) {
    velocity_status status = array_reserve(w->files, w->capacity, w->count);
    if (!status) w->files[w->count++] = file;
    return status;
}

velocity_status value_writer_finish(struct value_writer *w) {
    velocity *db = w->db;
    struct value_output *o = w->output;
    struct value_file *file;
    if (!o) return VELOCITY_OK;
    velocity_status status = file_writer_finish(&o->file);
    o->meta.file_bytes = o->file.offset;
    if (!status)
        status = value_file_new(db->env, db->shared->files, db->path, db->database_id, db->keys, &o->meta, &file);
    if (!status && (status = remember_file(w, file))) value_file_release(file);
    if (status) return status; /* the output is abandoned when the writer is cleared */
    w->bytes += o->file.offset;
    w->output = NULL;
    file_writer_clear(&o->file);
    env_free(o);
    return VELOCITY_OK;
}

void value_writer_clear(struct value_writer *w, bool in_force) {
    if (w->output) file_writer_abandon(&w->output->file);
    env_free(w->output);
    w->output = NULL;
    for (size_t i = 0; i < w->count; i++) {
        if (!in_force) value_file_doom(w->files[i]);
        value_file_release(w->files[i]);
    }
    env_free(w->files);
    packer_clear(&w->packer);
    env_free(w->sealed);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static velocity_status append_plain(struct value_output *o, const struct value_record *record,
                                    const struct value_place *place) {
    uint8_t header[VALUE_RECORD_HEADER_BYTES];
    value_record_encode(record, place, header);
    velocity_status status = file_writer_append(&o->file, header, sizeof header);
    if (!status) status = file_writer_append(&o->file, record->key.data, record->key.size);
    return status ? status : file_writer_append(&o->file, record->stored.data, record->stored.size);
}

/* Of an encrypted record all is made at once. */
static velocity_status append_sealed(struct value_writer *w, const struct value_record *record,
                                     const struct value_place *place) {
    size_t size = VALUE_RECORD_HEADER_BYTES + record->key.size + record->stored.size + CIPHER_TAG_BYTES;
    if (size > w->sealed_capacity) {
        env_free(w->sealed);
        w->sealed_capacity = 0;
        if (!(w->sealed = env_alloc(size))) return VELOCITY_NO_MEMORY;
        w->sealed_capacity = size;
    }
    velocity_status status = value_record_seal(record, place, w->sealed);
    return status ? status : file_writer_append(&w->output->file, w->sealed, size);
}

/* The one way of a record to its file. The entry becomes a reference to it. */
static velocity_status write_record(struct value_writer *w, const struct value_record *record, struct entry *e) {
    velocity_status status = VELOCITY_OK;
    uint64_t limit = w->db->options.table_bytes * FILE_TABLES;
    if (w->output && w->output->file.offset >= limit) status = value_writer_finish(w);
    if (!status && !w->output) status = output_begin(w);
    if (status) return status;
    struct value_output *o = w->output;
    struct value_place place = {o->file.seed, o->file.offset, o->file.cipher};
    struct value_reference reference = {o->meta.number, o->file.offset, record->raw_bytes,
                                        (uint32_t)record->stored.size + cipher_overhead(o->file.cipher)};
    status = o->file.cipher ? append_sealed(w, record, &place) : append_plain(o, record, &place);
    o->meta.records++;
    e->kind = ENTRY_VALUE_REFERENCE;
    e->value = velocity_bytes(w->reference, value_reference_encode(w->reference, reference));
    return status;
}

velocity_status value_writer_take(struct value_writer *w, struct entry *e) {
    struct value_record record = {.key = e->key,
                                  .stored = e->value,
                                  .sequence = e->sequence,
                                  .expires_at_ms = e->expires_at_ms,
                                  .flags = e->flags,
                                  .raw_bytes = (uint32_t)e->value.size,
                                  .packing = PACKED_RAW};
    enum packing how = PACKED_RAW;
    velocity_status status = VELOCITY_OK;
    if (e->value.size <= PACK_BYTES_MAX) status = packer_pack(&w->packer, e->value, &record.stored, &how);
    record.packing = (uint8_t)how;
    return status ? status : write_record(w, &record, e);
}

velocity_status value_writer_move(struct value_writer *w, struct value_file *from, struct entry *e) {
    struct value_reference reference;
    struct value_record record;
    uint8_t *bytes;
    if (!value_reference_decode(e->value, &reference))
        return status_set(VELOCITY_CORRUPT, "%s: a reference to a value makes no sense", w->db->path);
    velocity_status status = value_file_read(from, reference, e->key, e->sequence, &bytes, &record);
    if (status) return status;
    status = write_record(w, &record, e);
    env_free(bytes);
    return status;
}
