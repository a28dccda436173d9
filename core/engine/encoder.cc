#include "core/engine/encoder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/cpu_budget.h"
#include "core/base/error.h"
#include "core/base/memory_budget.h"
#include "core/base/status_macros.h"
#include "core/engine/document.h"
#include "core/engine/document_errors.h"
#include "core/engine/encode_options.h"
#include "core/engine/pass_runner.h"
#include "core/engine/scheduler.h"
#include "core/engine/working_memory.h"

namespace longhand {
namespace {

absl::Status Invalid(std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

// Work that is not part of a document.
class Task final : public Phase {
 public:
  explicit Task(absl::AnyInvocable<void()> work) : work_(std::move(work)) {}
  void RunItem(int, ComputeContext&) override { work_(); }
  void OnComplete() override {}

 private:
  absl::AnyInvocable<void()> work_;
};

class EncoderImpl final : public Encoder {
 public:
  EncoderImpl(std::shared_ptr<const Model> model, EncoderOptions options)
      : model_(std::move(model)),
        options_(std::move(options)),
        memory_(options_.max_working_bytes),
        scheduler_(options_.workers) {}

  ~EncoderImpl() override {
    std::vector<std::shared_ptr<DocumentImpl>> open;
    {
      absl::MutexLock lock(&mu_);
      shutting_down_ = true;
      for (auto& [id, document] : documents_) {
        if (auto alive = document.lock()) open.push_back(std::move(alive));
      }
    }
    for (const auto& document : open) {
      document->Cancel(MakeError(absl::StatusCode::kUnavailable,
                                 "SHUTTING_DOWN",
                                 "the server is shutting down; send the "
                                 "document again"));
    }
    open.clear();
    // Documents hand themselves back before their last step ends.
    absl::MutexLock lock(&mu_);
    auto none_left = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return documents_.empty();
    };
    mu_.Await(absl::Condition(&none_left));
  }

  absl::StatusOr<std::shared_ptr<Document>> Open(
      const EncodeOptions& options, absl::Time deadline,
      std::shared_ptr<EncodeSink> sink) override {
    LH_ASSIGN_OR_RETURN(EncodeOptions resolved, ResolveOptions(options));
    LH_ASSIGN_OR_RETURN(
        std::unique_ptr<EncodeJob> job,
        EncodeJob::Create(model_,
                          {.encode = std::move(resolved),
                           .max_document_bytes = options_.max_document_bytes,
                           .max_batch_chunks = options_.max_batch_chunks,
                           .workers = options_.workers},
                          &memory_));
    absl::MutexLock lock(&mu_);
    if (shutting_down_ ||
        int(documents_.size()) >= options_.max_concurrent_documents) {
      return MakeError(
          absl::StatusCode::kUnavailable, "OVERLOADED",
          absl::StrCat("the server works on ", documents_.size(),
                       " documents, which is its limit; try again later"),
          {{"limit_documents",
            absl::StrCat(options_.max_concurrent_documents)}});
    }
    const uint64_t id = next_id_++;
    auto document = std::make_shared<DocumentImpl>(
        std::move(job), std::move(sink), &scheduler_,
        DocumentImpl::Options{.deadline = deadline,
                              .max_pending_bytes = options_.max_pending_bytes,
                              .closed = [this, id] {
                                absl::MutexLock closed_lock(&mu_);
                                documents_.erase(id);
                              }});
    documents_.emplace(id, document);
    return std::make_shared<DocumentHandle>(std::move(document));
  }

  void Run(absl::AnyInvocable<void()> work) override {
    scheduler_.Submit(std::make_shared<Task>(std::move(work)), 1);
  }

  absl::Status RunPass(ForwardPass& pass, const PassLimits& limits) override {
    MemoryReservation reservation(&memory_);
    if (!reservation.Resize(limits.working_bytes)) {
      return WorkingMemoryError(memory_.limit_bytes());
    }
    return PassRunner::Run(pass, limits, &scheduler_);
  }

  absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const override {
    return ResolveEncodeOptions(*model_, options, options_.defaults);
  }

  const Model& model() const override { return *model_; }
  const EncoderOptions& options() const override { return options_; }
  int open_documents() const override {
    absl::MutexLock lock(&mu_);
    return static_cast<int>(documents_.size());
  }

 private:
  const std::shared_ptr<const Model> model_;
  const EncoderOptions options_;
  WorkingMemory memory_;

  mutable absl::Mutex mu_;
  bool shutting_down_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, std::weak_ptr<DocumentImpl>> documents_
      ABSL_GUARDED_BY(mu_);

  // Last: its workers use everything above.
  Scheduler scheduler_;
};

absl::StatusOr<EncoderOptions> ResolveEncoderOptions(const Model& model,
                                                     EncoderOptions options) {
  if (options.workers < 0 || options.workers > 1024) {
    return Invalid("CONFIG_INVALID",
                   absl::StrCat("workers is ", options.workers,
                                "; give 0 (choose) to 1024"));
  }
  if (options.workers == 0) options.workers = DetectCpuBudget().cpus;
  if (options.max_working_bytes == 0) {
    options.max_working_bytes = DetectMemoryBudget().bytes / 2;
  }
  if (options.max_concurrent_documents < 1 || options.max_batch_chunks < 1 ||
      options.max_document_bytes < 1 || options.max_pending_bytes < 1) {
    return Invalid("CONFIG_INVALID",
                   "max_concurrent_documents, max_batch_chunks, "
                   "max_document_bytes and max_pending_bytes must be at least "
                   "1");
  }
  options.defaults = BuiltInDefaults(model, options.defaults);
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Create(
    std::shared_ptr<const Model> model, EncoderOptions options) {
  LH_ASSIGN_OR_RETURN(EncoderOptions resolved,
                      ResolveEncoderOptions(*model, std::move(options)));
  auto encoder =
      std::make_unique<EncoderImpl>(std::move(model), std::move(resolved));
  // The defaults must be a valid choice themselves.
  LH_RETURN_IF_ERROR(encoder->ResolveOptions({}).status());
  return encoder;
}

}  // namespace longhand
