// SessionManagerImpl: what the calls of SessionManager do, over SessionKeeper,
// which knows where sessions are.
#ifndef LONGHAND_CORE_SESSION_SESSION_MANAGER_IMPL_H_
#define LONGHAND_CORE_SESSION_SESSION_MANAGER_IMPL_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/session/append_protocol.h"
#include "core/session/session_keeper.h"
#include "core/session/session_manager.h"
#include "core/session/session_quota.h"

namespace longhand {

class SessionManagerImpl : public SessionManager {
 public:
  SessionManagerImpl(SessionModel* model, SessionStore* store,
                     SessionEnvironment* environment,
                     const SessionManagerOptions& options);
  ~SessionManagerImpl() override;

  absl::StatusOr<SessionInfo> CreateSession(
      const SessionCall& call, const EncodeOptions& options,
      std::optional<absl::Duration> ttl) override;
  absl::StatusOr<SessionInfo> GetSession(const SessionCall& call,
                                         const SessionId& id) override;
  absl::StatusOr<SessionPage> ListSessions(
      const SessionCall& call, int page_size,
      const std::string& page_token) override;
  absl::Status DeleteSession(const SessionCall& call,
                             const SessionId& id) override;
  absl::StatusOr<AppendResult> Append(const SessionCall& call,
                                      const SessionId& id,
                                      const AppendArgs& args) override;
  absl::StatusOr<EditResult> Edit(const SessionCall& call, const SessionId& id,
                                  const EditArgs& args) override;
  absl::StatusOr<QueryResult> Query(const SessionCall& call,
                                    const SessionId& id,
                                    const QueryArgs& args) override;
  absl::StatusOr<SessionInfo> Fork(const SessionCall& call, const SessionId& id,
                                   std::optional<absl::Duration> ttl) override;
  absl::Status Export(
      const SessionCall& call, const SessionId& id,
      absl::FunctionRef<absl::Status(std::string_view)> output) override;
  absl::StatusOr<SessionInfo> Import(
      const SessionCall& call,
      absl::FunctionRef<absl::StatusOr<std::string>()> input,
      std::optional<absl::Duration> ttl) override;
  absl::Status Drain(absl::Time deadline) override;
  bool draining() const override;
  void Tick() override;
  SessionManagerStats stats() const override;
  const SessionManagerOptions& options() const override { return options_; }
  Durability durability() const override { return store_->durability(); }

 private:
  using Pin = SessionKeeper::Pin;

  // Counts what runs, so that Drain can wait for it.
  class Running;
  // What a document takes from here while a call changes it.
  class Resources;
  // Keeps a session's place as its writer.
  class WriterTurn;
  struct NewContent;

  // UNAVAILABLE (DRAINING).
  absl::Status Begin();
  void End();

  // TTL_OUT_OF_RANGE.
  absl::StatusOr<absl::Duration> CheckTtl(std::optional<absl::Duration> ttl,
                                          absl::Duration default_ttl) const;
  // FAILED_PRECONDITION (DURABILITY_UNAVAILABLE).
  absl::Status CheckDurability(Durability asked) const;
  // The tenant's sessions in the store, as many as can matter.
  absl::StatusOr<int> CountStored(const std::string& tenant);
  // A session from a document that is complete.
  absl::StatusOr<SessionInfo> AddSession(const SessionCall& call,
                                         std::shared_ptr<Resident> resident);
  absl::StatusOr<std::shared_ptr<Resident>> MakeResident(
      const std::string& tenant, std::shared_ptr<const DocumentEncoder> encoder,
      SessionDocument document, absl::Duration ttl);

  // The steps of Append.
  AppendSituation DescribeAppend(const AppendArgs& args) const;
  absl::StatusOr<AppendResult> AppendOnce(const SessionCall& call,
                                          const SessionId& id,
                                          const AppendArgs& args,
                                          AppendSituation situation);
  absl::StatusOr<AppendDecision> AwaitDecision(Pin& pin,
                                               const SessionCall& call,
                                               AppendSituation& situation,
                                               const AppendArgs& args)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pin.entry().mutex);
  absl::Status ComputeAppend(Pin& pin, const SessionCall& call,
                             const AppendArgs& args, const SessionDocument& old,
                             NewContent* made);
  absl::Status PublishAppend(Pin& pin, const AppendSituation& situation,
                             const AppendArgs& args, NewContent made,
                             AppendResult* result);
  // As safe as it was asked for; only then it may be acknowledged.
  absl::Status Secure(Pin& pin, Durability asked, const StopCondition& stop);

  // The steps of Edit.
  absl::StatusOr<EditResult> EditOnce(const SessionCall& call,
                                      const SessionId& id,
                                      const EditArgs& args);
  absl::Status ComputeEdit(Pin& pin, const SessionCall& call,
                           const EditArgs& args, const SessionDocument& old,
                           NewContent* made);
  absl::Status PublishEdit(Pin& pin, const EditArgs& args, NewContent made);

  struct Imported {
    std::shared_ptr<const DocumentEncoder> encoder;
    ChunkRecords chunks;
    uint64_t bytes = 0;
  };

  // The steps of Query and Import.
  absl::Status AnswerQuestions(
      Pin& pin, const SessionCall& call, const QueryArgs& args,
      const std::shared_ptr<const SessionDocument>& seen, QueryResult* result);
  absl::Status TakeImported(const SessionCall& call, SnapshotReader& reader,
                            Imported* imported);

  absl::Status WithPlaceOf(Pin& pin, const absl::Status& status);

  SessionModel* const model_;
  SessionStore* const store_;
  SessionEnvironment* const environment_;
  const SessionManagerOptions options_;
  mutable SessionKeeper keeper_;
  SessionQuota quota_;

  mutable absl::Mutex mutex_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

class SessionManagerImpl::Running {
 public:
  explicit Running(SessionManagerImpl* manager)
      : manager_(manager), status_(manager->Begin()) {}
  ~Running() {
    if (status_.ok()) manager_->End();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  // DRAINING: nothing may be done.
  const absl::Status& status() const { return status_; }

 private:
  SessionManagerImpl* const manager_;
  const absl::Status status_;
};

class SessionManagerImpl::Resources : public DocumentResources {
 public:
  // session_bytes: what the session holds before the change.
  Resources(SessionKeeper* keeper, const Pin& pin, uint64_t session_bytes)
      : keeper_(keeper),
        tenant_(pin.entry().key.tenant),
        trusted_(pin.resident->trusted),
        session_bytes_(session_bytes) {}

  absl::StatusOr<std::shared_ptr<const MemoryReservation>> Reserve(
      uint64_t bytes) override {
    auto reserved = keeper_->Reserve(tenant_, bytes, session_bytes_ + bytes);
    if (reserved.ok()) session_bytes_ += bytes;
    return reserved;
  }
  std::shared_ptr<const EncodedChunk> Find(const ChunkKey& key) override {
    return keeper_->cache().Find(tenant_, key);
  }
  void Keep(std::shared_ptr<const EncodedChunk> chunk) override {
    if (trusted_) keeper_->cache().Keep(tenant_, std::move(chunk));
  }

 private:
  SessionKeeper* const keeper_;
  const std::string tenant_;
  const bool trusted_;
  uint64_t session_bytes_;
};

// A document with a change made to it, not yet seen by anybody.
struct SessionManagerImpl::NewContent {
  std::optional<SessionDocument> document;
  uint64_t first_chunk = UINT64_MAX;  // that is new
  std::vector<uint64_t> changed;
  std::vector<ChunkResult> chunks;
  std::vector<ChunkResult> provisional_chunks;
  uint64_t computed_tokens = 0;
  uint64_t reused_tokens = 0;

  void Add(const DocumentChange& change) {
    first_chunk = std::min(first_chunk, change.first_chunk);
    changed = change.changed;
    computed_tokens += change.computed_tokens;
    reused_tokens += change.reused_tokens;
  }
};

// Gives the place as writer back, and the memory that its change did not need.
class SessionManagerImpl::WriterTurn {
 public:
  // The caller has set resident.writer.
  explicit WriterTurn(Pin& pin) : pin_(pin) {}
  ~WriterTurn() {
    Resident& resident = *pin_.resident;
    absl::MutexLock lock(&pin_.entry().mutex);
    const uint64_t needed = resident.document->own_bytes();
    if (needed < resident.own_bytes->bytes()) {
      resident.own_bytes->Resize(needed);
    }
    resident.writer.reset();
  }
  WriterTurn(const WriterTurn&) = delete;
  WriterTurn& operator=(const WriterTurn&) = delete;

 private:
  Pin& pin_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_MANAGER_IMPL_H_
