// DocumentImpl: one open document: what the caller feeds it, and the steps that
// the scheduler runs for it. At most one phase of it is submitted at a time, so
// the job inside needs no lock of its own. Thread-safe; kept alive by its
// handle and by the scheduler. DocumentHandle is what callers get: dropping it
// cancels the document.
#ifndef LONGHAND_CORE_ENGINE_DOCUMENT_H_
#define LONGHAND_CORE_ENGINE_DOCUMENT_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/encode_job.h"
#include "core/engine/encode_types.h"
#include "core/engine/encoder.h"
#include "core/engine/scheduler.h"

namespace longhand {

class DocumentImpl final : public Phase,
                           public std::enable_shared_from_this<DocumentImpl> {
 public:
  struct Options {
    absl::Time deadline;
    uint64_t max_pending_bytes = 0;
    // Called once, after OnDone.
    absl::AnyInvocable<void()> closed;
  };

  DocumentImpl(std::unique_ptr<EncodeJob> job, std::shared_ptr<EncodeSink> sink,
               Scheduler* scheduler, Options options);

  // As in Document.
  void Append(std::variant<std::string, std::vector<int32_t>> content,
              absl::AnyInvocable<void()> consumed);
  void Finish();
  void Cancel(absl::Status why);
  void ResumeOutput();

  // Phase.
  void RunItem(int item, ComputeContext& compute) override;
  void OnComplete() override;

 private:
  struct Piece {
    std::variant<std::string, std::vector<int32_t>> content;
    uint64_t bytes;
    uint64_t taken;                       // of them, by the worker alone
    absl::AnyInvocable<void()> consumed;  // or null if called already
  };
  // What the submitted phase does.
  enum class Step {
    kDecide,   // one item: takes content, starts a batch, or ends the document
    kForward,  // the items of the batch's current phase
  };
  // What follows a step.
  enum class Next { kDecide, kForward, kRest, kDone };

  void Submit(Step step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);
  Next Decide();
  Next CompleteForward();
  // The reason to stop, or OK; notices the deadline.
  absl::Status StopReason() ABSL_LOCKS_EXCLUDED(mu_);
  void Stop(absl::Status why) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes a slice of the next piece of content to the job. False if there is
  // none.
  absl::StatusOr<bool> TakeContent();
  absl::Status TakeSlice(Piece& piece);
  Next StartBatch();
  Next EmitResults();
  void Close(absl::StatusOr<EncodeSummary> result);
  // Runs `work`; if it runs out of memory, closes the document with that.
  template <typename Work>
  void CloseOnFailure(Work work);
  void SubmitNext() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const absl::Time opened_;
  const absl::Time deadline_;
  const uint64_t max_pending_bytes_;
  Scheduler* const scheduler_;

  // Touched by the current step only.
  std::unique_ptr<EncodeJob> job_;
  std::shared_ptr<EncodeSink> sink_;
  absl::AnyInvocable<void()> closed_;
  Next next_ = Next::kRest;
  EncodeTimings timings_;

  // By the items of a phase in parallel.
  std::atomic<int64_t> submitted_ns_{0};
  std::atomic<int64_t> started_ns_{0};
  std::atomic<int64_t> compute_ns_{0};
  std::atomic<bool> stop_{false};

  absl::Mutex mu_;
  std::deque<Piece> inbox_ ABSL_GUARDED_BY(mu_);
  uint64_t inbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool submitted_ ABSL_GUARDED_BY(mu_) = false;
  // Something changed since the current step looked.
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_already_ ABSL_GUARDED_BY(mu_) = false;
  Step step_ ABSL_GUARDED_BY(mu_) = Step::kDecide;
  absl::Status why_ ABSL_GUARDED_BY(mu_);  // not OK: stop
};

class DocumentHandle final : public Document {
 public:
  explicit DocumentHandle(std::shared_ptr<DocumentImpl> document)
      : document_(std::move(document)) {}
  ~DocumentHandle() override;

  void Append(std::string text, absl::AnyInvocable<void()> consumed) override {
    document_->Append(std::move(text), std::move(consumed));
  }
  void AppendIds(std::vector<int32_t> ids,
                 absl::AnyInvocable<void()> consumed) override {
    document_->Append(std::move(ids), std::move(consumed));
  }
  void Finish() override { document_->Finish(); }
  void Cancel(absl::Status why) override { document_->Cancel(std::move(why)); }
  void ResumeOutput() override { document_->ResumeOutput(); }

 private:
  const std::shared_ptr<DocumentImpl> document_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_DOCUMENT_H_
