// RocksdbDatabase: one RocksDB that can be closed and opened again while
// threads use it: RocksDB does not reliably write again after its disk was
// full. Every write is synced before it returns. Thread-safe.
#ifndef LONGHAND_CORE_STORE_ROCKSDB_DATABASE_H_
#define LONGHAND_CORE_STORE_ROCKSDB_DATABASE_H_

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace longhand {

class RocksdbDatabase {
 public:
  // FAILED_PRECONDITION (STORE_OPEN); DATA_LOSS (STORE_CORRUPT).
  static absl::StatusOr<std::unique_ptr<RocksdbDatabase>> Open(
      const std::string& path);
  // Renames the directory of a database that is not open, so that the path is
  // free. FAILED_PRECONDITION (STORE_OPEN).
  static absl::Status MoveAside(const std::string& path);
  ~RocksdbDatabase();

  // Errors of all: UNAVAILABLE (STORE_UNAVAILABLE), DATA_LOSS (STORE_CORRUPT).

  // Nothing if the key is not there.
  absl::StatusOr<std::optional<std::string>> Get(const std::string& key) const;
  // All or nothing. After an error nothing is written until Recover.
  absl::Status Write(rocksdb::WriteBatch* batch);
  // Walks from `begin` up to `end`, which is left out. `visit` answers with the
  // key to go on at, or with nothing to stop. REQUIRES: that key is greater
  // than the one visited.
  using Visitor = absl::FunctionRef<absl::StatusOr<std::optional<std::string>>(
      std::string_view key, std::string_view value)>;
  absl::Status Walk(const std::string& begin, const std::string& end,
                    Visitor visit) const;

  // OK if writes work, which is tried; opens the database again if they do not
  // and the disk has room.
  absl::Status Recover();

  uint64_t bytes_on_disk() const;

 private:
  class Listener;

  explicit RocksdbDatabase(std::string path);
  rocksdb::Options MakeOptions() const;
  rocksdb::Status OpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TryWrite();

  const std::string path_;
  const std::shared_ptr<Listener> listener_;
  // Held for reading while db_ is used.
  mutable absl::Mutex mutex_;
  // Null while it can't be opened.
  std::unique_ptr<rocksdb::DB> db_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_ROCKSDB_DATABASE_H_
