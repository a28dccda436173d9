#include "core/engine/pass_runner.h"

#include "absl/time/clock.h"
#include "core/base/out_of_memory.h"
#include "core/engine/document_errors.h"

namespace longhand {

absl::Status PassRunner::Run(ForwardPass& pass, const PassLimits& limits,
                             Scheduler* scheduler) {
  if (pass.done()) return absl::OkStatus();
  auto runner = std::make_shared<PassRunner>(pass, limits, scheduler);
  scheduler->Submit(runner, pass.items());
  runner->done_.WaitForNotification();
  return runner->result();
}

bool PassRunner::MustStop() {
  if (stop_ == Stop::kNo) {
    if (limits_.cancelled != nullptr && *limits_.cancelled) {
      stop_ = Stop::kCancelled;
    } else if (absl::Now() >= limits_.deadline) {
      stop_ = Stop::kDeadline;
    }
  }
  return stop_ != Stop::kNo;
}

void PassRunner::RunItem(int item, ComputeContext& compute) {
  if (MustStop()) return;
  const absl::Status status =
      CatchOutOfMemory([&] { pass_.Run(item, compute); });
  if (!status.ok()) stop_ = Stop::kOutOfMemory;
}

bool PassRunner::GoOn() {
  // An item that was left out was left out for good.
  if (stop_ != Stop::kNo) return false;
  pass_.Advance();
  if (pass_.done()) return false;
  scheduler_->Submit(shared_from_this(), pass_.items());
  return true;
}

void PassRunner::OnComplete() {
  bool goes_on = false;
  const absl::Status status = CatchOutOfMemory([&] { goes_on = GoOn(); });
  if (!status.ok()) stop_ = Stop::kOutOfMemory;
  if (goes_on) return;
  // The caller may destroy the pass from here on.
  done_.Notify();
}

absl::Status PassRunner::result() const {
  switch (stop_.load()) {
    case Stop::kNo:
      return absl::OkStatus();
    case Stop::kCancelled:
      return CancelledError();
    case Stop::kOutOfMemory:
      return OutOfMemoryError();
    case Stop::kDeadline:
      break;
  }
  return DeadlineError();
}

}  // namespace longhand
