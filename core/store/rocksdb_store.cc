// The store in a RocksDB of this process, which no other process can open at
// the same time. So leases need no record: those of an earlier process are
// void. Keys:
//   's' | SHA-256 of the tenant | id | 0           generation
//                                    | 1           head
//                                    | 2 | number  chunk
//   'x' | expire_time | SHA-256 of the tenant | id   -> tenant
// Numbers are big-endian, so that keys lie in their order.

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/store/lease_rules.h"
#include "core/store/record_codec.h"
#include "core/store/record_frame.h"
#include "core/store/rocksdb_database.h"
#include "core/store/session_store.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr char kGenerationKind = 0, kHeadKind = 1, kChunkKind = 2;
constexpr char kAfterAllKinds = 3;
constexpr size_t kHashBytes = 32;

std::string BigEndian(uint64_t number) {
  std::string bytes(sizeof(number), '\0');
  for (size_t i = 0; i < sizeof(number); ++i) {
    bytes[i] = char(number >> (8 * (sizeof(number) - 1 - i)));
  }
  return bytes;
}

std::string TenantPrefix(std::string_view tenant) {
  Sha256 hash;
  hash.Update(tenant);
  const auto digest = hash.Digest();
  return std::string("s").append(digest.begin(), digest.end());
}

std::string SessionPrefix(const SessionKey& key) {
  return TenantPrefix(key.tenant).append(key.id.begin(), key.id.end());
}

std::string KindKey(const std::string& session, char kind) {
  return session + kind;
}
std::string ChunkNumberKey(const std::string& session, uint64_t number) {
  return KindKey(session, kChunkKind) + BigEndian(number);
}

// Whole milliseconds, rounded up; the order of times.
uint64_t ExpireNumber(absl::Time time) {
  return time <= absl::UnixEpoch()
             ? 0
             : uint64_t(absl::ToUnixMillis(time + absl::Nanoseconds(999999)));
}
std::string ExpirePrefix(uint64_t expire) {
  return std::string("x").append(BigEndian(expire));
}
std::string ExpireKey(const std::string& session, uint64_t expire) {
  return ExpirePrefix(expire) + session.substr(1);
}

// Of a key that begins with a session's prefix.
SessionId IdOf(std::string_view key) {
  SessionId id;
  LH_CHECK(key.size() >= 1 + kHashBytes + id.size());
  std::copy_n(key.begin() + 1 + kHashBytes, id.size(), id.begin());
  return id;
}

// Beside the head, so that a session whose head is damaged can be removed.
struct GenerationRecord {
  uint64_t generation = 0;
  uint64_t expire = 0;
};

std::string EncodeGeneration(const GenerationRecord& generation) {
  ByteWriter writer = BeginRecord(RecordKind::kGeneration);
  writer.Number(generation.generation);
  writer.Number(generation.expire);
  return EndRecord(std::move(writer));
}

absl::StatusOr<GenerationRecord> DecodeGeneration(std::string_view bytes) {
  LH_ASSIGN_OR_RETURN(OpenedRecord record,
                      OpenRecord(RecordKind::kGeneration, bytes));
  GenerationRecord generation;
  generation.generation = record.body.Number<uint64_t>();
  generation.expire = record.body.Number<uint64_t>();
  LH_RETURN_IF_ERROR(record.Close());
  return generation;
}

struct Stored {
  GenerationRecord generation;
  SessionHead head;
};

class RocksdbStore : public SessionStore {
 public:
  explicit RocksdbStore(std::unique_ptr<RocksdbDatabase> database)
      : database_(std::move(database)) {}

  // Once, before anything else.
  absl::Status CountSessions();

  std::string_view name() const override { return "rocksdb"; }
  Durability durability() const override { return Durability::kLocal; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override;
  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override;
  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override;
  absl::Status Release(const SessionKey& key, uint64_t generation) override;
  absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>> ReadChunks(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& decoder) override;
  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override;
  absl::Status Delete(const SessionKey& key, uint64_t generation) override;
  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override;
  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override;
  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override;
  absl::Status CheckHealth() override { return database_->Recover(); }
  SessionStoreStats stats() const override {
    return {.sessions = num_sessions_, .bytes = database_->bytes_on_disk()};
  }

 private:
  // A lease of this process, and the generation that it belongs to.
  struct HeldLease {
    LeaseHolder holder;
    uint64_t generation = 0;
  };
  // Sessions that share one wait for each other; few do.
  struct Stripe {
    absl::Mutex mutex;
    std::map<SessionKey, HeldLease> leases ABSL_GUARDED_BY(mutex);
  };

  Stripe& StripeOf(const SessionKey& key) {
    return stripes_[size_t(key.id[0]) % stripes_.size()];
  }
  // NOT_FOUND (SESSION_NOT_FOUND).
  absl::StatusOr<GenerationRecord> ReadGeneration(
      const std::string& session) const;
  absl::StatusOr<Stored> Read(const std::string& session) const;

  const std::unique_ptr<RocksdbDatabase> database_;
  std::array<Stripe, 64> stripes_;
  std::atomic<uint64_t> num_sessions_{0};
};

absl::Status RocksdbStore::CountSessions() {
  return database_->Walk(
      "s", "t",
      [this](std::string_view key, std::string_view /*value*/)
          -> absl::StatusOr<std::optional<std::string>> {
        ++num_sessions_;
        const size_t session_bytes = 1 + kHashBytes + sizeof(SessionId);
        LH_CHECK(key.size() > session_bytes);
        return KindKey(std::string(key.substr(0, session_bytes)),
                       kAfterAllKinds);
      });
}

absl::StatusOr<GenerationRecord> RocksdbStore::ReadGeneration(
    const std::string& session) const {
  LH_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                      database_->Get(KindKey(session, kGenerationKind)));
  if (!bytes) return SessionNotFoundError();
  return DecodeGeneration(*bytes);
}

absl::StatusOr<Stored> RocksdbStore::Read(const std::string& session) const {
  Stored stored;
  LH_ASSIGN_OR_RETURN(stored.generation, ReadGeneration(session));
  LH_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                      database_->Get(KindKey(session, kHeadKind)));
  if (!bytes) return StoreCorruptError("a session has no head");
  LH_ASSIGN_OR_RETURN(stored.head, DecodeHead(*bytes));
  return stored;
}

absl::StatusOr<Lease> RocksdbStore::Create(const SessionKey& key,
                                           const SessionHead& head,
                                           const LeaseRequest& request) {
  LH_CHECK(head.num_chunks == 0);
  const std::string session = SessionPrefix(key);
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  const absl::Status there = ReadGeneration(session).status();
  if (there.ok()) return SessionExistsError();
  if (!absl::IsNotFound(there)) return there;

  const GenerationRecord generation{1, ExpireNumber(head.expire_time)};
  rocksdb::WriteBatch batch;
  batch.Put(KindKey(session, kGenerationKind), EncodeGeneration(generation));
  batch.Put(KindKey(session, kHeadKind), EncodeHead(head));
  batch.Put(ExpireKey(session, generation.expire), key.tenant);
  LH_RETURN_IF_ERROR(database_->Write(&batch));
  ++num_sessions_;
  stripe.leases[key] = {{request.owner, request.now + request.duration},
                        generation.generation};
  return Lease{generation.generation, head};
}

absl::StatusOr<Lease> RocksdbStore::Acquire(const SessionKey& key,
                                            const LeaseRequest& request) {
  const std::string session = SessionPrefix(key);
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  LH_ASSIGN_OR_RETURN(Stored stored, Read(session));
  const auto held = stripe.leases.find(key);
  LeaseHolder holder =
      held == stripe.leases.end() ? LeaseHolder() : held->second.holder;
  LH_ASSIGN_OR_RETURN(const bool taken, TakeLease(request, &holder));
  if (taken) {
    ++stored.generation.generation;
    rocksdb::WriteBatch batch;
    batch.Put(KindKey(session, kGenerationKind),
              EncodeGeneration(stored.generation));
    LH_RETURN_IF_ERROR(database_->Write(&batch));
  }
  stripe.leases[key] = {holder, stored.generation.generation};
  return Lease{stored.generation.generation, std::move(stored.head)};
}

absl::Status RocksdbStore::Renew(const SessionKey& key, uint64_t generation,
                                 const LeaseRequest& request) {
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  const auto held = stripe.leases.find(key);
  if (held == stripe.leases.end()) return StaleGenerationError();
  return RenewLease(held->second.generation, generation, request,
                    &held->second.holder);
}

absl::Status RocksdbStore::Release(const SessionKey& key, uint64_t generation) {
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  const auto held = stripe.leases.find(key);
  if (held != stripe.leases.end() && held->second.generation == generation) {
    stripe.leases.erase(held);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>>
RocksdbStore::ReadChunks(const SessionKey& key, uint64_t begin, uint64_t end,
                         const StateDecoder& decoder) {
  const std::string session = SessionPrefix(key);
  LH_RETURN_IF_ERROR(ReadGeneration(session).status());
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
  for (uint64_t number = begin; number < end; ++number) {
    LH_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                        database_->Get(ChunkNumberKey(session, number)));
    if (!bytes) return StoreCorruptError("a session's chunk is missing");
    LH_ASSIGN_OR_RETURN(std::shared_ptr<const ChunkRecord> chunk,
                        DecodeChunk(*bytes, decoder));
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

absl::Status RocksdbStore::Commit(const SessionKey& key,
                                  const SessionCommit& commit) {
  const std::string session = SessionPrefix(key);
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  const absl::StatusOr<Stored> stored = Read(session);
  if (absl::IsNotFound(stored.status())) return StaleGenerationError();
  LH_RETURN_IF_ERROR(stored.status());
  LH_ASSIGN_OR_RETURN(
      const CommitDecision decision,
      DecideCommit(stored->generation.generation, stored->head, commit));
  const auto held = stripe.leases.find(key);
  if (decision == CommitDecision::kApply) {
    const GenerationRecord generation{commit.new_generation,
                                      ExpireNumber(commit.head.expire_time)};
    rocksdb::WriteBatch batch;
    batch.Delete(ExpireKey(session, stored->generation.expire));
    batch.Put(ExpireKey(session, generation.expire), key.tenant);
    batch.Put(KindKey(session, kGenerationKind), EncodeGeneration(generation));
    batch.Put(KindKey(session, kHeadKind), EncodeHead(commit.head));
    for (size_t i = 0; i < commit.chunks.size(); ++i) {
      batch.Put(ChunkNumberKey(session, commit.first_chunk + i),
                EncodeChunk(*commit.chunks[i]));
    }
    if (stored->head.num_chunks > commit.head.num_chunks) {
      batch.DeleteRange(ChunkNumberKey(session, commit.head.num_chunks),
                        KindKey(session, kAfterAllKinds));
    }
    LH_RETURN_IF_ERROR(database_->Write(&batch));
  }
  if (held != stripe.leases.end() &&
      held->second.generation == commit.generation) {
    held->second.generation = commit.new_generation;
  }
  return absl::OkStatus();
}

absl::Status RocksdbStore::Delete(const SessionKey& key, uint64_t generation) {
  const std::string session = SessionPrefix(key);
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  const absl::StatusOr<GenerationRecord> stored = ReadGeneration(session);
  if (absl::IsNotFound(stored.status())) return absl::OkStatus();
  if (!stored.ok() && !IsStoreCorrupt(stored.status())) return stored.status();
  if (stored.ok() && stored->generation != generation &&
      !IsStoreCorrupt(Read(session).status())) {
    return StaleGenerationError();
  }
  rocksdb::WriteBatch batch;
  batch.DeleteRange(KindKey(session, kGenerationKind),
                    KindKey(session, kAfterAllKinds));
  if (stored.ok()) batch.Delete(ExpireKey(session, stored->expire));
  LH_RETURN_IF_ERROR(database_->Write(&batch));
  --num_sessions_;
  stripe.leases.erase(key);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredSession>> RocksdbStore::List(
    const std::string& tenant, const SessionId* after, size_t limit) {
  const std::string begin =
      after == nullptr
          ? TenantPrefix(tenant)
          : KindKey(SessionPrefix({tenant, *after}), kAfterAllKinds);
  SessionId last_id;
  last_id.fill(0xff);
  const std::string end =
      KindKey(SessionPrefix({tenant, last_id}), kAfterAllKinds);
  std::vector<StoredSession> listed;
  if (limit == 0) return listed;
  LH_RETURN_IF_ERROR(database_->Walk(
      begin, end,
      [&](std::string_view key, std::string_view value)
          -> absl::StatusOr<std::optional<std::string>> {
        const SessionId id = IdOf(key);
        const std::string session = SessionPrefix({tenant, id});
        const char kind = key[session.size()];
        if (kind == kGenerationKind) {
          LH_ASSIGN_OR_RETURN(const GenerationRecord generation,
                              DecodeGeneration(value));
          listed.push_back({id, generation.generation, {}});
          return KindKey(session, kHeadKind);
        }
        if (kind != kHeadKind || listed.empty() || listed.back().id != id) {
          return StoreCorruptError("a session has no head");
        }
        LH_ASSIGN_OR_RETURN(listed.back().head, DecodeHead(value));
        if (listed.size() == limit) return std::nullopt;
        return KindKey(session, kAfterAllKinds);
      }));
  return listed;
}

absl::StatusOr<StoredSession> RocksdbStore::ReadHead(const SessionKey& key) {
  Stripe& stripe = StripeOf(key);
  absl::MutexLock lock(&stripe.mutex);
  LH_ASSIGN_OR_RETURN(Stored stored, Read(SessionPrefix(key)));
  return StoredSession{key.id, stored.generation.generation,
                       std::move(stored.head)};
}

absl::StatusOr<std::vector<SessionKey>> RocksdbStore::ListExpired(
    absl::Time time, size_t limit) {
  std::vector<SessionKey> expired;
  if (limit == 0) return expired;
  LH_RETURN_IF_ERROR(
      database_->Walk("x", ExpirePrefix(ExpireNumber(time)),
                      [&](std::string_view key, std::string_view value)
                          -> absl::StatusOr<std::optional<std::string>> {
                        expired.push_back({std::string(value),
                                           IdOf(key.substr(sizeof(uint64_t)))});
                        if (expired.size() == limit) return std::nullopt;
                        return std::string(key) + '\0';
                      }));
  return expired;
}

// DATA_LOSS (STORE_CORRUPT), FAILED_PRECONDITION (STORE_OPEN).
absl::StatusOr<std::unique_ptr<SessionStore>> OpenStore(
    const std::string& path) {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<RocksdbDatabase> database,
                      RocksdbDatabase::Open(path));
  auto store = std::make_unique<RocksdbStore>(std::move(database));
  LH_RETURN_IF_ERROR(store->CountSessions());
  return store;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionStore>> MakeRocksdbStore(
    const SessionStoreOptions& options) {
  auto store = OpenStore(options.path);
  if (!IsStoreCorrupt(store.status())) return store;
  if (!options.quarantine_corrupt) {
    return StoreOpenError(absl::StrCat(
        "the session store in ", options.path,
        " is damaged: move the directory away or restore it from a backup, or "
        "let damaged stores be moved aside and start with an empty one"));
  }
  LH_RETURN_IF_ERROR(RocksdbDatabase::MoveAside(options.path));
  return OpenStore(options.path);
}

}  // namespace longhand
