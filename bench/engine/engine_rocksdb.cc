/*
 * engine_rocksdb.cc - RocksDB, through its C++ interface: a PinnableSlice is reused from get to get, where the C one
 * allocates one each time.
 */
#include "bench.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

namespace {

struct Database {
    std::shared_ptr<rocksdb::Cache> cache;
    std::unique_ptr<rocksdb::DB> db;
    rocksdb::WriteOptions write;
};

struct Session {
    Database *database;
    rocksdb::PinnableSlice value;
};

void check(const rocksdb::Status &status) {
    if (!status.ok()) bench_fail("rocksdb: %s", status.ToString().c_str());
}

rocksdb::CompressionType compression() {
    std::vector<rocksdb::CompressionType> types = rocksdb::GetSupportedCompressions();
    for (rocksdb::CompressionType type : {rocksdb::kLZ4Compression, rocksdb::kSnappyCompression})
        if (std::find(types.begin(), types.end(), type) != types.end()) return type;
    return rocksdb::kNoCompression;
}

void *open_db(const bench_settings *settings) {
    auto d = std::make_unique<Database>();
    d->write.sync = settings->durable;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = d->cache = rocksdb::NewLRUCache(BENCH_CACHE_BYTES);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(BENCH_FILTER_BITS));
    rocksdb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = BENCH_MEMTABLE_BYTES;
    options.compression = compression();
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    if (settings->value_bytes >= 1024) { /* its own way with large values, as its documentation recommends it */
        options.enable_blob_files = true;
        options.enable_blob_garbage_collection = true;
        options.blob_compression_type = options.compression;
        options.blob_cache = table.block_cache;
    }
    rocksdb::DB *db = nullptr;
    check(rocksdb::DB::Open(options, settings->directory, &db));
    d->db.reset(db);
    return d.release();
}

void close_db(void *db) {
    auto *d = static_cast<Database *>(db);
    check(d->db->Close());
    delete d;
}

void *session_new(void *db) {
    return new Session{static_cast<Database *>(db), {}};
}
void session_free(void *session) {
    delete static_cast<Session *>(session);
}

rocksdb::Slice key_slice(const char *key) {
    return rocksdb::Slice(key, BENCH_KEY_BYTES);
}

void put(void *session, const char *key, const void *value, size_t size) {
    auto *d = static_cast<Session *>(session)->database;
    check(d->db->Put(d->write, key_slice(key), rocksdb::Slice(static_cast<const char *>(value), size)));
}

void remove_key(void *session, const char *key) {
    auto *d = static_cast<Session *>(session)->database;
    check(d->db->Delete(d->write, key_slice(key)));
}

void remove_range(void *session, const char *from, const char *to) {
    auto *d = static_cast<Session *>(session)->database;
    check(d->db->DeleteRange(d->write, d->db->DefaultColumnFamily(), key_slice(from), key_slice(to)));
}

bool read_value(Session *s, const char *key) {
    rocksdb::DB *db = s->database->db.get();
    s->value.Reset();
    rocksdb::Status status = db->Get(rocksdb::ReadOptions(), db->DefaultColumnFamily(), key_slice(key), &s->value);
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
    memcpy(buffer, s->value.data(), std::min(s->value.size(), capacity));
    return static_cast<int64_t>(s->value.size());
}

uint64_t scan(void *session, const char *start, uint64_t rows, uint64_t *sum) {
    auto *d = static_cast<Session *>(session)->database;
    std::unique_ptr<rocksdb::Iterator> it(d->db->NewIterator(rocksdb::ReadOptions()));
    if (start) {
        it->Seek(key_slice(start));
    } else {
        it->SeekToFirst();
    }
    uint64_t seen = 0;
    for (; seen < rows && it->Valid(); it->Next(), seen++) {
        rocksdb::Slice key = it->key(), value = it->value();
        *sum += bench_touch(key.data(), key.size()) + bench_touch(value.data(), value.size());
    }
    check(it->status());
    return seen;
}

bool busy(void *db) {
    auto *d = static_cast<Database *>(db);
    for (const std::string &property :
         {rocksdb::DB::Properties::kMemTableFlushPending, rocksdb::DB::Properties::kNumRunningFlushes,
          rocksdb::DB::Properties::kCompactionPending, rocksdb::DB::Properties::kNumRunningCompactions}) {
        uint64_t number = 0;
        if (d->db->GetIntProperty(property, &number) && number > 0) return true;
    }
    return false;
}

void compact(void *db) {
    check(static_cast<Database *>(db)->db->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr));
}

void shed(void *db) {
    auto *d = static_cast<Database *>(db);
    check(d->db->Flush(rocksdb::FlushOptions()));
    d->cache->SetCapacity(0);
}

const char *version() {
    static char text[32];
    (void)snprintf(text, sizeof text, "%d.%d.%d", ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH);
    return text;
}

const char *configuration() noexcept {
    switch (compression()) {
    case rocksdb::kLZ4Compression:
        return "lz4, blob files from 1 KiB on, 10 filter bits a key, C++ interface, a reused PinnableSlice";
    case rocksdb::kSnappyCompression:
        return "snappy, blob files from 1 KiB on, 10 filter bits a key, C++ interface, a reused PinnableSlice";
    default:
        return "no compression, blob files from 1 KiB on, 10 filter bits a key, C++ interface, a reused PinnableSlice";
    }
}

bench_engine describe() noexcept {
    bench_engine e = {};
    e.id = "rocksdb";
    e.title = "RocksDB";
    e.kind = BENCH_LSM;
    e.version = version;
    e.configuration = configuration();
    e.open = open_db;
    e.close = close_db;
    e.session_new = session_new;
    e.session_free = session_free;
    e.put = put;
    e.remove = remove_key;
    e.remove_range = remove_range;
    e.get = get;
    e.copy = copy;
    e.scan = scan;
    e.busy = busy;
    e.compact = compact;
    e.shed = shed;
    return e;
}

} // namespace

extern "C" {
extern const bench_engine bench_rocksdb;
const bench_engine bench_rocksdb = describe();
}
