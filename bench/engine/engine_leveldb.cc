/*
 * engine_leveldb.cc - LevelDB, through its C++ interface: the C one copies every value twice, into memory that it
 * allocates for each get.
 */
#include "bench.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/options.h>

#include <cstdio>
#include <memory>
#include <string>

namespace {

struct Database {
    std::unique_ptr<leveldb::Cache> cache;
    std::unique_ptr<const leveldb::FilterPolicy> filter;
    std::unique_ptr<leveldb::DB> db;
    leveldb::WriteOptions write;
};

struct Session {
    Database *database;
    std::string value; /* keeps its memory from get to get */
};

void check(const leveldb::Status &status) {
    if (!status.ok()) bench_fail("leveldb: %s", status.ToString().c_str());
}

void *open_db(const bench_settings *settings) {
    auto d = std::make_unique<Database>();
    d->cache.reset(leveldb::NewLRUCache(BENCH_CACHE_BYTES));
    d->filter.reset(leveldb::NewBloomFilterPolicy(BENCH_FILTER_BITS));
    d->write.sync = settings->durable;
    leveldb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = BENCH_MEMTABLE_BYTES;
    options.block_cache = d->cache.get();
    options.filter_policy = d->filter.get();
    options.compression = leveldb::kSnappyCompression;
    leveldb::DB *db = nullptr;
    check(leveldb::DB::Open(options, settings->directory, &db));
    d->db.reset(db);
    return d.release();
}

void close_db(void *db) {
    auto *d = static_cast<Database *>(db);
    d->db.reset(); /* before the cache that it uses */
    delete d;
}

void *session_new(void *db) {
    return new Session{static_cast<Database *>(db), {}};
}
void session_free(void *session) {
    delete static_cast<Session *>(session);
}

leveldb::Slice key_slice(const char *key) {
    return leveldb::Slice(key, BENCH_KEY_BYTES);
}

void put(void *session, const char *key, const void *value, size_t size) {
    auto *d = static_cast<Session *>(session)->database;
    check(d->db->Put(d->write, key_slice(key), leveldb::Slice(static_cast<const char *>(value), size)));
}

void remove_key(void *session, const char *key) {
    auto *d = static_cast<Session *>(session)->database;
    check(d->db->Delete(d->write, key_slice(key)));
}

bool read_value(Session *s, const char *key) {
    leveldb::Status status = s->database->db->Get(leveldb::ReadOptions(), key_slice(key), &s->value);
    if (status.IsNotFound()) return false;
    check(status);
    return true;
}

bool get(void *session, const char *key, uint64_t *sum) {
    auto *s = static_cast<Session *>(session);
    if (!read_value(s, key)) return false;
    *sum += bench_touch(s->value.data(), s->value.size());
    return true;
}

int64_t copy(void *session, const char *key, void *buffer, size_t capacity) {
    auto *s = static_cast<Session *>(session);
    if (!read_value(s, key)) return -1;
    memcpy(buffer, s->value.data(), s->value.size() < capacity ? s->value.size() : capacity);
    return static_cast<int64_t>(s->value.size());
}

uint64_t scan(void *session, const char *start, uint64_t rows, uint64_t *sum) {
    auto *d = static_cast<Session *>(session)->database;
    std::unique_ptr<leveldb::Iterator> it(d->db->NewIterator(leveldb::ReadOptions()));
    if (start) {
        it->Seek(key_slice(start));
    } else {
        it->SeekToFirst();
    }
    uint64_t seen = 0;
    for (; seen < rows && it->Valid(); it->Next(), seen++) {
        leveldb::Slice key = it->key(), value = it->value();
        *sum += bench_touch(key.data(), key.size()) + bench_touch(value.data(), value.size());
    }
    check(it->status());
    return seen;
}

void compact(void *db) {
    static_cast<Database *>(db)->db->CompactRange(nullptr, nullptr);
}

const char *version() {
    static char text[16];
    (void)snprintf(text, sizeof text, "%d.%d", leveldb::kMajorVersion, leveldb::kMinorVersion);
    return text;
}

bench_engine describe() noexcept {
    bench_engine e = {};
    e.id = "leveldb";
    e.title = "LevelDB";
    e.kind = BENCH_LSM;
    e.maps_files = true;
    e.version = version;
    e.configuration = "snappy, 10 filter bits a key, C++ interface, values read into a reused string";
    e.open = open_db;
    e.close = close_db;
    e.session_new = session_new;
    e.session_free = session_free;
    e.put = put;
    e.remove = remove_key;
    e.get = get;
    e.copy = copy;
    e.scan = scan;
    e.compact = compact;
    return e;
}

} // namespace

extern "C" {
extern const bench_engine bench_leveldb;
const bench_engine bench_leveldb = describe();
}
