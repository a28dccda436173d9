// The store that keeps sessions in the memory of this process: no bytes are
// made, the chunks' pointers are kept. What is leased is in use and stays; the
// rest makes room for what was used later, and leaves a gravestone.

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/store/lease_rules.h"
#include "core/store/session_store.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

using ChunkRecords = std::vector<std::shared_ptr<const ChunkRecord>>;

// Bytes of things that several sessions hold: each counts once.
class SharedBytes {
 public:
  void Add(const ChunkRecords& chunks) {
    for (const auto& chunk : chunks) {
      AddOne(chunk.get(), chunk->own_bytes());
      AddOne(chunk->encoded.get(), chunk->encoded->bytes());
    }
  }
  void Remove(const ChunkRecords& chunks) {
    for (const auto& chunk : chunks) {
      RemoveOne(chunk.get(), chunk->own_bytes());
      RemoveOne(chunk->encoded.get(), chunk->encoded->bytes());
    }
  }

  uint64_t bytes() const { return bytes_; }

 private:
  void AddOne(const void* thing, uint64_t bytes) {
    if (++holders_[thing] == 1) bytes_ += bytes;
  }
  void RemoveOne(const void* thing, uint64_t bytes) {
    const auto found = holders_.find(thing);
    LH_CHECK(found != holders_.end());
    if (--found->second > 0) return;
    holders_.erase(found);
    bytes_ -= bytes;
  }

  std::unordered_map<const void*, uint64_t> holders_;
  uint64_t bytes_ = 0;
};

class MemoryStore : public SessionStore {
 public:
  explicit MemoryStore(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  std::string_view name() const override { return "memory"; }
  Durability durability() const override { return Durability::kMemory; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override {
    LH_CHECK(head.num_chunks == 0);
    absl::MutexLock lock(&mutex_);
    const auto [place, is_new] = sessions_.try_emplace(key);
    if (!is_new) return SessionExistsError();
    Session& session = place->second;
    session.generation = 1;
    session.holder = {request.owner, request.now + request.duration};
    session.head = head;
    expirations_.insert({head.expire_time, key});
    return Lease{session.generation, session.head};
  }

  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return SessionNotFoundError();
    Session& session = found->second;
    LH_ASSIGN_OR_RETURN(const bool taken, TakeLease(request, &session.holder));
    SetInUse(session);
    if (taken) ++session.generation;
    return Lease{session.generation, session.head};
  }

  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return StaleGenerationError();
    return RenewLease(found->second.generation, generation, request,
                      &found->second.holder);
  }

  absl::Status Release(const SessionKey& key, uint64_t generation) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end() || found->second.generation != generation ||
        found->second.holder.owner.empty()) {
      return absl::OkStatus();
    }
    found->second.holder = {};
    SetIdle(key, found->second);
    MakeRoom();
    return absl::OkStatus();
  }

  absl::StatusOr<ChunkRecords> ReadChunks(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& /*decoder*/) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return SessionNotFoundError();
    const ChunkRecords& chunks = found->second.chunks;
    if (begin > end || end > chunks.size()) {
      return StoreCorruptError("a session has fewer chunks than asked for");
    }
    return ChunkRecords(chunks.begin() + ptrdiff_t(begin),
                        chunks.begin() + ptrdiff_t(end));
  }

  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return StaleGenerationError();
    Session& session = found->second;
    LH_ASSIGN_OR_RETURN(const CommitDecision decision,
                        DecideCommit(session.generation, session.head, commit));
    if (decision == CommitDecision::kApplied) return absl::OkStatus();

    const bool idle = session.idle_place.has_value();
    if (idle) SetInUse(session);
    ChunkRecords chunks(session.chunks.begin(),
                        session.chunks.begin() + ptrdiff_t(commit.first_chunk));
    chunks.insert(chunks.end(), commit.chunks.begin(), commit.chunks.end());
    all_bytes_.Add(chunks);
    all_bytes_.Remove(session.chunks);
    session.chunks = std::move(chunks);
    session.generation = commit.new_generation;
    expirations_.erase({session.head.expire_time, key});
    session.head = commit.head;
    expirations_.insert({session.head.expire_time, key});
    if (idle) {
      SetIdle(key, session);
      MakeRoom();
    }
    return absl::OkStatus();
  }

  absl::Status Delete(const SessionKey& key, uint64_t generation) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return absl::OkStatus();
    if (found->second.generation != generation) return StaleGenerationError();
    SetInUse(found->second);
    all_bytes_.Remove(found->second.chunks);
    expirations_.erase({found->second.head.expire_time, key});
    sessions_.erase(found);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override {
    absl::MutexLock lock(&mutex_);
    auto next = after == nullptr
                    ? sessions_.lower_bound(SessionKey{tenant, SessionId{}})
                    : sessions_.upper_bound(SessionKey{tenant, *after});
    std::vector<StoredSession> listed;
    for (; next != sessions_.end() && next->first.tenant == tenant &&
           listed.size() < limit;
         ++next) {
      listed.push_back(
          {next->first.id, next->second.generation, next->second.head});
    }
    return listed;
  }

  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return SessionNotFoundError();
    return StoredSession{key.id, found->second.generation, found->second.head};
  }

  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override {
    absl::MutexLock lock(&mutex_);
    std::vector<SessionKey> expired;
    for (const auto& [expire_time, key] : expirations_) {
      if (expire_time >= time || expired.size() == limit) break;
      expired.push_back(key);
    }
    return expired;
  }

  absl::Status CheckHealth() override { return absl::OkStatus(); }

  SessionStoreStats stats() const override {
    absl::MutexLock lock(&mutex_);
    return {.sessions = sessions_.size(),
            .bytes = all_bytes_.bytes(),
            .evictions = evictions_};
  }

 private:
  struct Session {
    uint64_t generation = 0;
    LeaseHolder holder;
    SessionHead head;
    ChunkRecords chunks;
    // While nobody has the lease.
    std::optional<std::list<SessionKey>::iterator> idle_place;
  };

  void SetIdle(const SessionKey& key, Session& session)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    idle_bytes_.Add(session.chunks);
    idle_tail_bytes_ += session.head.tail.size();
    session.idle_place = idle_.insert(idle_.end(), key);
  }

  void SetInUse(Session& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!session.idle_place) return;
    idle_bytes_.Remove(session.chunks);
    idle_tail_bytes_ -= session.head.tail.size();
    idle_.erase(*session.idle_place);
    session.idle_place.reset();
  }

  // Evicts what was used least recently until the rest fits.
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (!idle_.empty() &&
           (max_bytes_ == 0 ||
            idle_bytes_.bytes() + idle_tail_bytes_ > max_bytes_)) {
      Session& session = sessions_.at(idle_.front());
      SetInUse(session);
      all_bytes_.Remove(session.chunks);
      session.chunks.clear();
      SessionHead& head = session.head;
      head.num_chunks = 0;
      head.num_tokens = 0;
      head.tail = {};
      head.appends = {};
      // A gravestone that was given back is one already.
      if (head.state == SessionState::kOpen ||
          head.state == SessionState::kClosed) {
        head.state = SessionState::kEvicted;
        ++evictions_;
      }
    }
  }

  const uint64_t max_bytes_;
  mutable absl::Mutex mutex_;
  std::map<SessionKey, Session> sessions_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, SessionKey>> expirations_
      ABSL_GUARDED_BY(mutex_);
  // Least recently used first.
  std::list<SessionKey> idle_ ABSL_GUARDED_BY(mutex_);
  SharedBytes idle_bytes_ ABSL_GUARDED_BY(mutex_);
  uint64_t idle_tail_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  SharedBytes all_bytes_ ABSL_GUARDED_BY(mutex_);
  uint64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SessionStore>> MakeMemoryStore(
    const SessionStoreOptions& options) {
  return std::make_unique<MemoryStore>(options.max_bytes);
}

}  // namespace longhand
