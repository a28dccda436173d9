// Scheduler: the worker threads. Work comes as phases of independent items; the
// workers take one item at a time, from the waiting phases in turn, so that a
// long document gives way to a short one after every item. Thread-safe.
#ifndef LONGHAND_CORE_ENGINE_SCHEDULER_H_
#define LONGHAND_CORE_ENGINE_SCHEDULER_H_

#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/compute/compute_context.h"

namespace longhand {

// Something that has steps to run. The scheduler keeps it alive while it does.
class Phase {
 public:
  virtual ~Phase() = default;
  // Called for each item once, from any worker, in parallel.
  virtual void RunItem(int item, ComputeContext& compute) = 0;
  // Called by the worker that finished the last item. May submit again.
  virtual void OnComplete() = 0;
};

class Scheduler {
 public:
  // REQUIRES: workers >= 1.
  explicit Scheduler(int workers);
  // Runs what is waiting, then joins the workers. REQUIRES: nothing submits
  // without end.
  ~Scheduler();

  // Queues items 0 .. items - 1 of `phase`. REQUIRES: items >= 1; an earlier
  // submission of the same phase is complete.
  void Submit(std::shared_ptr<Phase> phase, int items);

 private:
  struct Submission {
    Submission(std::shared_ptr<Phase> submitted, int count)
        : phase(std::move(submitted)), items(count), remaining(count) {}

    const std::shared_ptr<Phase> phase;
    const int items;
    int next = 0;  // guarded by mu_
    std::atomic<int> remaining;
  };

  void Work();

  absl::Mutex mu_;
  std::deque<std::shared_ptr<Submission>> waiting_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int running_ ABSL_GUARDED_BY(mu_) = 0;  // items in work
  std::vector<std::thread> threads_;      // constant after construction
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_SCHEDULER_H_
