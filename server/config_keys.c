/* config_keys.c - the one table of settings. A row here is all that a new setting needs besides its use. */
#include "engine/velocity.h"
#include "server/audit.h"
#include "server/config.h"
#include "server/logger.h"

#include <assert.h>

#define KIB           1024.0
#define MIB           (1024.0 * KIB)
#define GIB           (1024.0 * MIB)
#define TIB           (1024.0 * GIB)
#define FIELD(member) offsetof(struct config, member)
#define LIVE          CONFIG_RELOADABLE
#define OR_ZERO       CONFIG_OR_ZERO
#define MAX_RATE      1e9 /* requests a second; a token bucket counts nanoseconds */

#define LATER "this version does not offer it: use \"lz4\" or \"zstd\""

static const struct config_choice switches[] = {
    {"auto", CONFIG_TLS_AUTO, NULL},
    {"true", CONFIG_TLS_ON, NULL},
    {"false", CONFIG_TLS_OFF, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice compressions[] = {
    {"adaptive", VELOCITY_COMPRESSION_ADAPTIVE, NULL},
    {"none", VELOCITY_COMPRESSION_NONE, NULL},
    {"lz4", VELOCITY_COMPRESSION_LZ4, NULL},
    {"zstd", VELOCITY_COMPRESSION_ZSTD, NULL},
    {"snappy", 0, LATER},
    {NULL, 0, NULL},
};

static const struct config_choice durabilities[] = {
    {"always", VELOCITY_DURABILITY_ALWAYS, NULL},
    {"interval", VELOCITY_DURABILITY_INTERVAL, NULL},
    {"os", VELOCITY_DURABILITY_OS, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice audit_levels[] = {
    {"admin", AUDIT_LEVEL_ADMIN, NULL},
    {"writes", AUDIT_LEVEL_WRITES, NULL},
    {"all", AUDIT_LEVEL_ALL, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice audit_key_forms[] = {
    {"name", AUDIT_KEYS_NAME, NULL},
    {"hash", AUDIT_KEYS_HASH, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice audit_failures[] = {
    {"refuse", AUDIT_REFUSE, NULL},
    {"continue", AUDIT_CONTINUE, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice log_levels[] = {
    {"error", LOGGER_LEVEL_ERROR, NULL},
    {"warning", LOGGER_LEVEL_WARNING, NULL},
    {"info", LOGGER_LEVEL_INFO, NULL},
    {"debug", LOGGER_LEVEL_DEBUG, NULL},
    {NULL, 0, NULL},
};

static const struct config_choice log_formats[] = {
    {"logfmt", LOGGER_FORMAT_LOGFMT, NULL},
    {"json", LOGGER_FORMAT_JSON, NULL},
    {NULL, 0, NULL},
};

// clang-format off
const struct config_key config_keys[] = {
    {"server", "bind_address", CONFIG_TEXT, 0, FIELD(server.bind_address), 0, 0, "127.0.0.1:2005", NULL,
     "Address and port to listen on: `127.0.0.1:2005`, `[::1]:2005`, `localhost:2005`; port 0 takes any free "
     "one. An address that other machines can reach needs users, and TLS or `allow_plaintext`."},
    {"server", "data_dir", CONFIG_TEXT, 0, FIELD(server.data_dir), 0, 0, "./velocitydb", NULL,
     "The folder that holds all data; made if it is missing. One server at a time uses it. A relative path "
     "starts at the server's working directory."},
    {"server", "max_connections", CONFIG_INTEGER, 0, FIELD(server.max_connections), 1, 1e6, "20000", NULL,
     "Connections open at once; further ones wait. Half of them may be watches and exports. Lowered at the start "
     "where the descriptors allowed do not suffice."},
    {"server", "max_connections_per_address", CONFIG_INTEGER, LIVE, FIELD(server.max_connections_per_address), 0, 1e6, "0", NULL,
     "The same for one client address, whose further ones are closed; 0: no limit."},
    {"server", "connection_timeout_seconds", CONFIG_INTEGER, 0, FIELD(server.connection_timeout_seconds), 1, 86400, "300", NULL,
     "A connection on which nothing happens for so long is closed."},
    {"server", "watch_heartbeat_seconds", CONFIG_INTEGER, 0, FIELD(server.watch_heartbeat_seconds), 1, 300, "15", NULL,
     "A watch is told the current version so often, also where nothing that concerns it happens."},
    {"server", "request_deadline_seconds", CONFIG_INTEGER, LIVE, FIELD(server.request_deadline_seconds), 1, 3600, "30", NULL,
     "A request must have arrived whole within this time, of an import each piece; slower clients are cut off. So "
     "long a stop waits for requests under way."},
    {"server", "rate_limit_per_second", CONFIG_INTEGER, LIVE, FIELD(server.rate_limit_per_second), 0, MAX_RATE, "0", NULL,
     "Requests a second of one user, on all of their connections; beyond: 429. A second's worth may come at "
     "once. 0: no limit."},
    {"server", "connection_rate_limit_per_second", CONFIG_INTEGER, LIVE, FIELD(server.connection_rate_limit_per_second), 0, MAX_RATE, "0", NULL,
     "The same for one connection."},
    {"server", "global_rate_limit_per_second", CONFIG_INTEGER, LIVE, FIELD(server.global_rate_limit_per_second), 0, MAX_RATE, "0", NULL,
     "The same for all together."},
    {"server", "max_value_bytes", CONFIG_BYTES, 0, FIELD(server.max_value_bytes), 1, 1023 * MIB, "64 MiB", NULL,
     "The largest value, and the largest request body but an import's; beyond: 413."},
    {"server", "max_frame_bytes", CONFIG_BYTES, OR_ZERO, FIELD(server.max_frame_bytes), 64 * KIB, 1 * GIB, "0", NULL,
     "The largest frame of the Velocity Protocol; at least 64 KiB more than `max_value_bytes`. 0: 1 MiB more "
     "than it."},
    {"server", "max_inflight_bytes", CONFIG_BYTES, 0, FIELD(server.max_inflight_bytes), 1 * MIB, 1 * TIB, "256 MiB", NULL,
     "Memory for the bodies of all requests under way, as much for large replies not yet read, and as much for "
     "open transactions; beyond: 503. At least `max_value_bytes`."},
    {"server", "transaction_idle_seconds", CONFIG_INTEGER, 0, FIELD(server.transaction_idle_seconds), 1, 3600, "30", NULL,
     "A transaction is rolled back when no request came inside of it for so long."},
    {"server", "transaction_max_seconds", CONFIG_INTEGER, 0, FIELD(server.transaction_max_seconds), 1, 86400, "300", NULL,
     "A transaction is rolled back so long after its begin, whatever comes; meanwhile what it sees can't be "
     "reclaimed."},
    {"server", "max_transactions_per_user", CONFIG_INTEGER, 0, FIELD(server.max_transactions_per_user), 1, 1024, "16", NULL,
     "Open transactions of one user (of everybody, where there are no users); beyond: 409. All together have at "
     "most 1024."},
    {"server", "max_transaction_bytes", CONFIG_BYTES, 0, FIELD(server.max_transaction_bytes), 1 * MIB, 1 * GIB, "64 MiB", NULL,
     "Memory for what one transaction writes: keys and values, held twice, and 300 bytes for each (1,000 for a deleted "
     "range); beyond: 413."},
    {"server", "disk_reserve_bytes", CONFIG_BYTES, 0, FIELD(server.disk_reserve_bytes), 0, 1024 * TIB, "256 MiB", NULL,
     "With less room than this on the disk, writes get 507; deletes and reads work."},
    {"server", "http_threads", CONFIG_INTEGER, 0, FIELD(server.http_threads), 0, 256, "0", NULL,
     "Threads that serve HTTP; 0: one per core."},
    {"server", "allow_plaintext", CONFIG_SWITCH, 0, FIELD(server.allow_plaintext), 0, 0, "false", NULL,
     "true: other machines may speak without TLS, so that passwords, tokens and values cross the network as "
     "they are. For a server behind a proxy that ends TLS."},
    {"server", "allowed_hosts", CONFIG_LIST, LIVE, FIELD(server.allowed_hosts), 0, 0, "", NULL,
     "Names besides the loopback ones that a request's `Host` may carry; others get 421."},
    {"server", "cors_origins", CONFIG_LIST, LIVE, FIELD(server.cors_origins), 0, 0, "", NULL,
     "Origins, as `https://app.example:8443`, whose pages in a browser may call this server; empty: none but "
     "its own."},
    {"server", "trusted_proxies", CONFIG_LIST, LIVE, FIELD(server.trusted_proxies), 0, 0, "", NULL,
     "Addresses and networks, as `192.0.2.7` or `10.0.0.0/8`, of proxies whose word for where a request comes "
     "from is taken."},
    {"server", "external_url", CONFIG_TEXT, 0, FIELD(server.external_url), 0, 0, "", NULL,
     "Where clients reach the server if that is not the bound address, as `https://db.example`; without a path. "
     "Browsers that come over TLS to such a name without a port are told to use nothing but TLS for it for a year "
     "(`Strict-Transport-Security`), unless the server made its certificate itself."},

    {"tls", "enabled", CONFIG_CHOICE, 0, FIELD(tls.enabled), 0, 0, "auto", switches,
     "Speak TLS 1.3, on the same port. `\"auto\"`: unless the address is a loopback one."},
    {"tls", "cert_path", CONFIG_TEXT, LIVE, FIELD(tls.cert_path), 0, 0, "", NULL,
     "The certificate and those between it and its authority, PEM. Empty, with `key_path`: a self-signed one is"
     " made once and kept in the data directory."},
    {"tls", "key_path", CONFIG_TEXT, LIVE, FIELD(tls.key_path), 0, 0, "", NULL,
     "The certificate's key, PEM."},
    {"tls", "client_ca_path", CONFIG_TEXT, LIVE, FIELD(tls.client_ca_path), 0, 0, "", NULL,
     "Certificates, PEM, one of which must have signed that of a client; empty: clients need none."},

    {"database", "max_memtable_size", CONFIG_INTEGER, OR_ZERO, FIELD(database.max_memtable_size), 64, 4194304, "0", NULL,
     "Entries that the write buffer is to hold, each counted as 1 KiB: beats `memtable_bytes`, which then is so"
     " much. 0: `memtable_bytes` counts."},
    {"database", "memtable_bytes", CONFIG_BYTES, 0, FIELD(database.memtable_bytes), 64 * KIB, 4 * GIB, "64 MiB", NULL,
     "Memory of the write buffer of a database; up to two more may wait to be written to disk."},
    {"database", "total_memtable_bytes", CONFIG_BYTES, 0, FIELD(database.total_memtable_bytes), 1 * MIB, 1 * TIB, "256 MiB", NULL,
     "The same for all databases together; at least `memtable_bytes`."},
    {"database", "cache_size", CONFIG_INTEGER, LIVE | OR_ZERO, FIELD(database.cache_size), 256, 4294967296.0, "0", NULL,
     "Blocks of 4 KiB that the block cache is to hold: beats `cache_bytes`, which then is so much. 0: "
     "`cache_bytes` counts."},
    {"database", "cache_bytes", CONFIG_BYTES, LIVE, FIELD(database.cache_bytes), 1 * MIB, 16 * TIB, "256 MiB", NULL,
     "Memory of the block cache, which holds the data, index and filter blocks read most; one for all "
     "databases."},
    {"database", "bloom_false_positive_rate", CONFIG_REAL, 0, FIELD(database.bloom_false_positive_rate), 0.0001, 1, "0.001", NULL,
     "How often a filter may send a search for an absent key to the disk (0.0001 to 0.5); smaller costs memory "
     "and disk. 1: no filters."},
    {"database", "compaction_threshold", CONFIG_INTEGER, 0, FIELD(database.compaction_threshold), 2, 64, "8", NULL,
     "How many tables on level 0 start a compaction."},
    {"database", "enable_compression", CONFIG_SWITCH, 0, FIELD(database.enable_compression), 0, 0, "true", NULL,
     "false: as `compression = \"none\"`."},
    {"database", "compression", CONFIG_CHOICE, 0, FIELD(database.compression), 0, 0, "adaptive", compressions,
     "How blocks of new tables are compressed. `adaptive`: lz4, and on the last level zstd where that gains "
     "enough. A change holds for tables written from then on; old ones stay readable."},
    {"database", "durability", CONFIG_CHOICE, LIVE, FIELD(database.durability), 0, 0, "always", durabilities,
     "When a write is acknowledged: after it is on disk (`always`), or at once, with a sync within "
     "`interval_ms` (`interval`) or when the operating system likes (`os`). All three survive the death of the "
     "process; only `always` loses nothing in a power cut."},
    {"database", "interval_ms", CONFIG_INTEGER, LIVE, FIELD(database.interval_ms), 1, 60000, "100", NULL,
     "Time between syncs with `durability = \"interval\"`."},
    {"database", "value_log_threshold", CONFIG_BYTES, OR_ZERO, FIELD(database.value_log_threshold), 32, 1 * GIB, "4 KiB", NULL,
     "Values from this size on stand apart from their keys, so that merging need not rewrite them; 0: never."},
    {"database", "encryption_key_file", CONFIG_TEXT, 0, FIELD(database.encryption_key_file), 0, 0, "", NULL,
     "A file that holds a key, 32 bytes or 64 hexadecimal digits, and that nobody but its owner and group may "
     "read: what is written from then on is encrypted with it. Empty: nothing is."},
    {"database", "default_max_disk_bytes", CONFIG_BYTES, LIVE | OR_ZERO, FIELD(database.default_max_disk_bytes), 32 * MIB, 1024 * TIB, "0", NULL,
     "Disk space that a database may take which has no limit of its own; beyond: 507. 0: no limit."},
    {"database", "max_databases", CONFIG_INTEGER, 0, FIELD(database.max_databases), 1, 10000, "100", NULL,
     "Databases that can be made."},
    {"database", "change_history_bytes", CONFIG_BYTES, 0, FIELD(database.change_history_bytes), 0, 1 * TIB, "64 MiB", NULL,
     "Log of each database that is kept so that a watch can begin in the past; 0: none."},
    {"database", "max_open_files", CONFIG_INTEGER, 0, FIELD(database.max_open_files), 16, 1e6, "1000", NULL,
     "Table and value files kept open, of all databases together."},

    {"performance", "background_threads", CONFIG_INTEGER, 0, FIELD(performance.background_threads), 0, 256, "0", NULL,
     "Threads that flush and compact, for all databases; 0: one per core."},

    {"security", "audit_logging", CONFIG_SWITCH, 0, FIELD(security.audit_logging), 0, 0, "true", NULL,
     "Record who did what, in `audit.db` of the data directory."},
    {"security", "audit_level", CONFIG_CHOICE, LIVE, FIELD(security.audit_level), 0, 0, "admin", audit_levels,
     "What is recorded: logins and administration (`admin`), writes of keys, too (`writes`), or reads as well "
     "(`all`)."},
    {"security", "audit_keys", CONFIG_CHOICE, LIVE, FIELD(security.audit_keys), 0, 0, "name", audit_key_forms,
     "How a key is recorded: as it is, or as a SHA-256 of database and key."},
    {"security", "audit_retention_days", CONFIG_INTEGER, LIVE, FIELD(security.audit_retention_days), 0, 36500, "90", NULL,
     "Days after which what was recorded is removed; 0: never."},
    {"security", "audit_max_bytes", CONFIG_BYTES, LIVE | OR_ZERO, FIELD(security.audit_max_bytes), 1 * MIB, 16 * TIB, "1 GiB", NULL,
     "The size of the file beyond which the oldest records are removed; 0: no limit."},
    {"security", "audit_on_failure", CONFIG_CHOICE, 0, FIELD(security.audit_on_failure), 0, 0, "refuse", audit_failures,
     "What becomes of an operation that can't be recorded: it gets 503 (`refuse`), or is done all the same "
     "(`continue`)."},
    {"security", "max_auth_failures", CONFIG_INTEGER, LIVE, FIELD(security.max_auth_failures), 0, 1000, "5", NULL,
     "Wrong passwords or tokens in a row after which an address is banned; 0: never."},
    {"security", "auth_ban_duration", CONFIG_INTEGER, LIVE, FIELD(security.auth_ban_duration), 1, 2592000, "300", NULL,
     "How many seconds a ban lasts."},

    {"logging", "level", CONFIG_CHOICE, LIVE, FIELD(logging.level), 0, 0, "info", log_levels,
     "The least important event that is logged."},
    {"logging", "format", CONFIG_CHOICE, LIVE, FIELD(logging.format), 0, 0, "logfmt", log_formats,
     "How a line of the log is written."},
    {"logging", "file", CONFIG_TEXT, 0, FIELD(logging.file), 0, 0, "", NULL,
     "The file that the log is appended to, opened anew on SIGHUP; empty: standard error."},

    {"addons.service", "pid_file", CONFIG_TEXT, 0, FIELD(service.pid_file), 0, 0, "", NULL,
     "A file that holds the process id while the server runs; empty: none."},
    {"addons.service", "watch_config", CONFIG_SWITCH, 0, FIELD(service.watch_config), 0, 0, "true", NULL,
     "Read the configuration again when its file changes, not only on SIGHUP."},

    {"", "admin_password", CONFIG_TEXT, CONFIG_SECRET, FIELD(admin_password), 0, 0, "", NULL,
     "The password of the user `admin`, made at the first start where there are no users yet."},
};
// clang-format on

const size_t config_key_count = sizeof config_keys / sizeof *config_keys;
static_assert(sizeof config_keys / sizeof *config_keys <= CONFIG_MAX_KEYS, "origins has no room for a new setting");
