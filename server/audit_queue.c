/* audit_queue.c - see audit_queue.h. */
#include "server/audit_queue.h"

#include <sys/mman.h>

#define KEPT_BYTES ((size_t)4 << 20) /* of an empty arena: more goes back to the system */

struct packed {
    int64_t time_ms;
    uint32_t status;
    uint16_t sizes[AUDIT_QUEUED_TEXTS];
    bool hash_key;
};
_Static_assert(AUDIT_KEY_MAX_BYTES <= UINT16_MAX && AUDIT_TEXT_MAX_BYTES <= UINT16_MAX, "sizes are 16 bits");
_Static_assert(sizeof(struct packed) + 7 <= 64, "AUDIT_EVENT_MAX_BYTES allows 64 for all but the texts");

/* The first `limit` bytes of a longer one, or a few less: no character of UTF-8 is cut apart. */
static velocity_slice cut(velocity_slice text, size_t limit) {
    if (text.size <= limit) return text;
    const unsigned char *bytes = text.data;
    size_t size = limit;
    while (size > limit - 3 && (bytes[size] & 0xC0) == 0x80) size--;
    return velocity_bytes(text.data, (bytes[size] & 0xC0) == 0x80 ? limit : size);
}

static velocity_slice measure(const char *text) {
    if (!text) return velocity_bytes(NULL, 0);
    return cut(velocity_bytes(text, strnlen(text, AUDIT_TEXT_MAX_BYTES + 1)), AUDIT_TEXT_MAX_BYTES);
}

void audit_queued_measure(struct audit_queued *queued, const struct audit_event *event, bool hash_key) {
    queued->time_ms = event->time_ms;
    queued->status = event->status;
    queued->hash_key = hash_key;
    velocity_slice *texts = queued->texts;
    texts[AUDIT_QUEUED_USER] = measure(event->user);
    texts[AUDIT_QUEUED_LOGIN] = measure(event->login);
    texts[AUDIT_QUEUED_LOGIN_ID] = measure(event->login_id);
    texts[AUDIT_QUEUED_ADDRESS] = measure(event->address);
    texts[AUDIT_QUEUED_ACTION] = measure(event->action);
    texts[AUDIT_QUEUED_DATABASE] = cut(event->database, AUDIT_TEXT_MAX_BYTES);
    texts[AUDIT_QUEUED_KEY] = cut(event->key, AUDIT_KEY_MAX_BYTES);
    texts[AUDIT_QUEUED_REQUEST_ID] = measure(event->request_id);
    texts[AUDIT_QUEUED_DETAIL] = measure(event->detail);
}

bool audit_arena_init(struct audit_arena *arena, size_t capacity) {
    void *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *arena = (struct audit_arena){.bytes = bytes == MAP_FAILED ? NULL : bytes, .capacity = capacity};
    return arena->bytes != NULL;
}

void audit_arena_destroy(struct audit_arena *arena) {
    if (arena->bytes) (void)munmap(arena->bytes, arena->capacity);
    arena->bytes = NULL;
}

void audit_arena_put(struct audit_arena *arena, const struct audit_queued *queued) {
    struct packed packed = {.time_ms = queued->time_ms, .status = queued->status, .hash_key = queued->hash_key};
    char *to = arena->bytes + arena->used + sizeof packed;
    for (int i = 0; i < AUDIT_QUEUED_TEXTS; i++) {
        const velocity_slice *text = &queued->texts[i];
        packed.sizes[i] = (uint16_t)text->size;
        if (text->size) memcpy(to, text->data, text->size);
        to += text->size;
    }
    memcpy(arena->bytes + arena->used, &packed, sizeof packed);
    arena->used = ((size_t)(to - arena->bytes) + 7) & ~(size_t)7;
    arena->count++;
}

bool audit_arena_next(const struct audit_arena *arena, size_t *at, struct audit_queued *queued) {
    struct packed packed;
    if (*at == arena->used) return false;
    memcpy(&packed, arena->bytes + *at, sizeof packed);
    queued->time_ms = packed.time_ms;
    queued->status = packed.status;
    queued->hash_key = packed.hash_key;
    size_t end = *at + sizeof packed;
    for (int i = 0; i < AUDIT_QUEUED_TEXTS; i++) {
        queued->texts[i] = velocity_bytes(arena->bytes + end, packed.sizes[i]);
        end += packed.sizes[i];
    }
    *at = (end + 7) & ~(size_t)7;
    return true;
}

void audit_arena_clear(struct audit_arena *arena) {
    if (arena->used > KEPT_BYTES) (void)madvise(arena->bytes + KEPT_BYTES, arena->capacity - KEPT_BYTES, MADV_DONTNEED);
    arena->used = 0;
    arena->count = 0;
}
