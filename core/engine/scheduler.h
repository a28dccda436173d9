// Scheduler: the worker threads. Work comes as phases of independent items. A
// free worker takes one item, from the work that has been served least so far
// (least attained service, in levels): short work need not be known to be short
// to go first, and a long document gives way after every item. Every fourth
// item comes from what has waited longest, so that nothing waits for ever.
// Thread-safe.
#ifndef LONGHAND_CORE_ENGINE_SCHEDULER_H_
#define LONGHAND_CORE_ENGINE_SCHEDULER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
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

  // Queues items 0 .. items - 1 of `phase`. served: the processor time that
  // this work, a document say, has had in its earlier phases. REQUIRES: items
  // >= 1; an earlier submission of the same phase is complete.
  void Submit(std::shared_ptr<Phase> phase, int items,
              absl::Duration served = absl::ZeroDuration());

 private:
  // Work is on level 0 until it has had kFirstLevel of processor time, and each
  // further level takes kLevelFactor times as much.
  static constexpr int kLevels = 6;
  static constexpr absl::Duration kFirstLevel = absl::Milliseconds(100);
  static constexpr int kLevelFactor = 4;
  static constexpr uint64_t kOldestEvery = 4;

  struct Submission {
    Submission(std::shared_ptr<Phase> submitted, int count, int on_level)
        : phase(std::move(submitted)),
          items(count),
          level(on_level),
          remaining(count) {}

    const std::shared_ptr<Phase> phase;
    const int items;
    const int level;
    int next = 0;         // guarded by mu_
    uint64_t queued = 0;  // its place in the order of waiting; guarded by mu_
    std::atomic<int> remaining;
  };
  using Queue = std::deque<std::shared_ptr<Submission>>;

  static int LevelOf(absl::Duration served);

  void Work();
  bool is_idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Enqueue(std::shared_ptr<Submission> submission)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The queue that the next item comes from. REQUIRES: one is not empty.
  Queue& ChooseQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  // By level; the front of each has waited longest there.
  std::array<Queue, kLevels> waiting_ ABSL_GUARDED_BY(mu_);
  uint64_t enqueued_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t chosen_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int running_ ABSL_GUARDED_BY(mu_) = 0;  // items in work
  std::vector<std::thread> threads_;      // constant after construction
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_SCHEDULER_H_
