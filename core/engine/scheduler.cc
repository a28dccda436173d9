#include "core/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/check.h"

namespace longhand {
namespace {

int LevelOf(absl::Duration served) {
  int level = 0;
  for (absl::Duration limit = Scheduler::kFirstLevel;
       level + 1 < Scheduler::kLevels && served >= limit;
       limit *= Scheduler::kLevelFactor) {
    ++level;
  }
  return level;
}

}  // namespace

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
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mu_);
  Phase& submitted = *submission->phase;
  const absl::Duration rested =
      std::max(now - submitted.last_ended_, absl::ZeroDuration());
  submitted.served_ =
      std::max(submitted.served_ - rested, absl::ZeroDuration());
  const std::pair<int, uint64_t> place = PlaceOf(submitted);
  LH_CHECK(waiting_.try_emplace(place, std::move(submission)).second);
}

std::pair<int, uint64_t> Scheduler::PlaceOf(Phase& phase) {
  const int level = LevelOf(phase.served_);
  // It keeps its place until it has had what the level gives.
  if (level != phase.level_ || level + 1 == kLevels) {
    phase.level_ = level;
    phase.ticket_ = ++last_ticket_;
  }
  return {phase.level_, phase.ticket_};
}

Scheduler::Queue::iterator Scheduler::OldestPassedOver() {
  const int level = waiting_.begin()->first.first;
  auto oldest = std::prev(waiting_.end());
  for (auto it = oldest; it->first.first > level; --it) {
    if (it->first.second < oldest->first.second) oldest = it;
  }
  return oldest;
}

Scheduler::Choice Scheduler::Choose() {
  LH_CHECK(!waiting_.empty());
  const bool is_contested =
      waiting_.rbegin()->first.first > waiting_.begin()->first.first;
  const bool pays_debt = is_contested && debt_ >= kMinDebt;
  const auto next = pays_debt ? OldestPassedOver() : waiting_.begin();
  Choice choice = {.submission = next->second,
                   .passes_others = is_contested && !pays_debt};
  Submission& submission = *choice.submission;
  choice.item = submission.next++;
  // What goes back goes in the node that it had, which needs no memory.
  Queue::node_type node = waiting_.extract(next);
  if (submission.next < submission.items) {
    node.key() = PlaceOf(*submission.phase);
    LH_CHECK(waiting_.insert(std::move(node)).inserted);
  }
  return choice;
}

void Scheduler::Account(const Choice& choice, absl::Time start,
                        absl::Time end) {
  const absl::Duration time = end - start;
  Phase& phase = *choice.submission->phase;
  phase.served_ += time;
  phase.last_ended_ = end;
  if (choice.passes_others) {
    debt_ = std::min(debt_ + time / kDebtShare, kMaxDebt);
  } else {
    debt_ = std::max(debt_ - time, absl::ZeroDuration());
  }
}

void Scheduler::Work() {
  ComputeContext compute;
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // A running item may still submit.
    return !waiting_.empty() || (stopping_ && running_ == 0);
  };
  while (true) {
    Choice choice;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (waiting_.empty()) return;
      choice = Choose();
      ++running_;
    }
    const absl::Time start = absl::Now();
    Submission& submission = *choice.submission;
    submission.phase->RunItem(choice.item, compute);
    {
      // Before a next submission is placed by it.
      absl::MutexLock lock(&mu_);
      Account(choice, start, absl::Now());
    }
    if (submission.remaining.fetch_sub(1) == 1) {
      submission.phase->OnComplete();
    }
    choice.submission.reset();
    absl::MutexLock lock(&mu_);
    --running_;
  }
}

}  // namespace longhand
