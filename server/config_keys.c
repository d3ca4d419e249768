/* config_keys.c - the one table of settings. A row here is all that a new setting needs besides its use. */
#include "engine/velocity.h"
#include "server/config.h"
#include "server/logger.h"

#include <assert.h>

#define KIB           1024.0
#define MIB           (1024.0 * KIB)
#define GIB           (1024.0 * MIB)
#define TIB           (1024.0 * GIB)
#define FIELD(member) offsetof(struct config, member)

#define LATER "this version does not offer it: use \"lz4\" or \"zstd\""

static const struct config_choice compressions[] = {
    {"lz4", VELOCITY_COMPRESSION_LZ4, NULL},
    {"zstd", VELOCITY_COMPRESSION_ZSTD, NULL},
    {"adaptive", VELOCITY_COMPRESSION_ADAPTIVE, NULL},
    {"none", VELOCITY_COMPRESSION_NONE, NULL},
    {"snappy", 0, LATER},
    {NULL, 0, NULL},
};

static const struct config_choice durabilities[] = {
    {"always", VELOCITY_DURABILITY_ALWAYS, NULL},
    {"interval", VELOCITY_DURABILITY_INTERVAL, NULL},
    {"os", VELOCITY_DURABILITY_OS, NULL},
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
    {"server", "bind_address", CONFIG_TEXT, FIELD(server.bind_address), 0, 0, "127.0.0.1:2005", NULL,
     "Address and port to listen on: `127.0.0.1:2005`, `[::1]:2005`, `localhost:2005`; port 0 takes any free one. "
     "This version has no users, so only loopback addresses are accepted."},
    {"server", "data_dir", CONFIG_TEXT, FIELD(server.data_dir), 0, 0, "./velocitydb", NULL,
     "The folder that holds all data; made if it is missing. One server at a time uses it. "
     "A relative path starts at the server's working directory."},
    {"server", "max_connections", CONFIG_INTEGER, FIELD(server.max_connections), 1, 1e6, "20000", NULL,
     "Connections open at once; further ones wait. Lowered at the start where the descriptors allowed do not suffice."},
    {"server", "max_connections_per_address", CONFIG_INTEGER, FIELD(server.max_connections_per_address), 0, 1e6, "0", NULL,
     "The same for one client address; 0: no limit."},
    {"server", "connection_timeout_seconds", CONFIG_INTEGER, FIELD(server.connection_timeout_seconds), 1, 86400, "300", NULL,
     "A connection on which nothing happens for so long is closed."},
    {"server", "request_deadline_seconds", CONFIG_INTEGER, FIELD(server.request_deadline_seconds), 1, 3600, "30", NULL,
     "A request must have arrived whole within this time; slower clients are cut off."},
    {"server", "max_value_bytes", CONFIG_BYTES, FIELD(server.max_value_bytes), 1, 1023 * MIB, "64 MiB", NULL,
     "The largest value, and the largest request body; beyond: 413."},
    {"server", "max_inflight_bytes", CONFIG_BYTES, FIELD(server.max_inflight_bytes), 1 * MIB, 1 * TIB, "256 MiB", NULL,
     "Memory for the bodies of all requests under way, and as much for large replies not yet read; beyond: "
     "503. At least `max_value_bytes`."},
    {"server", "disk_reserve_bytes", CONFIG_BYTES, FIELD(server.disk_reserve_bytes), 0, 1024 * TIB, "256 MiB", NULL,
     "With less room than this on the disk, writes get 507; deletes and reads work."},
    {"server", "http_threads", CONFIG_INTEGER, FIELD(server.http_threads), 0, 256, "0", NULL,
     "Threads that serve HTTP; 0: one per core."},
    {"server", "allowed_hosts", CONFIG_LIST, FIELD(server.allowed_hosts), 0, 0, "", NULL,
     "Names besides the loopback ones that a request's `Host` may carry; others get 421."},

    {"database", "memtable_bytes", CONFIG_BYTES, FIELD(database.memtable_bytes), 64 * KIB, 4 * GIB, "64 MiB", NULL,
     "Memory of the write buffer; up to two more may wait to be written to disk."},
    {"database", "cache_bytes", CONFIG_BYTES, FIELD(database.cache_bytes), 1 * MIB, 16 * TIB, "256 MiB", NULL,
     "Memory of the block cache, which holds the data, index and filter blocks read most."},
    {"database", "bloom_false_positive_rate", CONFIG_REAL, FIELD(database.bloom_false_positive_rate), 0.0001, 1, "0.001", NULL,
     "How often a filter may send a search for an absent key to the disk (0.0001 to 0.5); smaller costs memory and disk. 1: no filters."},
    {"database", "compaction_threshold", CONFIG_INTEGER, FIELD(database.compaction_threshold), 2, 64, "8", NULL,
     "How many tables on level 0 start a compaction."},
    {"database", "enable_compression", CONFIG_SWITCH, FIELD(database.enable_compression), 0, 0, "true", NULL,
     "false: as `compression = \"none\"`."},
    {"database", "compression", CONFIG_CHOICE, FIELD(database.compression), 0, 0, "lz4", compressions,
     "How blocks of new tables are compressed. A change holds for tables written from then on; old ones stay readable."},
    {"database", "durability", CONFIG_CHOICE, FIELD(database.durability), 0, 0, "always", durabilities,
     "When a write is acknowledged: after it is on disk (`always`), or at once, with a sync within `interval_ms` (`interval`) or when the "
     "operating system likes (`os`). All three survive the death of the process; only `always` loses nothing in a power cut."},
    {"database", "interval_ms", CONFIG_INTEGER, FIELD(database.interval_ms), 1, 60000, "100", NULL,
     "Time between syncs with `durability = \"interval\"`."},
    {"database", "max_open_files", CONFIG_INTEGER, FIELD(database.max_open_files), 16, 1e6, "1000", NULL,
     "Table files kept open."},

    {"performance", "background_threads", CONFIG_INTEGER, FIELD(performance.background_threads), 0, 256, "0", NULL,
     "Threads that flush and compact; 0: one per core."},

    {"logging", "level", CONFIG_CHOICE, FIELD(logging.level), 0, 0, "info", log_levels,
     "The least important event that is logged."},
    {"logging", "format", CONFIG_CHOICE, FIELD(logging.format), 0, 0, "logfmt", log_formats,
     "How a line of the log is written."},
    {"logging", "file", CONFIG_TEXT, FIELD(logging.file), 0, 0, "", NULL,
     "The file that the log is appended to, opened anew on SIGHUP; empty: standard error."},
};
// clang-format on

const size_t config_key_count = sizeof config_keys / sizeof *config_keys;
static_assert(sizeof config_keys / sizeof *config_keys <= CONFIG_MAX_KEYS, "origins has no room for a new setting");
