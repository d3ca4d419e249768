/*
 * client_scan.c - velocity scan: keys in order, page after page, until the range ends or --limit is reached.
 *
 * What a page folds (--delimiter) comes in a list of its own; both lists are in key order and are printed as one.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "server/base64.h"
#include "server/json.h"
#include "server/key_range.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS    1000
#define KEY_BYTES    (4 * 16384) /* of the longest key, as text */
#define CURSOR_BYTES (32 * 1024)
#define NUMBER_BYTES 24

/* What stands next in a list. */
struct head {
    char shown[KEY_BYTES]; /* as it is printed */
    char bytes[KEY_BYTES]; /* as it is ordered */
    size_t size;           /* of the bytes */
};

struct scan {
    const struct command *command;
    const struct command_arguments *arguments;
    const char *prefix;
    bool json, values, reverse;
    uint64_t left; /* rows to print */
    char cursor[CURSOR_BYTES];
    struct head key, folded;
    uint64_t omitted; /* values that were too large to come along */
};

static void make_path(const struct scan *s, struct json_writer *path) {
    static const char *const options[] = {"start", "end", "delimiter"};
    char limit[NUMBER_BYTES];
    path_begin(path, s->command, s->arguments, "keys");
    path_parameter(path, "prefix", s->prefix);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        path_parameter(path, options[i], command_value(s->command, s->arguments, options[i]));
    if (command_value(s->command, s->arguments, "count")) {
        path_parameter(path, "count", "true");
        return;
    }
    if (s->reverse) path_parameter(path, "reverse", "true");
    if (s->values) path_parameter(path, "values", "true");
    (void)snprintf(limit, sizeof limit, "%" PRIu64, s->left < PAGE_ROWS ? s->left : PAGE_ROWS);
    path_parameter(path, "limit", limit);
    if (*s->cursor) path_parameter(path, "cursor", s->cursor);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* A name as it stands in JSON; `coded`: in base64url, as what is not UTF-8 does. What is too long for any key is cut.
 */
static void take_head(struct json_value name, bool coded, struct head *out) {
    velocity_slice text = velocity_str("");
    char *buffer = name.type == JSON_STRING ? malloc(json_string_buffer_bytes(name) + 1) : NULL;
    if (!buffer || !json_string(name, buffer, &text)) text = velocity_str("");
    if (text.size >= KEY_BYTES) text.size = KEY_BYTES - 1;
    memcpy(out->shown, text.data, text.size);
    out->shown[text.size] = 0;
    document_clean(out->shown, text.size);
    if (!coded) {
        memcpy(out->bytes, text.data, text.size);
        out->size = text.size;
    } else if (!base64url_decode(text, out->bytes, &out->size)) {
        out->size = 0;
    }
    free(buffer);
}

static void take_key(struct json_value item, struct head *out) {
    struct json_value key = {0};
    bool plain = document_member(item, "key", &key);
    if (!plain) (void)document_member(item, "key64", &key);
    take_head(key, !plain, out);
}

/* A folded prefix stands in its list as a string, or as {"prefix64":...}. */
static void take_folded(struct json_value prefix, struct head *out) {
    struct json_value coded = {0};
    bool plain = prefix.type == JSON_STRING;
    if (!plain) (void)document_member(prefix, "prefix64", &coded);
    take_head(plain ? prefix : coded, !plain, out);
}

static bool print_item(struct scan *s, struct json_value item) {
    char version[NUMBER_BYTES], type[256], expires[64];
    struct json_value size, omitted;
    if (s->json) return document_print_line(item.raw) && print_bytes("\n", 1);
    if (s->values && document_member(item, "omitted", &omitted)) s->omitted++;
    if (fputs(s->key.shown, stdout) == EOF) return false;
    if (s->values) return print_held(item) && putchar('\n') != EOF;
    document_text(item, "version", version, sizeof version);
    document_text(item, "type", type, sizeof type);
    document_text(item, "expires_at", expires, sizeof expires);
    if (!document_member(item, "size", &size)) size.raw = velocity_str("?");
    return printf("\t%s\t", version) >= 0 && document_print_line(size.raw) &&
           printf("\t%s%s%s\n", type, *expires ? "\t" : "", expires) >= 0;
}

static bool print_folded(const struct scan *s, struct json_value prefix) {
    if (!s->json) return printf("%s\n", s->folded.shown) >= 0;
    if (prefix.type == JSON_OBJECT) return document_print_line(prefix.raw) && print_bytes("\n", 1);
    return fputs("{\"prefix\":", stdout) != EOF && document_print_line(prefix.raw) && puts("}") != EOF;
}

/* Negative: the row at hand comes before the folded prefix. */
static int compare_heads(const struct scan *s) {
    int order = key_compare(velocity_bytes(s->key.bytes, s->key.size), velocity_bytes(s->folded.bytes, s->folded.size));
    return s->reverse ? -order : order;
}

/* Both lists as one, in the order of the scan. */
static bool print_page(struct scan *s, struct json_value items, struct json_value prefixes) {
    struct json_reader rows, folds;
    struct json_value item, fold;
    json_read(&rows, items);
    json_read(&folds, prefixes);
    bool row = json_next_element(&rows, &item), folded = json_next_element(&folds, &fold), good = true;
    if (row) take_key(item, &s->key);
    if (folded) take_folded(fold, &s->folded);
    while (good && s->left && (row || folded)) {
        int order = !folded ? -1 : !row ? 1 : compare_heads(s);
        s->left--;
        if (order <= 0) {
            good = print_item(s, item);
            row = json_next_element(&rows, &item);
            if (row) take_key(item, &s->key);
        } else {
            good = print_folded(s, fold);
            folded = json_next_element(&folds, &fold);
            if (folded) take_folded(fold, &s->folded);
        }
    }
    return good;
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

static int show_page(struct scan *s, const struct http_reply *reply) {
    struct json_value root, items, prefixes;
    bool good = json_parse(velocity_bytes(reply->body, reply->size), &root, NULL) &&
                document_member(root, "items", &items) && items.type == JSON_ARRAY &&
                document_member(root, "prefixes", &prefixes) && prefixes.type == JSON_ARRAY;
    if (!good) return complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    document_text(root, "cursor", s->cursor, sizeof s->cursor);
    return print_page(s, items, prefixes) ? EXIT_DONE : complain_of_output();
}

static int show_count(const struct scan *s, const struct http_reply *reply) {
    struct json_value root, count, exact;
    velocity_slice body = velocity_bytes(reply->body, reply->size);
    bool sure = true, good = json_parse(body, &root, NULL) && document_member(root, "count", &count);
    if (!good) return complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    if (document_member(root, "exact", &exact)) (void)json_bool(exact, &sure);
    if (!s->json) body = count.raw;
    if (!document_print_line(body) || putchar('\n') == EOF) return complain_of_output();
    return sure ? EXIT_DONE : complain(EXIT_DONE, "there are at least so many: counting them all takes too long");
}

static int scan_pages(struct http_client *client, struct scan *s) {
    struct json_writer path = {0};
    struct http_reply reply;
    bool count = command_value(s->command, s->arguments, "count") != NULL;
    int code;
    do {
        make_path(s, &path);
        code = client_get_json(client, &path, &reply);
        if (!code) code = count ? show_count(s, &reply) : show_page(s, &reply);
        http_reply_free(&reply);
    } while (!code && !count && *s->cursor && s->left);
    json_writer_free(&path);
    return code;
}

int run_scan(const struct command *command, const struct command_arguments *arguments) {
    struct connection connection = {0};
    struct scan *s = calloc(1, sizeof *s);
    int code = s ? EXIT_DONE : complain(EXIT_FAILED, "no memory");
    if (!code && arguments->operand_count > 1)
        code = complain(EXIT_USAGE, "scan takes one prefix; see \"velocity help scan\"");
    if (!code) {
        s->command = command;
        s->arguments = arguments;
        s->prefix = arguments->operand_count ? arguments->operands[0] : NULL;
        s->json = command_value(command, arguments, "json");
        s->values = command_value(command, arguments, "values");
        s->reverse = command_value(command, arguments, "reverse");
        s->left = UINT64_MAX;
        code = read_number("limit", command_value(command, arguments, "limit"), 1, UINT64_MAX, &s->left);
    }
    if (!code) code = connect_find(command, arguments, &connection);
    if (!code) code = scan_pages(connection.client, s);
    if (!code && fflush(stdout) != 0) code = complain_of_output();
    if (!code && s->omitted)
        (void)complain(EXIT_DONE, "%" PRIu64 " values are larger than a listing shows; \"velocity get\" has them",
                       s->omitted);
    connect_close(&connection);
    free(s);
    return code;
}
