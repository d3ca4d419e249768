/* crc32c_spans.c - see crc32c_spans.h. Registers are polynomials over GF(2), bit 31 being x^0: as in crc32c.c. */
#include "crc32c_spans.h"

#include "crc32c.h"
#include "env.h"

#define POLYNOMIAL 0x82f63b78u
#define ONE        0x80000000u

enum { MARK_BYTES = 64 };

/* The product modulo the polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a; a <<= 1) {
        if (a & ONE) product ^= b;
        b = (b >> 1) ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

static uint32_t go_on(uint32_t reg, const uint8_t *bytes, size_t size) {
    return ~crc32c(~reg, bytes, size);
}

velocity_status crc32c_spans_init(struct crc32c_spans *s, const void *data, uint64_t size) {
    uint64_t count = size / MARK_BYTES + 1;
    s->data = data;
    s->size = size;
    s->marks = env_alloc((size_t)count * sizeof *s->marks);
    if (!s->marks) return VELOCITY_NO_MEMORY;
    s->marks[0] = 0;
    for (uint64_t i = 1; i < count; i++)
        s->marks[i] = go_on(s->marks[i - 1], s->data + (i - 1) * MARK_BYTES, MARK_BYTES);
    uint32_t step = ONE >> 8; /* x^8: one zero byte */
    for (int i = 0; i < 4; i++) {
        s->powers[i][0] = ONE;
        for (int b = 1; b < 256; b++) s->powers[i][b] = multiply(step, s->powers[i][b - 1]);
        step = multiply(step, s->powers[i][255]);
    }
    return VELOCITY_OK;
}

void crc32c_spans_clear(struct crc32c_spans *s) {
    env_free(s->marks);
    s->marks = NULL;
}

/* The register after the first `at` bytes. */
static uint32_t register_at(const struct crc32c_spans *s, uint64_t at) {
    uint64_t mark = at / MARK_BYTES;
    return go_on(s->marks[mark], s->data + mark * MARK_BYTES, (size_t)(at - mark * MARK_BYTES));
}

uint32_t crc32c_span(const struct crc32c_spans *s, uint32_t crc, uint64_t from, uint32_t size) {
    if (size <= MARK_BYTES) return crc32c(crc, s->data + from, size);
    uint32_t differs = register_at(s, from) ^ ~crc;
    for (int i = 0; i < 4; i++) {
        uint32_t part = size >> (8 * i) & 0xff;
        if (part) differs = multiply(s->powers[i][part], differs);
    }
    return ~(register_at(s, from + size) ^ differs);
}
