#include "core/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace longhand {

Scheduler::Scheduler(int workers) {
  LH_CHECK(workers >= 1);
  for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { Work(); });
}

Scheduler::~Scheduler() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

int Scheduler::LevelOf(absl::Duration served) {
  int level = 0;
  for (absl::Duration limit = kFirstLevel;
       level + 1 < kLevels && served >= limit; limit *= kLevelFactor) {
    ++level;
  }
  return level;
}

void Scheduler::Submit(std::shared_ptr<Phase> phase, int items,
                       absl::Duration served) {
  LH_CHECK(items >= 1);
  auto submission =
      std::make_shared<Submission>(std::move(phase), items, LevelOf(served));
  absl::MutexLock lock(&mu_);
  Enqueue(std::move(submission));
}

void Scheduler::Enqueue(std::shared_ptr<Submission> submission) {
  submission->queued = enqueued_++;
  waiting_[size_t(submission->level)].push_back(std::move(submission));
}

bool Scheduler::is_idle() const {
  return std::all_of(waiting_.begin(), waiting_.end(),
                     [](const Queue& queue) { return queue.empty(); });
}

Scheduler::Queue& Scheduler::ChooseQueue() {
  const bool takes_oldest = ++chosen_ % kOldestEvery == 0;
  Queue* choice = nullptr;
  for (Queue& queue : waiting_) {
    if (queue.empty()) continue;
    if (choice == nullptr ||
        (takes_oldest && queue.front()->queued < choice->front()->queued)) {
      choice = &queue;
    }
  }
  LH_CHECK(choice != nullptr);
  return *choice;
}

void Scheduler::Work() {
  ComputeContext compute;
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // A running item may still submit.
    return !is_idle() || (stopping_ && running_ == 0);
  };
  while (true) {
    std::shared_ptr<Submission> submission;
    int item;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (is_idle()) return;
      Queue& queue = ChooseQueue();
      submission = std::move(queue.front());
      queue.pop_front();
      item = submission->next++;
      if (submission->next < submission->items) Enqueue(submission);
      ++running_;
    }
    submission->phase->RunItem(item, compute);
    if (submission->remaining.fetch_sub(1) == 1)
      submission->phase->OnComplete();
    submission.reset();
    absl::MutexLock lock(&mu_);
    --running_;
  }
}

}  // namespace longhand
