// FakeSessionManager: a SessionManager without model, store and clock, for
// tests of what calls it. Sessions are texts in a map, cut into chunks of four
// bytes, and every call can be replaced by a function of the test's.
// Thread-safe; functions are called without locks held.
#ifndef LONGHAND_TESTS_TESTING_FAKE_SESSION_MANAGER_H_
#define LONGHAND_TESTS_TESTING_FAKE_SESSION_MANAGER_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/session/session_manager.h"

namespace longhand::testing {

constexpr size_t kFakeChunkBytes = 4;

// Where one is set, it is called instead of what the fake does by itself.
struct FakeSessionScript {
  std::function<absl::StatusOr<SessionInfo>(const SessionCall&)> get;
  std::function<absl::StatusOr<AppendResult>(const SessionCall&,
                                             const AppendArgs&)>
      append;
  std::function<absl::StatusOr<EditResult>(const SessionCall&, const EditArgs&)>
      edit;
  std::function<absl::StatusOr<QueryResult>(const SessionCall&,
                                            const QueryArgs&)>
      query;
  std::function<absl::Status(const SessionCall&,
                             absl::FunctionRef<absl::Status(std::string_view)>)>
      write;  // Export
  std::function<absl::StatusOr<SessionInfo>(
      const SessionCall&, absl::FunctionRef<absl::StatusOr<std::string>()>)>
      read;  // Import
  std::function<absl::Status()> drain;
  SessionManagerStats stats;
};

// What happened so far.
struct FakeSessionCounts {
  int calls = 0;  // of what has a SessionCall
  int appends = 0;
  int open_appends = 0;
  int max_open_appends = 0;
  int drains = 0;
  int ticks = 0;
  std::vector<QueryArgs> queries;
  std::vector<std::optional<absl::Duration>> ttls;
};

class FakeSessionManager : public SessionManager {
 public:
  explicit FakeSessionManager(FakeSessionScript script = {})
      : script_(std::move(script)) {}

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
  // From then on appends are refused.
  absl::Status Drain(absl::Time deadline) override;
  bool draining() const override;
  void Tick() override;
  SessionManagerStats stats() const override;
  const SessionManagerOptions& options() const override { return options_; }
  Durability durability() const override { return Durability::kLocal; }

  FakeSessionCounts counts() const;
  void SetStats(const SessionManagerStats& stats);
  // Blocks until `condition` holds; false after a minute.
  bool WaitFor(std::function<bool(const FakeSessionCounts&)> condition) const;

 private:
  struct Session {
    SessionInfo info;
    std::string text;
  };

  void Count(std::function<void(FakeSessionCounts&)> count);
  SessionInfo Add(const SessionCall& call, const std::string& text)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Session*> Find(const SessionCall& call, const SessionId& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SessionManagerOptions options_ = {.max_memory_bytes = 1000};
  FakeSessionScript script_;  // all but stats: constant
  mutable absl::Mutex mu_;
  uint8_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::map<SessionKey, Session> sessions_ ABSL_GUARDED_BY(mu_);
  FakeSessionCounts counts_ ABSL_GUARDED_BY(mu_);
};

// What a chunk of the fake looks like: its place and the vector {index, 0, 0,
// 0}.
ChunkResult FakeChunk(size_t index, size_t text_bytes);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_FAKE_SESSION_MANAGER_H_
