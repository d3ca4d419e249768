/* databases_name.c - what a database may be called: of those who only name one, too. */
#include "server/databases.h"

bool database_name_is_good(velocity_slice name) {
    const unsigned char *p = name.data;
    if (name.size == 0 || name.size > DATABASE_NAME_MAX) return false;
    for (size_t i = 0; i < name.size; i++) {
        bool plain = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9');
        if (!plain && (i == 0 || (p[i] != '_' && p[i] != '-'))) return false;
    }
    return true;
}
