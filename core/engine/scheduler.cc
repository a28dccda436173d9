#include "core/engine/scheduler.h"

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

void Scheduler::Submit(std::shared_ptr<Phase> phase, int items) {
  LH_CHECK(items >= 1);
  auto submission = std::make_shared<Submission>(std::move(phase), items);
  absl::MutexLock lock(&mu_);
  waiting_.push_back(std::move(submission));
}

void Scheduler::Work() {
  ComputeContext compute;
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // A running item may still submit.
    return !waiting_.empty() || (stopping_ && running_ == 0);
  };
  while (true) {
    std::shared_ptr<Submission> submission;
    int item;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (waiting_.empty()) return;
      submission = std::move(waiting_.front());
      waiting_.pop_front();
      item = submission->next++;
      if (submission->next < submission->items) waiting_.push_back(submission);
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
