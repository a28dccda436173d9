#include "core/engine/pass_runner.h"

#include "absl/time/clock.h"
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
  if (!MustStop()) pass_.Run(item, compute);
}

void PassRunner::OnComplete() {
  // An item that was left out was left out for good.
  if (stop_ == Stop::kNo) {
    pass_.Advance();
    if (!pass_.done()) {
      scheduler_->Submit(shared_from_this(), pass_.items());
      return;
    }
  }
  // The caller may destroy the pass from here on.
  done_.Notify();
}

absl::Status PassRunner::result() const {
  switch (stop_.load()) {
    case Stop::kNo:
      return absl::OkStatus();
    case Stop::kCancelled:
      return CancelledError();
    case Stop::kDeadline:
      break;
  }
  return DeadlineError();
}

}  // namespace longhand
