/* key_file.c - velocity_key_from_file. See velocity.h, "encryption". */
#include "cipher.h"
#include "status.h"

enum { HEX_DIGITS = 2 * CIPHER_KEY_BYTES, LARGEST_FILE = HEX_DIGITS + 2 /* a line end */ };

/* -1: no digit. */
static int digit_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse(const uint8_t *text, size_t size, uint8_t key[CIPHER_KEY_BYTES]) {
    if (size == CIPHER_KEY_BYTES) {
        memcpy(key, text, size);
        return true;
    }
    if (size > HEX_DIGITS && text[size - 1] == '\n') size--;
    if (size > HEX_DIGITS && text[size - 1] == '\r') size--;
    if (size != HEX_DIGITS) return false;
    for (size_t i = 0; i < CIPHER_KEY_BYTES; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

velocity_status velocity_key_from_file(const char *path, uint8_t key[CIPHER_KEY_BYTES]) {
    uint8_t text[LARGEST_FILE + 1];
    env_file *file = NULL;
    size_t got = 0;
    bool open_to_others = false;
    velocity_status status = env_open_read(env_posix(), path, &file);
    if (!status) status = env_open_to_others(file, &open_to_others);
    if (!status && open_to_others)
        status = status_set(VELOCITY_INVALID, "%s: a key that others may read or write is none: chmod o-rwx", path);
    if (!status) status = env_read(file, text, sizeof text, 0, &got);
    if (!status && !parse(text, got, key))
        status = status_set(VELOCITY_INVALID, "%s: not a key: 32 bytes, or 64 hexadecimal digits", path);
    cipher_forget(text, sizeof text);
    if (env_close(file) && !status) status = VELOCITY_IO;
    return status;
}
