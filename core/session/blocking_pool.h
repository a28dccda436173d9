// BlockingPool: threads for calls that may block, so that neither the network
// library's nor the encoder's threads have to. Bounded in threads and in what
// waits for one: who is refused says so to the client. Thread-safe.
#ifndef LONGHAND_CORE_SESSION_BLOCKING_POOL_H_
#define LONGHAND_CORE_SESSION_BLOCKING_POOL_H_

#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace longhand {

class BlockingPool {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Threads start when they are needed and stay. REQUIRES: max_threads >= 1.
  // max_queued: tasks that wait while all threads are busy; may be 0.
  BlockingPool(size_t max_threads, size_t max_queued);
  // Runs what was accepted, then joins. REQUIRES: not from one of its tasks.
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // False, and `task` is destroyed without having run, if all threads are busy
  // and the queue is full.
  [[nodiscard]] bool Submit(Task task);

  size_t queued() const;
  size_t running() const;

 private:
  void Work();
  bool HasWorkOrStops() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !tasks_.empty();
  }

  const size_t max_threads_;
  const size_t max_queued_;
  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_BLOCKING_POOL_H_
