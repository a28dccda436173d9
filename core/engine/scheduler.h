// Scheduler: the worker threads. Work comes as phases of independent items. A
// free worker takes one item, from the work that has been served least so far
// (least attained service, in levels), so that what is short goes first without
// anyone knowing beforehand that it is, and a long document gives way after
// every item. Within a level who came first is finished first; only on the last
// one, where work may be endless, all take turns. A quarter of the time for
// which longer work is passed over is given to it afterwards, so that nothing
// waits for ever. Resting counts against what was served: a stream that brings
// little at a time stays short work. Thread-safe.
#ifndef LONGHAND_CORE_ENGINE_SCHEDULER_H_
#define LONGHAND_CORE_ENGINE_SCHEDULER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/compute/compute_context.h"

namespace longhand {

// Something that has steps to run. The scheduler keeps it alive while it does,
// and counts the time that it gets from its first submission on.
class Phase {
 public:
  virtual ~Phase() = default;
  // Called for each item once, from any worker, in parallel. Neither this nor
  // OnComplete may throw.
  virtual void RunItem(int item, ComputeContext& compute) = 0;
  // Called by the worker that finished the last item. May submit again.
  virtual void OnComplete() = 0;

 private:
  friend class Scheduler;
  // Guarded by the scheduler's mutex.
  absl::Duration served_;  // less the time for which it had nothing to do
  absl::Time last_ended_ = absl::InfiniteFuture();  // of its items
  int level_ = -1;       // at its last submission; -1: none yet
  uint64_t ticket_ = 0;  // its place among those of its level
};

class Scheduler {
 public:
  // Work is on level 0 until it has had kFirstLevel of processor time, and each
  // further level takes kLevelFactor times as much.
  static constexpr int kLevels = 6;
  static constexpr absl::Duration kFirstLevel = absl::Milliseconds(100);
  static constexpr int kLevelFactor = 4;

  // REQUIRES: workers >= 1.
  explicit Scheduler(int workers);
  // Runs what is waiting, then joins the workers. REQUIRES: nothing submits
  // without end.
  ~Scheduler();

  // Queues items 0 .. items - 1 of `phase`. Throws std::bad_alloc, and nothing
  // is queued, if there is no memory. REQUIRES: items >= 1; an earlier
  // submission of the same phase is complete.
  void Submit(std::shared_ptr<Phase> phase, int items);

 private:
  // Passed-over work gets a third of the time that others got before it, once
  // that is kMinDebt: what is short ends before, and is not held up.
  static constexpr int kDebtShare = 3;
  static constexpr absl::Duration kMinDebt = absl::Milliseconds(30);
  static constexpr absl::Duration kMaxDebt = absl::Milliseconds(300);

  struct Submission {
    Submission(std::shared_ptr<Phase> submitted, int count)
        : phase(std::move(submitted)), items(count), remaining(count) {}

    const std::shared_ptr<Phase> phase;
    const int items;
    int next = 0;  // guarded by mu_
    std::atomic<int> remaining;
  };
  // By level, then ticket: the first is the next.
  using Queue = std::map<std::pair<int, uint64_t>, std::shared_ptr<Submission>>;

  // An item to run.
  struct Choice {
    std::shared_ptr<Submission> submission;
    int item = 0;
    bool passes_others = false;  // that have been served more
  };

  void Work();
  // Where a phase that waits belongs now.
  std::pair<int, uint64_t> PlaceOf(Phase& phase)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // REQUIRES: something waits.
  Choice Choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Queue::iterator OldestPassedOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Account(const Choice& choice, absl::Time start, absl::Time end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  Queue waiting_ ABSL_GUARDED_BY(mu_);
  uint64_t last_ticket_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration debt_ ABSL_GUARDED_BY(mu_);  // to what is passed over
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int running_ ABSL_GUARDED_BY(mu_) = 0;  // items in work
  std::vector<std::thread> threads_;      // constant after construction
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_SCHEDULER_H_
