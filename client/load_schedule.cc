#include "client/load_schedule.h"

#include <cmath>

namespace longhand::client {

absl::Duration ArrivalProcess::Next() {
  if (arrivals_ == Arrivals::kConstant) {
    // From the count: sums of gaps would drift.
    return absl::Seconds(static_cast<double>(count_++) / rate_);
  }
  seconds_ += -std::log1p(-random_.NextUnit()) / rate_;
  return absl::Seconds(seconds_);
}

LoadSchedule::LoadSchedule(const LoadShape& shape) : shape_(shape) {
  if (shape.clients == 0) {
    arrivals_.emplace(shape.rate, shape.arrivals, shape.seed);
    Add(arrivals_->Next());
    return;
  }
  for (uint64_t i = 0; i < shape.clients; ++i) {
    Add(shape.ramp_up * static_cast<double>(i) /
        static_cast<double>(shape.clients));
  }
}

void LoadSchedule::Add(absl::Duration due) {
  if (stopped_ || issued_ >= shape_.requests || due >= shape_.length) return;
  waiting_.push({issued_++, due, due, 1});
}

std::optional<LoadSchedule::Due> LoadSchedule::Pop(absl::Duration now) {
  if (waiting_.empty() || waiting_.top().due > now) return std::nullopt;
  Due next{waiting_.top()};
  waiting_.pop();
  if (next.request.attempt > 1) return next;
  if (arrivals_) Add(arrivals_->Next());
  next.send = !arrivals_ || outstanding_ < shape_.max_outstanding;
  if (next.send) ++outstanding_;
  return next;
}

absl::Duration LoadSchedule::NextDue() const {
  return waiting_.empty() ? absl::InfiniteDuration() : waiting_.top().due;
}

void LoadSchedule::OnEnd(absl::Duration next) {
  --outstanding_;
  if (!arrivals_) Add(next);
}

void LoadSchedule::Retry(LoadRequest request, absl::Duration due) {
  request.due = due;
  ++request.attempt;
  waiting_.push(request);
}

std::vector<LoadRequest> LoadSchedule::Stop() {
  stopped_ = true;
  std::vector<LoadRequest> retries;
  for (; !waiting_.empty(); waiting_.pop()) {
    if (waiting_.top().attempt > 1) retries.push_back(waiting_.top());
  }
  outstanding_ -= retries.size();
  return retries;
}

}  // namespace longhand::client
