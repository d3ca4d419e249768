/*
 * merge_patch.h - JSON merge patches (RFC 7396): what a document becomes.
 *
 * Works on raw text. What the patch does not name comes out byte for byte, numbers, order and members with one name
 * alike; between members that were gone through there is no white space any more.
 *
 * - Names are compared as the strings that they stand for: "a" is "\u0061".
 * - Of several members with one name the last one counts, as for most readers: in a patch it overrules the others; in a
 *   document that is patched under that name it is what is merged, and the others go.
 * - Costs time in proportion to document and patch together, however deep, long or alike their members are, and
 *   some 100 bytes of memory for each member of the patch.
 *
 * Pure but for the memory; any thread.
 */
#ifndef VELOCITY_SERVER_MERGE_PATCH_H
#define VELOCITY_SERVER_MERGE_PATCH_H

#include "server/json.h"
#include "server/json_write.h"

#define MERGE_PATCH_MAX_MEMBERS 1000000u

enum merge_result {
    MERGE_OK,
    MERGE_TOO_LARGE, /* beyond out->limit_bytes, or the patch has more members than MERGE_PATCH_MAX_MEMBERS */
    MERGE_NO_MEMORY,
};

/*
 * Appends what `document` becomes. Both come out of json_parse(). The result is never larger than both together, and
 * never nested deeper than the deeper of them. `seed`: see seeded_hash.h. After a failure *out holds anything.
 */
VELOCITY_CHECK_RESULT enum merge_result merge_patch(struct json_value document, struct json_value patch, uint64_t seed,
                                                    struct json_writer *out);

#endif
