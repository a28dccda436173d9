#include "core/store/rocksdb_database.h"

#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/version.h>

#include <atomic>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
// Opening writes a manifest, a log and perhaps a table: not worth a try with
// less room.
constexpr uint64_t kRoomToOpen = 32 * kMiB;
// Chunks go to files of their own, heads do not.
constexpr uint64_t kMinBlobBytes = 16 << 10;
// Its value does not matter. No key of a store begins like this.
constexpr char kProbeKey[] = "\0probe";

constexpr char kDiskHelp[] =
    "its disk may be full or broken; writing goes on by itself once the disk "
    "works";

absl::Status ReadError(const rocksdb::Status& status) {
  if (status.IsCorruption()) {
    return StoreCorruptError("the local database is damaged");
  }
  return StoreUnavailableError(kDiskHelp);
}

rocksdb::Slice ToSlice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view ToView(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

std::string QuarantinePath(const std::string& path) {
  return absl::StrCat(
      path, ".corrupt-",
      absl::FormatTime("%Y%m%dT%H%M%S", absl::Now(), absl::UTCTimeZone()));
}

}  // namespace

// Notices errors of flushes and compactions, after which RocksDB refuses
// writes.
class RocksdbDatabase::Listener : public rocksdb::EventListener {
 public:
  const char* Name() const override { return "longhand"; }
  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                         rocksdb::Status* /*status*/) override {
    degraded = true;
  }

  std::atomic<bool> degraded{false};
};

RocksdbDatabase::RocksdbDatabase(std::string path)
    : path_(std::move(path)), listener_(std::make_shared<Listener>()) {}

RocksdbDatabase::~RocksdbDatabase() {
  absl::MutexLock lock(&mutex_);
  if (db_ != nullptr) static_cast<void>(db_->Close());
}

rocksdb::Options RocksdbDatabase::MakeOptions() const {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.memtable_protection_bytes_per_key = 8;
#if ROCKSDB_MAJOR >= 9
  // Raises false alarms in older ones.
  options.track_and_verify_wals_in_manifest = true;
#endif
  // Recovering is Recover's.
  options.max_bgerror_resume_count = 0;
  options.listeners = {listener_};

  options.compression = rocksdb::kNoCompression;  // states are noise to it
  options.enable_blob_files = true;
  options.min_blob_size = kMinBlobBytes;
  options.enable_blob_garbage_collection = true;
  options.write_buffer_size = 32 * kMiB;
  options.max_write_buffer_number = 3;
  options.max_total_wal_size = 128 * kMiB;
  options.max_open_files = 256;

  options.info_log_level = rocksdb::WARN_LEVEL;
  options.max_log_file_size = kMiB;
  options.keep_log_file_num = 3;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::Status RocksdbDatabase::OpenLocked() {
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(MakeOptions(), path_, &db);
  db_.reset(db);
  return status;
}

absl::StatusOr<std::unique_ptr<RocksdbDatabase>> RocksdbDatabase::Open(
    const std::string& path) {
  if (path.empty()) {
    return StoreOpenError("the session store needs a directory: give its path");
  }
  // What is in it comes from documents: for nobody else to read.
  std::error_code error;
  if (std::filesystem::create_directories(path, error)) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all,
                                 error);
  }
  auto database = std::unique_ptr<RocksdbDatabase>(new RocksdbDatabase(path));
  absl::MutexLock lock(&database->mutex_);
  const rocksdb::Status status = database->OpenLocked();
  if (status.ok()) return database;
  if (status.IsCorruption()) return ReadError(status);
  return StoreOpenError(absl::StrCat(
      "can't open the session store in ", path, " (", status.ToString(),
      "): the directory must be writable, on a disk with room, and used by no "
      "other process"));
}

absl::Status RocksdbDatabase::MoveAside(const std::string& path) {
  std::error_code error;
  std::filesystem::rename(path, QuarantinePath(path), error);
  if (!error) return absl::OkStatus();
  return StoreOpenError(absl::StrCat(
      "can't move the damaged session store in ", path, " aside (",
      error.message(), "): move it by hand, or make its parent writable"));
}

absl::StatusOr<std::optional<std::string>> RocksdbDatabase::Get(
    const std::string& key) const {
  absl::ReaderMutexLock lock(&mutex_);
  if (db_ == nullptr) return StoreUnavailableError(kDiskHelp);
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return ReadError(status);
  return value;
}

absl::Status RocksdbDatabase::Write(rocksdb::WriteBatch* batch) {
  absl::ReaderMutexLock lock(&mutex_);
  if (db_ == nullptr || listener_->degraded) {
    return StoreUnavailableError(kDiskHelp);
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  options.protection_bytes_per_key = 8;
  if (!db_->Write(options, batch).ok()) {
    // A sync that failed once says nothing when it is tried again.
    listener_->degraded = true;
    return StoreUnavailableError(kDiskHelp);
  }
  return absl::OkStatus();
}

absl::Status RocksdbDatabase::Walk(const std::string& begin,
                                   const std::string& end,
                                   Visitor visit) const {
  absl::ReaderMutexLock lock(&mutex_);
  if (db_ == nullptr) return StoreUnavailableError(kDiskHelp);
  const rocksdb::Slice bound = ToSlice(end);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(options));
  iterator->Seek(begin);
  while (iterator->Valid()) {
    LH_ASSIGN_OR_RETURN(
        const std::optional<std::string> next,
        visit(ToView(iterator->key()), ToView(iterator->value())));
    if (!next) return absl::OkStatus();
    iterator->Seek(*next);
  }
  return iterator->status().ok() ? absl::OkStatus()
                                 : ReadError(iterator->status());
}

absl::Status RocksdbDatabase::TryWrite() {
  rocksdb::WriteBatch batch;
  batch.Put(rocksdb::Slice(kProbeKey, sizeof(kProbeKey) - 1), "");
  return Write(&batch);
}

absl::Status RocksdbDatabase::Recover() {
  if (TryWrite().ok()) return absl::OkStatus();
  {
    absl::MutexLock lock(&mutex_);
    // Another thread may have opened it meanwhile: then nothing is wrong.
    if (db_ == nullptr || listener_->degraded) {
      std::error_code error;
      const auto space = std::filesystem::space(path_, error);
      // Reads go on with the open one as long as a new one can't come.
      if (!error && space.available < kRoomToOpen) {
        return StoreUnavailableError(absl::StrCat(
            "its disk is full: free at least ", kRoomToOpen / kMiB, " MiB"));
      }
      if (db_ != nullptr) static_cast<void>(db_->Close());
      db_.reset();
      listener_->degraded = false;
      if (!OpenLocked().ok()) return StoreUnavailableError(kDiskHelp);
    }
  }
  return TryWrite();
}

uint64_t RocksdbDatabase::bytes_on_disk() const {
  absl::ReaderMutexLock lock(&mutex_);
  uint64_t total = 0;
  for (const char* property :
       {"rocksdb.total-sst-files-size", "rocksdb.total-blob-file-size",
        "rocksdb.cur-size-all-mem-tables"}) {
    uint64_t bytes = 0;
    if (db_ != nullptr && db_->GetIntProperty(property, &bytes)) total += bytes;
  }
  return total;
}

}  // namespace longhand
