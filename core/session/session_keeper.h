// SessionKeeper: where sessions are: brings them from the store into memory and
// back, holds their leases, writes their changes, makes room within the budget,
// and buries those that expired. Thread-safe; calls block on the store.
//
// No lock is held while the store is called. What depends on a session's
// generation (commit, renewal) goes one call at a time per session.
#ifndef LONGHAND_CORE_SESSION_SESSION_KEEPER_H_
#define LONGHAND_CORE_SESSION_SESSION_KEEPER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/session/chunk_cache.h"
#include "core/session/session_entry.h"
#include "core/session/session_manager.h"
#include "core/session/session_memory.h"
#include "core/session/session_table.h"
#include "core/store/session_store.h"

namespace longhand {

class SessionKeeper {
 public:
  using Pin = SessionTable::Pin;

  struct Counters {
    std::atomic<uint64_t> evictions{0}, restores{0}, fencing_rejected{0},
        checksum_failures{0}, store_errors{0}, expired{0};
  };

  // All of these outlive the keeper.
  SessionKeeper(SessionModel* model, SessionStore* store,
                SessionEnvironment* environment,
                const SessionManagerOptions& options);

  // The session, in memory and with a lease that is valid. Rows 2, 3, 5 and 6
  // of the error table; UNAVAILABLE (STORE_DEGRADED, OVERLOADED),
  // RESOURCE_EXHAUSTED (SESSION_TOO_LARGE), DATA_LOSS (STORE_CORRUPT).
  absl::StatusOr<Pin> Open(const SessionKey& key, const StopCondition& stop);
  // What is known of it, without bringing its chunks into memory.
  absl::StatusOr<SessionInfo> Describe(const SessionKey& key,
                                       const StopCondition& stop);
  // The session if it is in memory, as it is, without a lease's assurance.
  std::optional<SessionInfo> Peek(const SessionKey& key);
  // Puts a new session into the store, empty, and into memory as it is:
  // `document`, `digest`, `encoder`, `own_bytes`, `ttl`, `parent` and times are
  // filled in by the caller. Gives it its id.
  absl::StatusOr<Pin> Add(const std::string& tenant,
                          std::shared_ptr<Resident> resident);

  // OK while the session is this replica's and its lease is good, getting it
  // anew if it ran out: only then may anything be acknowledged.
  absl::Status EnsureLease(SessionEntry& entry, Resident& resident,
                           const StopCondition& stop);
  // Brings all changes up to now to the store. UNAVAILABLE (STORE_DEGRADED);
  // ABORTED (STALE_GENERATION); DATA_LOSS (STORE_LOST_WRITES): the session was
  // put out of memory, open it again.
  absl::Status Flush(SessionEntry& entry, Resident& resident,
                     const StopCondition& stop);
  // Removes it everywhere. Whether there was more than its gravestone.
  absl::StatusOr<bool> Delete(const SessionKey& key, const StopCondition& stop);

  // Takes memory, making room if needed; for a session that holds
  // `session_bytes` with it. Room is made by the same tenant's sessions and by
  // those of tenants that hold more than their share. UNAVAILABLE (OVERLOADED),
  // RESOURCE_EXHAUSTED (SESSION_TOO_LARGE).
  absl::Status Grow(SessionMemory::Part& part, uint64_t bytes,
                    uint64_t session_bytes);
  absl::StatusOr<std::shared_ptr<const MemoryReservation>> Reserve(
      const std::string& tenant, uint64_t bytes, uint64_t session_bytes);
  // The same chunk, charged to the budget, or another one of the same key that
  // is in memory already.
  absl::StatusOr<std::shared_ptr<const ChunkRecord>> Charge(
      const std::string& tenant, std::shared_ptr<const ChunkRecord> chunk,
      uint64_t session_bytes, bool trusted);

  // Row 5 where this server cannot go on with what was made under `options`.
  absl::StatusOr<std::shared_ptr<const DocumentEncoder>> OpenEncoder(
      const EncodeOptions& options,
      const std::vector<FingerprintField>& fingerprint) const;

  // Upkeep of all sessions, see SessionManager::Tick.
  void Tick();
  // Gives every session back to the store. DEADLINE_EXCEEDED if one could not
  // be.
  absl::Status ReleaseAll(absl::Time deadline);

  // What the client is told of a store's error; counts it.
  absl::Status StoreTrouble(const absl::Status& status);

  SessionDocument::Options DocumentOptions(const std::string& tenant) const;
  bool survives_crash() const { return survives_crash_; }
  bool store_healthy() const { return store_healthy_; }
  // Whether stored chunks are as good as computed ones: unless snapshots are
  // signed, anybody may have made the states of one that was imported.
  bool trusts_stored_chunks() const {
    return trusts_imports() || (!survives_crash_ && !has_untrusted_);
  }
  bool trusts_imports() const { return !options_.snapshot_key.empty(); }
  // An import that is not trusted has happened.
  void NoteUntrusted() { has_untrusted_ = true; }

  ChunkCache& cache() { return cache_; }
  const ChunkCache& cache() const { return cache_; }
  SessionMemory& memory() { return memory_; }
  const SessionMemory& memory() const { return memory_; }
  const Counters& counters() const { return counters_; }
  uint64_t CountResident(bool dirty_only);

 private:
  // The steps of Open.
  absl::Status CheckResident(Pin& pin, const StopCondition& stop, bool* again);
  absl::StatusOr<std::shared_ptr<Resident>> Load(const SessionKey& key);
  absl::StatusOr<Lease> TakeOver(const SessionKey& key,
                                 const StoredSession& seen);
  absl::StatusOr<ChunkRecords> ReadChunks(const SessionKey& key,
                                          const SessionHead& head,
                                          const DocumentEncoder& encoder);
  absl::StatusOr<std::shared_ptr<Resident>> Restore(const SessionKey& key,
                                                    const Lease& lease,
                                                    absl::Time lease_start);
  // Row 3 for sessions that rest in the store; buries it if that is due.
  absl::Status CheckAlive(const SessionKey& key, const SessionHead& head);

  // The steps of Flush and EnsureLease; the caller has the store's turn
  // (store_busy).
  absl::Status Reacquire(SessionEntry& entry, Resident& resident);
  absl::Status AdoptLease(SessionEntry& entry, Resident& resident,
                          const Lease& lease, absl::Time lease_start);
  absl::Status WriteOnce(SessionEntry& entry, Resident& resident);
  absl::Status FinishWrite(SessionEntry& entry, Resident& resident,
                           std::shared_ptr<const SessionWrite> write,
                           absl::Status written);
  absl::Status TakeTurn(SessionEntry& entry, Resident& resident,
                        const StopCondition& stop);
  void EndTurn(SessionEntry& entry, Resident& resident);
  void Renew(SessionEntry& entry, Resident& resident);
  absl::Status DeleteResident(SessionEntry& entry, Resident& resident,
                              const StopCondition& stop);
  // Puts it out of memory without writing anything.
  void Drop(SessionEntry& entry, Resident& resident, absl::Status why);
  bool LeaseRanOut(const Resident& resident) const;

  // Upkeep. REQUIRES: a pin.
  void Visit(Pin pin);
  // False if it is in use or cannot be written.
  bool Release(SessionEntry& entry);
  // Leaves a gravestone of it in the store, or removes an old one. REQUIRES:
  // the caller has made its entry kMoving.
  absl::Status Bury(const SessionKey& key, SessionState state);
  absl::Status PutGravestone(const SessionKey& key, SessionState state);
  // Runs `work` while nobody brings the session in; false if it is in memory.
  bool WhileAway(const SessionKey& key, absl::FunctionRef<void()> work);
  // False if there is nothing left that may be let go of for this tenant.
  bool MakeRoom(const std::string& tenant, uint64_t bytes);
  // One that rests in a store of this process's memory, of those that `may_go`,
  // goes for good. False if there is none.
  bool EvictRested(absl::FunctionRef<bool(const SessionKey&)> may_go);

  LeaseRequest MakeLeaseRequest() const;

  SessionModel* const model_;
  SessionStore* const store_;
  SessionEnvironment* const environment_;
  const SessionManagerOptions options_;
  const bool survives_crash_;
  // Whether another process can have the store: else leases need no renewal.
  const bool is_shared_;
  SessionMemory memory_;
  ChunkCache cache_;
  SessionTable table_;
  Counters counters_;
  std::atomic<bool> store_healthy_{true};
  std::atomic<bool> has_untrusted_{false};
};

// Whether it is DATA_LOSS (STORE_LOST_WRITES).
bool IsLostWrites(const absl::Status& status);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_KEEPER_H_
