#include "core/engine/document.h"

#include <utility>

#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

// Bytes of text that are made tokens of in one step: some milliseconds.
constexpr size_t kSliceBytes = 4096;

uint64_t ContentBytes(
    const std::variant<std::string, std::vector<int32_t>>& content) {
  if (const auto* text = std::get_if<std::string>(&content)) {
    return text->size();
  }
  return std::get<std::vector<int32_t>>(content).size() * sizeof(int32_t);
}

}  // namespace

DocumentImpl::DocumentImpl(std::unique_ptr<EncodeJob> job,
                           std::shared_ptr<EncodeSink> sink,
                           Scheduler* scheduler, Options options)
    : opened_(absl::Now()),
      deadline_(options.deadline),
      max_pending_bytes_(options.max_pending_bytes),
      scheduler_(scheduler),
      job_(std::move(job)),
      sink_(std::move(sink)),
      closed_(std::move(options.closed)) {}

void DocumentImpl::Append(
    std::variant<std::string, std::vector<int32_t>> content,
    absl::AnyInvocable<void()> consumed) {
  const uint64_t bytes = ContentBytes(content);
  {
    absl::MutexLock lock(&mu_);
    if (!closed_already_ && why_.ok()) {
      LH_CHECK(!finished_);
      inbox_bytes_ += bytes;
      inbox_.push_back({std::move(content), bytes, 0, nullptr});
      if (inbox_bytes_ >= max_pending_bytes_) {
        inbox_.back().consumed = std::move(consumed);
        consumed = nullptr;
      }
    }
  }
  Wake();
  if (consumed) consumed();
}

void DocumentImpl::Finish() {
  {
    absl::MutexLock lock(&mu_);
    finished_ = true;
  }
  Wake();
}

void DocumentImpl::Cancel(absl::Status why) {
  LH_CHECK(!why.ok());
  Stop(std::move(why));
  Wake();
}

void DocumentImpl::ResumeOutput() { Wake(); }

void DocumentImpl::Stop(absl::Status why) {
  absl::MutexLock lock(&mu_);
  if (why_.ok()) why_ = std::move(why);
  stop_ = true;
}

absl::Status DocumentImpl::StopReason() {
  if (!stop_ && absl::Now() >= deadline_) {
    Stop(MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                   "the deadline passed before the document was encoded; give "
                   "more time, or send less text"));
  }
  if (!stop_) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  return why_;
}

void DocumentImpl::Submit(Step step) {
  step_ = step;
  submitted_ns_ = absl::ToUnixNanos(absl::Now());
  started_ns_ = 0;
  const int items = step == Step::kForward ? job_->pass()->items() : 1;
  scheduler_->Submit(shared_from_this(), items);
  submitted_ = true;
}

void DocumentImpl::Wake() {
  absl::MutexLock lock(&mu_);
  woken_ = true;
  if (!submitted_ && !closed_already_) Submit(Step::kDecide);
}

void DocumentImpl::RunItem(int item, ComputeContext& compute) {
  const absl::Time start = absl::Now();
  int64_t not_started = 0;
  started_ns_.compare_exchange_strong(not_started, absl::ToUnixNanos(start));
  Step step;
  {
    absl::MutexLock lock(&mu_);
    step = step_;
  }
  if (step == Step::kDecide) {
    CloseOnFailure([&] { next_ = Decide(); });
    return;
  }
  if (!StopReason().ok()) return;
  const absl::Status status =
      CatchOutOfMemory([&] { job_->pass()->Run(item, compute); });
  if (!status.ok()) Stop(status);
  compute_ns_ += absl::ToInt64Nanoseconds(absl::Now() - start);
}

void DocumentImpl::OnComplete() {
  Step step;
  {
    absl::MutexLock lock(&mu_);
    step = step_;
  }
  timings_.queue += absl::Nanoseconds(started_ns_ - submitted_ns_);
  if (step == Step::kForward) {
    CloseOnFailure([&] { next_ = CompleteForward(); });
  }
  CloseOnFailure([&] { SubmitNext(); });
}

void DocumentImpl::SubmitNext() {
  absl::MutexLock lock(&mu_);
  submitted_ = false;
  if (next_ == Next::kDone || (next_ == Next::kRest && !woken_)) return;
  Submit(next_ == Next::kForward ? Step::kForward : Step::kDecide);
}

template <typename Work>
void DocumentImpl::CloseOnFailure(Work work) {
  const absl::Status status = CatchOutOfMemory(work);
  if (status.ok()) return;
  // The job may be in the middle of anything; it is not used again.
  next_ = Next::kDone;
  if (job_ != nullptr) Close(status);
}

DocumentImpl::Next DocumentImpl::Decide() {
  bool finished;
  {
    absl::MutexLock lock(&mu_);
    woken_ = false;
    finished = finished_;
  }
  absl::Status status = StopReason();
  if (!status.ok()) {
    Close(status);
    return Next::kDone;
  }
  if (job_->has_results()) return EmitResults();
  // Full batches first, then more content, then what there is.
  if (job_->has_batch() && job_->waiting_chunks() >= job_->max_batch_chunks()) {
    return StartBatch();
  }
  absl::StatusOr<bool> took = TakeContent();
  if (!took.ok()) {
    Close(took.status());
    return Next::kDone;
  }
  if (*took) {
    sink_->OnProgress(job_->progress());
    return Next::kDecide;
  }
  // `finished` was read before the content was taken, so nothing came since.
  if (finished && !job_->content_ended()) {
    const absl::Time start = absl::Now();
    status = job_->EndContent();
    timings_.tokenize += absl::Now() - start;
    if (!status.ok()) {
      Close(status);
      return Next::kDone;
    }
    return Next::kDecide;
  }
  if (job_->has_batch()) return StartBatch();
  if (!job_->content_ended()) return Next::kRest;
  EncodeSummary summary = job_->Summarize();
  timings_.compute = absl::Nanoseconds(compute_ns_.load());
  timings_.total = absl::Now() - opened_;
  summary.timings = timings_;
  Close(std::move(summary));
  return Next::kDone;
}

absl::StatusOr<bool> DocumentImpl::TakeContent() {
  Piece* piece;
  {
    absl::MutexLock lock(&mu_);
    if (inbox_.empty()) return false;
    // Others only add at the end, which leaves it where it is.
    piece = &inbox_.front();
  }
  const absl::Time start = absl::Now();
  const absl::Status status = TakeSlice(*piece);
  timings_.tokenize += absl::Now() - start;
  if (status.ok() && piece->taken < piece->bytes) return true;
  // A waiting caller may go on once the inbox is below its limit.
  std::vector<absl::AnyInvocable<void()>> consumed;
  {
    absl::MutexLock lock(&mu_);
    inbox_bytes_ -= piece->bytes;
    if (piece->consumed) consumed.push_back(std::move(piece->consumed));
    inbox_.pop_front();
    if (inbox_bytes_ < max_pending_bytes_) {
      for (Piece& waiting : inbox_) {
        if (waiting.consumed) consumed.push_back(std::move(waiting.consumed));
        waiting.consumed = nullptr;
      }
    }
  }
  for (absl::AnyInvocable<void()>& call : consumed) call();
  LH_RETURN_IF_ERROR(status);
  return true;
}

absl::Status DocumentImpl::TakeSlice(Piece& piece) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&piece.content)) {
    piece.taken = piece.bytes;
    return job_->AddIds(*ids);
  }
  const auto& text = std::get<std::string>(piece.content);
  if (piece.taken == 0) LH_RETURN_IF_ERROR(job_->CheckText(text.size()));
  const std::string_view slice =
      std::string_view(text).substr(piece.taken, kSliceBytes);
  piece.taken += slice.size();
  return job_->AddText(slice);
}

DocumentImpl::Next DocumentImpl::EmitResults() {
  const absl::Time start = absl::Now();
  absl::Status status;
  while (status.ok() && job_->has_results() && sink_->CanAccept()) {
    status = job_->EmitChunk(*sink_);
  }
  timings_.pool += absl::Now() - start;
  if (!status.ok()) {
    Close(status);
    return Next::kDone;
  }
  return job_->has_results() ? Next::kRest : Next::kDecide;
}

DocumentImpl::Next DocumentImpl::StartBatch() {
  absl::Status status = job_->StartBatch();
  if (!status.ok()) {
    Close(status);
    return Next::kDone;
  }
  return Next::kForward;
}

DocumentImpl::Next DocumentImpl::CompleteForward() {
  absl::Status status = StopReason();
  if (status.ok()) {
    job_->pass()->Advance();
    sink_->OnProgress(job_->progress());
    return job_->pass()->done() ? Next::kDecide : Next::kForward;
  }
  Close(status);
  return Next::kDone;
}

void DocumentImpl::Close(absl::StatusOr<EncodeSummary> result) {
  std::deque<Piece> inbox;
  {
    absl::MutexLock lock(&mu_);
    closed_already_ = true;
    inbox.swap(inbox_);
  }
  // Memory goes back before the caller hears of the end.
  job_.reset();
  closed_();
  // A sink that could not take the result can take an error.
  const absl::Status status =
      CatchOutOfMemory([&] { sink_->OnDone(std::move(result)); });
  if (!status.ok()) sink_->OnDone(status);
  sink_.reset();
  for (Piece& piece : inbox) {
    if (piece.consumed) piece.consumed();
  }
}

DocumentHandle::~DocumentHandle() {
  document_->Cancel(absl::CancelledError("the document was abandoned"));
}

}  // namespace longhand
