#include "client/load_recorder.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/client_error.h"

namespace longhand::client {
namespace {

void AddWait(absl::Duration wait, RetryAdvice* advice) {
  advice->min = std::min(advice->min, wait);
  advice->max = std::max(advice->max, wait);
}

void AddAdvice(const LoadOutcome& outcome, RetryAdvice* advice) {
  if (outcome.pushback) {
    ++advice->pushbacks;
    int64_t milliseconds = 0;
    // A negative one means "do not retry".
    if (absl::SimpleAtoi(*outcome.pushback, &milliseconds) &&
        milliseconds >= 0) {
      AddWait(absl::Milliseconds(milliseconds), advice);
    }
  }
  if (const auto delay = GetRetryDelay(outcome.status)) {
    ++advice->retry_infos;
    AddWait(*delay, advice);
  }
}

}  // namespace

void LoadStats::Merge(const LoadStats& other) {
  arrivals += other.arrivals;
  not_sent += other.not_sent;
  sent += other.sent;
  ok += other.ok;
  late += other.late;
  rejected += other.rejected;
  deadline_exceeded += other.deadline_exceeded;
  unfinished += other.unfinished;
  retries += other.retries;
  latency.Merge(other.latency);
  reject_latency.Merge(other.reject_latency);
  for (const auto& [key, error] : other.errors) {
    LoadError& own = errors[key];
    if (own.count == 0) own.sample = error.sample;
    own.count += error.count;
  }
  advice.pushbacks += other.advice.pushbacks;
  advice.retry_infos += other.advice.retry_infos;
  advice.min = std::min(advice.min, other.advice.min);
  advice.max = std::max(advice.max, other.advice.max);
  answered += other.answered;
  answered_in_time += other.answered_in_time;
  answered_tokens += other.answered_tokens;
  answered_tokens_in_time += other.answered_tokens_in_time;
}

LoadStats LoadReport::Total() const {
  LoadStats total;
  for (const LoadStats& stats : classes) total.Merge(stats);
  return total;
}

absl::Status LoadReport::CheckAnswered() const {
  const LoadStats total = Total();
  if (total.ok + total.late > 0 || total.errors.empty()) {
    return absl::OkStatus();
  }
  const LoadError& error =
      std::max_element(total.errors.begin(), total.errors.end(),
                       [](const auto& a, const auto& b) {
                         return a.second.count < b.second.count;
                       })
          ->second;
  absl::Status status(
      error.sample.code(),
      absl::StrCat("none of ", total.sent, " requests was answered; ",
                   error.count,
                   " attempts failed with: ", error.sample.message()));
  error.sample.ForEachPayload(
      [&status](absl::string_view type, const absl::Cord& payload) {
        status.SetPayload(type, payload);
      });
  return status;
}

LoadRecorder::LoadRecorder(const Options& options)
    : options_(options), end_(options.end), last_answer_(options.begin) {
  report_.classes.resize(options.classes);
}

bool LoadRecorder::Counts(const LoadRequest& request) const {
  return request.intended >= options_.begin && request.intended < options_.end;
}

void LoadRecorder::OnNotSent(const LoadRequest& request, size_t class_index) {
  if (!Counts(request)) return;
  ++report_.classes[class_index].arrivals;
  ++report_.classes[class_index].not_sent;
}

void LoadRecorder::OnSent(const LoadRequest& request, size_t class_index,
                          absl::Duration now, uint64_t outstanding) {
  if (request.attempt > 1 || !Counts(request)) return;
  ++report_.classes[class_index].arrivals;
  ++report_.classes[class_index].sent;
  report_.send_lag.Record(now - request.intended);
  report_.peak_outstanding = std::max(report_.peak_outstanding, outstanding);
}

void LoadRecorder::RecordFailure(const LoadRequest& request,
                                 const LoadOutcome& outcome, absl::Duration now,
                                 LoadStats* stats) const {
  const auto detail = GetErrorDetail(outcome.status);
  LoadError& error =
      stats->errors[{outcome.status.code(), detail ? detail->reason : ""}];
  if (error.count++ == 0) error.sample = outcome.status;
  AddAdvice(outcome, &stats->advice);
  if (!absl::IsDeadlineExceeded(outcome.status)) {
    stats->reject_latency.Record(now - request.due);
  }
}

void LoadRecorder::OnRetry(const LoadRequest& request, size_t class_index,
                           const LoadOutcome& outcome, absl::Duration now) {
  if (!Counts(request)) return;
  LoadStats& stats = report_.classes[class_index];
  ++stats.retries;
  RecordFailure(request, outcome, now, &stats);
}

void LoadRecorder::RecordAnswer(const LoadRequest& request,
                                const LoadOutcome& outcome, absl::Duration now,
                                LoadStats* stats) {
  const absl::Duration latency = now - request.intended;
  const bool in_time = latency <= options_.goal;
  if (now >= options_.begin && now < end_) {
    last_answer_ = std::max(last_answer_, now);
    ++stats->answered;
    stats->answered_tokens += outcome.tokens;
    if (in_time) {
      ++stats->answered_in_time;
      stats->answered_tokens_in_time += outcome.tokens;
    }
  }
  if (!Counts(request)) return;
  ++(in_time ? stats->ok : stats->late);
  stats->latency.Record(latency);
}

void LoadRecorder::OnEnd(const LoadRequest& request, size_t class_index,
                         const LoadOutcome& outcome, absl::Duration now) {
  LoadStats& stats = report_.classes[class_index];
  if (outcome.status.ok()) return RecordAnswer(request, outcome, now, &stats);
  if (!Counts(request)) return;
  RecordFailure(request, outcome, now, &stats);
  ++(absl::IsDeadlineExceeded(outcome.status) ? stats.deadline_exceeded
                                              : stats.rejected);
}

void LoadRecorder::OnUnfinished(const LoadRequest& request,
                                size_t class_index) {
  if (Counts(request)) ++report_.classes[class_index].unfinished;
}

void LoadRecorder::Interrupt(absl::Duration now) {
  report_.interrupted = true;
  end_ = std::min(end_, std::max(now, options_.begin));
}

LoadReport LoadRecorder::Finish() const {
  LoadReport report = report_;
  const absl::Duration end =
      end_ == absl::InfiniteDuration() ? last_answer_ : end_;
  report.window = end - options_.begin;
  return report;
}

}  // namespace longhand::client
