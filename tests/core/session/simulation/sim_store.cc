#include "tests/core/session/simulation/sim_store.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/store/store_errors.h"

namespace longhand::testing {
namespace {

constexpr size_t kRemembered = 4;

// As if written out and read again: nothing is shared with the manager.
std::shared_ptr<const ChunkRecord> Written(const ChunkRecord& chunk) {
  auto encoded = std::make_shared<EncodedChunk>(*chunk.encoded);
  encoded->charge = nullptr;
  auto written = std::make_shared<ChunkRecord>(chunk);
  written->encoded = std::move(encoded);
  return written;
}

}  // namespace

class SimStore::Connection final : public SessionStore {
 public:
  Connection(SimStore* store, const bool* crashed)
      : store_(store), crashed_(crashed) {}

  std::string_view name() const override { return "sim"; }
  Durability durability() const override { return Durability::kShared; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override {
    LH_RETURN_IF_ERROR(Before());
    const auto [place, is_new] = store_->sessions_.try_emplace(key);
    if (!is_new) return SessionExistsError();
    place->second = {1, {request.owner, End(request)}, head, {}};
    LH_RETURN_IF_ERROR(After());
    return Lease{1, head};
  }

  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session == nullptr) return SessionNotFoundError();
    LH_ASSIGN_OR_RETURN(const bool taken,
                        TakeLease(ByOwnClock(request), &session->holder));
    if (taken) {
      // As with a clock in it: never one that was given before.
      uint64_t& given = store_->generations_[key];
      given = std::max(given, session->generation) + 1;
      session->generation = given;
    }
    LH_RETURN_IF_ERROR(After());
    // The session as it is now, should it have changed on the way back.
    return Lease{session->generation, session->head};
  }

  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session == nullptr) return StaleGenerationError();
    LH_RETURN_IF_ERROR(RenewLease(session->generation, generation,
                                  ByOwnClock(request), &session->holder));
    return After();
  }

  absl::Status Release(const SessionKey& key, uint64_t generation) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session != nullptr && session->generation == generation) {
      session->holder = {};
    }
    return After();
  }

  absl::StatusOr<ChunkRecords> ReadChunks(const SessionKey& key, uint64_t begin,
                                          uint64_t end,
                                          const StateDecoder&) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session == nullptr) return SessionNotFoundError();
    if (begin > end || end > session->chunks.size()) {
      return StoreCorruptError("a session has fewer chunks than asked for");
    }
    return ChunkRecords(session->chunks.begin() + ptrdiff_t(begin),
                        session->chunks.begin() + ptrdiff_t(end));
  }

  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override {
    LH_RETURN_IF_ERROR(Before());
    const uint64_t late = store_->faults.late;
    if (late > 0 && store_->baton_->OneIn(late)) {
      store_->late_.push_back({key, commit});
      return Failed();
    }
    LH_RETURN_IF_ERROR(store_->Apply(key, commit));
    return After();
  }

  absl::Status Delete(const SessionKey& key, uint64_t generation) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session != nullptr) {
      if (session->generation != generation) return StaleGenerationError();
      store_->sessions_.erase(key);
      store_->earlier_.erase(key);
    }
    return After();
  }

  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override {
    LH_RETURN_IF_ERROR(Before());
    std::vector<StoredSession> listed;
    for (const auto& [key, session] : store_->sessions_) {
      if (key.tenant != tenant || (after != nullptr && key.id <= *after)) {
        continue;
      }
      if (listed.size() == limit) break;
      listed.push_back({key.id, session.generation, session.head});
    }
    return listed;
  }

  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override {
    LH_RETURN_IF_ERROR(Before());
    Session* const session = Find(key);
    if (session == nullptr) return SessionNotFoundError();
    return StoredSession{key.id, session->generation, session->head};
  }

  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override {
    LH_RETURN_IF_ERROR(Before());
    std::vector<SessionKey> expired;
    for (const auto& [key, session] : store_->sessions_) {
      if (session.head.expire_time < time && expired.size() < limit) {
        expired.push_back(key);
      }
    }
    return expired;
  }

  absl::Status CheckHealth() override { return Before(); }
  SessionStoreStats stats() const override { return {}; }

 private:
  static absl::Status Failed() {
    return StoreUnavailableError("so the simulation decided");
  }

  // On the way there.
  absl::Status Before() {
    const SimFaults& faults = store_->faults;
    store_->baton_->Yield();
    if (faults.slow > 0 && store_->baton_->OneIn(faults.slow)) {
      for (int i = 0; i < 20; ++i) store_->baton_->Yield();
    }
    const bool fails =
        faults.fail_before > 0 && store_->baton_->OneIn(faults.fail_before);
    return *crashed_ || faults.down || fails ? Failed() : absl::OkStatus();
  }

  // On the way back.
  absl::Status After() {
    const uint64_t fail_after = store_->faults.fail_after;
    const bool fails = fail_after > 0 && store_->baton_->OneIn(fail_after);
    store_->baton_->Yield();
    return *crashed_ || fails ? Failed() : absl::OkStatus();
  }

  absl::Time End(const LeaseRequest& request) const {
    return *store_->now_ + request.duration;
  }
  LeaseRequest ByOwnClock(LeaseRequest request) const {
    request.now = *store_->now_;
    return request;
  }
  Session* Find(const SessionKey& key) {
    const auto found = store_->sessions_.find(key);
    return found == store_->sessions_.end() ? nullptr : &found->second;
  }

  SimStore* const store_;
  const bool* const crashed_;
};

std::unique_ptr<SessionStore> SimStore::Connect(const bool* crashed) {
  return std::make_unique<Connection>(this, crashed);
}

absl::Status SimStore::Apply(const SessionKey& key,
                             const SessionCommit& commit) {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return StaleGenerationError();
  Session& session = found->second;
  LH_ASSIGN_OR_RETURN(const CommitDecision decision,
                      DecideCommit(session.generation, session.head, commit));
  if (decision == CommitDecision::kApplied) return absl::OkStatus();
  auto& earlier = earlier_[key];
  earlier.push_back(session);
  if (earlier.size() > kRemembered) earlier.erase(earlier.begin());
  session.generation = commit.new_generation;
  uint64_t& given = generations_[key];
  given = std::max(given, session.generation);
  session.head = commit.head;
  session.chunks.resize(size_t(commit.first_chunk));
  for (const auto& chunk : commit.chunks) {
    session.chunks.push_back(Written(*chunk));
  }
  if (on_commit) on_commit(key, session);
  return absl::OkStatus();
}

std::set<SessionKey> SimStore::FailOver() {
  std::set<SessionKey> losers;
  for (auto& [key, session] : sessions_) {
    auto& earlier = earlier_[key];
    if (earlier.empty() || baton_->OneIn(2)) continue;
    const size_t kept = size_t(baton_->Below(earlier.size()));
    session = earlier[kept];
    earlier.resize(kept);
    // The lease may have been taken later than what is left.
    if (baton_->OneIn(2)) session.holder = {};
    losers.insert(key);
  }
  return losers;
}

bool SimStore::DeliverLate() {
  if (late_.empty()) return false;
  const size_t index = size_t(baton_->Below(late_.size()));
  const Late late = std::move(late_[index]);
  late_.erase(late_.begin() + ptrdiff_t(index));
  // Refused, if it does not fit any more.
  Apply(late.key, late.commit).IgnoreError();
  return true;
}

}  // namespace longhand::testing
