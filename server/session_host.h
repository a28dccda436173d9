// SessionHost: a SessionManager and what it needs to run in a server: threads
// that may block, a clock tick, and the append streams that are to be told when
// the server stops. Owned by the Server, outlives every call. Construction and
// destruction come from one thread; the rest is thread-safe.
#ifndef LONGHAND_SERVER_SESSION_HOST_H_
#define LONGHAND_SERVER_SESSION_HOST_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/blocking_pool.h"
#include "core/session/document_encoder.h"
#include "core/session/session_manager.h"
#include "core/store/session_store.h"

namespace longhand {

// What sessions are made of. The manager uses the two others.
struct SessionParts {
  std::string store_name;
  std::unique_ptr<SessionStore> store;
  std::unique_ptr<SessionModel> model;
  // Null: the server keeps no sessions.
  std::unique_ptr<SessionManager> manager;
};

class SessionHost {
 public:
  // A stream that must hear of a drain.
  class DrainListener {
   public:
    virtual ~DrainListener() = default;
    // May block; asks nobody after `query_until`. Comes once.
    virtual void OnDrain(absl::Time query_until) = 0;
  };

  // Held by a call that keeps a thread while it waits for its client.
  class Transfer {
   public:
    explicit Transfer(std::atomic<int>* count) : count_(count) {}
    ~Transfer() { --*count_; }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

   private:
    std::atomic<int>* const count_;
  };

  // REQUIRES: parts.manager, threads >= 1.
  SessionHost(SessionParts parts, int threads);
  // Waits for the work that was accepted. REQUIRES: no call is open.
  ~SessionHost();

  SessionManager& manager() const { return *parts_.manager; }
  const std::string& store_name() const { return parts_.store_name; }

  // Runs `work` on a thread that may block, or destroys it: UNAVAILABLE
  // (OVERLOADED) if too much waits for one.
  absl::Status Run(absl::AnyInvocable<void()> work);

  // Leaves threads to the other calls. UNAVAILABLE (OVERLOADED).
  absl::StatusOr<std::unique_ptr<Transfer>> StartTransfer();

  // False, and `listener` is not kept, once the drain has begun.
  bool AddListener(const std::shared_ptr<DrainListener>& listener)
      ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveListener(const DrainListener* listener) ABSL_LOCKS_EXCLUDED(mu_);

  // Tells the listeners, waits for the work in progress and brings every
  // session to the store. As SessionManager::Drain.
  absl::Status Drain(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Tick() ABSL_LOCKS_EXCLUDED(mu_);
  void NoteStoreHealth();

  const SessionParts parts_;
  const int max_calls_;  // in work or waiting
  const int max_transfers_;
  std::atomic<int> transfers_{0};
  bool store_was_healthy_ = true;  // the ticker's

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<const DrainListener*, std::weak_ptr<DrainListener>>
      listeners_ ABSL_GUARDED_BY(mu_);

  // After what its work uses.
  std::unique_ptr<BlockingPool> pool_;
  std::thread ticker_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_HOST_H_
