/*
 * openapi_table.c - see openapi.h: the operations, parameters and header fields. A test holds them and the route table
 * together.
 */
#include "http/openapi.h"

#define PUT_PROBLEMS "invalid_key invalid_header precondition_failed value_not_json read_only outcome_unknown no_space"
#define PATCH_PROBLEMS                                                                                                 \
    "invalid_key key_not_found invalid_header conflict precondition_failed unsupported_media_type value_not_json "     \
    "read_only outcome_unknown no_space"

/* clang-format off */
const struct openapi_operation openapi_operations[] = {
    /* keys */
    {"get", NULL, "if_match if_none_match range if_range", NULL, 200, "",
     "invalid_key key_not_found precondition_failed range_not_satisfiable"},
    {"head", NULL, "if_match if_none_match", NULL, 200, NULL, "invalid_key key_not_found precondition_failed"},
    {"put", "/api/keys", "key64_required ttl expires_at if_match if_none_match", "", 204, NULL, PUT_PROBLEMS},
    {"put", NULL, "ttl expires_at if_match if_none_match", "", 204, NULL, PUT_PROBLEMS},
    {"delete", NULL, "if_match if_none_match", NULL, 204, NULL,
     "invalid_key invalid_header precondition_failed read_only outcome_unknown no_space"},
    {"delete_range", NULL, "prefix start end delete_all dry_run key64_delete if_match if_none_match", NULL, 204, NULL,
     "invalid_key invalid_header precondition_failed read_only outcome_unknown no_space"},
    {"patch", "/api/keys", "key64_required if_match if_none_match", "MergePatch", 204, NULL, PATCH_PROBLEMS},
    {"patch", NULL, "if_match if_none_match", "MergePatch", 204, NULL, PATCH_PROBLEMS},
    {"list", NULL, "prefix start end limit cursor reverse values delimiter count key64 if_match if_none_match range "
     "if_range", NULL, 200, "ListingOrCount",
     "invalid_cursor invalid_key key_not_found precondition_failed range_not_satisfiable"},
    {"batch", NULL, "", "Batch", 200, "BatchResult",
     "invalid_json invalid_body invalid_operation invalid_condition precondition_failed conflict read_only "
     "outcome_unknown no_space"},
    {"watch", NULL, "prefix since_version last_event_id", NULL, 200, "", "invalid_header history_gone"},
    {"export", NULL, "prefix start end", NULL, 200, "", ""},
    {"import", NULL, "", "Items", 200, "Imported",
     "invalid_body unsupported_media_type draining read_only outcome_unknown no_space"},
    /* transactions */
    {"transaction.begin", NULL, "", "NewTransaction", 201, "Transaction", "too_many read_only"},
    {"transactions", NULL, "user all", NULL, 200, "Transactions", ""},
    {"transaction.commit", NULL, "", "Nothing", 200, "Committed",
     "transaction_not_found transaction_busy transaction_conflict transaction_expired transaction_ended read_only "
     "outcome_unknown no_space"},
    {"transaction.rollback", NULL, "", NULL, 204, NULL, "transaction_not_found transaction_busy transaction_ended"},
    /* databases */
    {"databases", NULL, "", NULL, 200, "Databases", ""},
    {"database.create", NULL, "", "NewDatabase", 201, "Database", "name_taken too_many no_space"},
    {"database", NULL, "", NULL, 200, "Database", "database_not_found"},
    {"database.change", NULL, "", "DatabaseChange", 200, "Database", "database_not_found"},
    {"database.drop", NULL, "", NULL, 204, NULL, "database_not_found database_in_use conflict"},
    {"flush", NULL, "", "Nothing", 202, "Job", "database_not_found"},
    {"compact", NULL, "", "Nothing", 202, "Job", "database_not_found"},
    {"jobs", NULL, "", NULL, 200, "Jobs", ""},
    {"job", NULL, "", NULL, 200, "Job", "not_found"},
    {"job.cancel", NULL, "", NULL, 204, NULL, "not_found conflict"},
    /* sessions */
    {"login", NULL, "", "Login", 201, "NewSession", "login_refused too_many"},
    {"sessions", NULL, "user all", NULL, 200, "Sessions", ""},
    {"session.end", NULL, "", NULL, 204, NULL, "not_found"},
    {"whoami", NULL, "", NULL, 200, "Whoami", ""},
    {"user.own_password", NULL, "", "PasswordChange", 204, NULL, "configured"},
    /* users and tokens */
    {"users", NULL, "", NULL, 200, "Users", ""},
    {"user.create", NULL, "", "NewUser", 201, "User", "name_taken"},
    {"user", NULL, "", NULL, 200, "User", "not_found"},
    {"user.change", NULL, "", "UserChange", 200, "User", "not_found configured last_admin"},
    {"user.delete", NULL, "", NULL, 204, NULL, "not_found configured last_admin"},
    {"tokens", NULL, "user all", NULL, 200, "Tokens", ""},
    {"token.create", NULL, "", "NewToken", 201, "TokenWithSecret", "too_many"},
    {"token.revoke", NULL, "", NULL, 204, NULL, "not_found"},
    /* operations */
    {"audit", NULL, "since until user action database limit cursor", NULL, 200, "AuditPage",
     "invalid_cursor not_found"},
    {"audit.verify", NULL, "", NULL, 200, "AuditVerification", "not_found"},
    {"config", NULL, "", NULL, 200, "Configuration", "not_found"},
    {"openapi", NULL, "if_none_match", NULL, 200, "Object", ""},
    {"stats", NULL, "", NULL, 200, "Object", ""},
    {"live", NULL, "", NULL, 200, "", ""},
    {"ready", NULL, "verbose", NULL, 200, "", "draining login_refused banned"},
};

#define VALUE_HEADERS "ETag Velocity-Expires-At Accept-Ranges"
#define LIST_HEADERS  "Vary Content-Encoding"

const struct openapi_reply_headers openapi_reply_headers[] = {
    {"get", VALUE_HEADERS},
    {"head", VALUE_HEADERS},
    {"list", VALUE_HEADERS " " LIST_HEADERS},
    {"put", "ETag"},
    {"patch", "ETag"},
    {"delete", "Velocity-Version"},
    {"delete_range", "Velocity-Version"},
    {"export", "Velocity-Version"},
    {"database.create", "Location"},
    {"user.create", "Location"},
    {"flush", "Location"},
    {"compact", "Location"},
    {"login", "Set-Cookie"},
    {"session.end", "Set-Cookie"},
    {"audit", LIST_HEADERS},
    {"openapi", "ETag"},
};

#define QUERY(name, schema, text) \
    "{'name':'" name "','in':'query','description':'" text "','schema':" schema "}"
#define HEADER(name, text) "{'name':'" name "','in':'header','description':'" text "','schema':{'type':'string'}}"
#define PATH(name, text) \
    "{'name':'" name "','in':'path','required':true,'description':'" text "','schema':{'type':'string'}}"
#define TEXT "{'type':'string'}"

const struct openapi_component openapi_parameters[] = {
    {"path_key", PATH("key", "Any bytes, percent-encoded once; the rest of the path, slashes and all.")},
    {"path_db", PATH("db", "A database.")},
    {"path_name", PATH("name", "A database, or a user.")},
    {"path_id", PATH("id", "Of a session (or the word current), a token, a job or a transaction.")},
    {"transaction", HEADER("Velocity-Transaction", "The id of a transaction: all of it is done inside of that one.")},
    {"if_match", HEADER("If-Match", "Entity tags, or *: only where the key stands at one of these versions.")},
    {"if_none_match", HEADER("If-None-Match", "Entity tags, or *: only where it stands at none of them.")},
    {"range", HEADER("Range", "bytes=FIRST-LAST, bytes=FIRST- or bytes=-COUNT: one part of the value; others are "
                     "passed over.")},
    {"if_range", HEADER("If-Range", "An entity tag: Range counts only where the key stands at this version.")},
    {"ttl", QUERY("ttl", "{'type':'integer','minimum':1,'maximum':3155760000}", "Seconds until it expires.")},
    {"expires_at", QUERY("expires_at", "{'type':'string','format':'date-time'}", "When it expires.")},
    {"key64_delete", QUERY("key64", TEXT, "A key in base64url without padding, alone: deletes it instead.")},
    {"delete_all", QUERY("all", "{'type':'boolean'}", "In place of bounds: every key.")},
    {"dry_run", QUERY("dry_run", "{'type':'boolean','default':false}", "Delete nothing, count instead.")},
    {"delimiter", QUERY("delimiter", TEXT, "Keys that hold it behind the prefix are folded into prefixes.")},
    {"count", QUERY("count", "{'type':'boolean','default':false}", "With bounds alone: only how many there are.")},
    {"key64", QUERY("key64", TEXT, "A key in base64url without padding, alone: reads its value instead.")},
    {"key64_required", "{'name':'key64','in':'query','required':true,'description':'The key in base64url without "
                       "padding.','schema':{'type':'string'}}"},
    {"prefix", QUERY("prefix", TEXT, "Only keys that begin with it.")},
    {"start", QUERY("start", TEXT, "Only keys from this one on.")},
    {"end", QUERY("end", TEXT, "Only keys before this one.")},
    {"limit", QUERY("limit", "{'type':'integer','minimum':1,'maximum':10000,'default':100}",
                    "At most as many on a page; 1000 of the audit log.")},
    {"cursor", QUERY("cursor", TEXT, "From the page before, which had the same parameters.")},
    {"reverse", QUERY("reverse", "{'type':'boolean','default':false}", "From the last key to the first.")},
    {"values", QUERY("values", "{'type':'boolean','default':false}", "With values, up to 1 MiB each.")},
    {"user", QUERY("user", TEXT, "Of this user; of others only for an admin.")},
    {"all", QUERY("all", "{'type':'boolean','default':false}", "Those of everyone; only for an admin.")},
    {"since", QUERY("since", TEXT, "RFC 3339, or milliseconds since 1970; inclusive.")},
    {"since_version", QUERY("since", TEXT, "Only what came after this version; without: from now on.")},
    {"last_event_id", HEADER("Last-Event-ID", "The id of the last event that was seen; stronger than since.")},
    {"until", QUERY("until", TEXT, "RFC 3339, or milliseconds since 1970; exclusive.")},
    {"action", QUERY("action", TEXT, "Only this action, such as put or user.create.")},
    {"database", QUERY("database", TEXT, "Only in this database.")},
    {"verbose", QUERY("verbose", "{'type':'boolean'}", "Details as JSON; also without a value.")},
};

#define REPLY(name, schema, text) {name, "{'description':'" text "','schema':" schema "}"}
#define VERSION "{'type':'string','pattern':'^[0-9]+$'}"

const struct openapi_component openapi_headers[] = {
    REPLY("ETag", TEXT, "The version, in quotes; not of what a transaction has written itself."),
    REPLY("Velocity-Version", VERSION, "The version that came of it, or that is shown; not inside of a transaction."),
    REPLY("Velocity-Expires-At", "{'type':'string','format':'date-time'}", "When it expires, if it does."),
    REPLY("Accept-Ranges", TEXT, "Of a value: bytes."),
    REPLY("Content-Range", TEXT, "Which bytes of how many there are."),
    REPLY("Content-Encoding", TEXT, "gzip, where a list is packed."),
    REPLY("Vary", TEXT, "Of a list: Accept-Encoding."),
    REPLY("Location", TEXT, "Where it is found."),
    REPLY("Set-Cookie", TEXT, "The session, where cookie was true; or none, where it is over."),
    REPLY("Retry-After", "{'type':'integer','minimum':1}", "Seconds after which to ask again."),
    REPLY("WWW-Authenticate", TEXT, "Bearer and Basic, but not for pages of the same origin."),
    REPLY("Accept-Patch", TEXT, "The media type of a patch, where it had another."),
};
/* clang-format on */

const size_t openapi_operation_count = sizeof openapi_operations / sizeof openapi_operations[0];
const size_t openapi_parameter_count = sizeof openapi_parameters / sizeof openapi_parameters[0];
const size_t openapi_header_count = sizeof openapi_headers / sizeof openapi_headers[0];
const size_t openapi_reply_header_count = sizeof openapi_reply_headers / sizeof openapi_reply_headers[0];

const struct openapi_operation *openapi_operation(const struct route *route) {
    for (size_t i = 0; i < openapi_operation_count; i++) {
        const struct openapi_operation *operation = &openapi_operations[i];
        if (strcmp(operation->action, route->action.name) != 0) continue;
        if (!operation->path || strcmp(operation->path, route->path) == 0) return operation;
    }
    return NULL;
}

const char *openapi_headers_of(const struct route *route) {
    for (size_t i = 0; i < openapi_reply_header_count; i++)
        if (strcmp(openapi_reply_headers[i].action, route->action.name) == 0) return openapi_reply_headers[i].names;
    return "";
}
