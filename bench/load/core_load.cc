#include "bench/load/core_load.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"

namespace longhand::load {
namespace {

struct Ended {
  uint64_t index = 0;  // of the request
  std::chrono::steady_clock::time_point time;
  absl::StatusOr<EncodeSummary> summary = absl::UnknownError("");
};

// What the workers tell the thread that opens documents.
class EndQueue {
 public:
  void Push(Ended ended) {
    absl::MutexLock lock(&mu_);
    ended_.push_back(std::move(ended));
  }
  // nullopt: none came within `patience`.
  std::optional<Ended> Pop(absl::Duration patience) {
    absl::MutexLock lock(&mu_);
    const auto any = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return !ended_.empty();
    };
    if (!mu_.AwaitWithTimeout(absl::Condition(&any), patience)) {
      return std::nullopt;
    }
    Ended first = std::move(ended_.front());
    ended_.pop_front();
    return first;
  }

 private:
  absl::Mutex mu_;
  std::deque<Ended> ended_ ABSL_GUARDED_BY(mu_);
};

// Takes the results as a server would and drops them.
class LoadSink final : public EncodeSink {
 public:
  LoadSink(uint64_t index, std::shared_ptr<EndQueue> queue)
      : index_(index), queue_(std::move(queue)) {}

  void OnChunk(ChunkResult) override {}
  void OnTokens(TokenResult) override {}
  void OnHeadWeights(HeadWeightsResult) override {}
  void OnSpan(SpanResult) override {}
  void OnProgress(const EncodeProgress&) override {}
  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    queue_->Push(
        {index_, std::chrono::steady_clock::now(), std::move(summary)});
  }

 private:
  const uint64_t index_;
  // A document that was cancelled may end after the run.
  const std::shared_ptr<EndQueue> queue_;
};

class Run {
 public:
  Run(Encoder& encoder, const client::LoadPlan& plan,
      const client::LoadCorpus& corpus, const CoreLoadOptions& options)
      : encoder_(encoder), plan_(plan), corpus_(corpus), options_(options) {
    result_.classes.resize(plan.mix().size());
    documents_.resize(options.requests);
  }

  absl::StatusOr<CoreLoadResult> Measure() {
    const documents::Stopwatch stopwatch;
    int begun = 0;  // clients
    for (uint64_t ended = 0; ended < options_.requests;) {
      absl::Duration wait = absl::InfiniteDuration();
      if (begun < options_.clients) {
        wait = options_.ramp_up * begun / options_.clients -
               stopwatch.Elapsed().wall;
      }
      if (wait <= absl::ZeroDuration()) {
        ++begun;
        LH_RETURN_IF_ERROR(OpenNext());
      } else if (std::optional<Ended> end = queue_->Pop(wait)) {
        ++ended;
        LH_RETURN_IF_ERROR(TakeEnd(*std::move(end)));
        LH_RETURN_IF_ERROR(OpenNext());
      }
    }
    result_.time = stopwatch.Elapsed();
    return std::move(result_);
  }

 private:
  struct Open {
    size_t class_index = 0;
    std::chrono::steady_clock::time_point begin;
    std::shared_ptr<Document> document;
  };

  absl::Status OpenNext() {
    if (opened_ == options_.requests) return absl::OkStatus();
    const uint64_t index = opened_++;
    Open& open = documents_[index];
    const client::PlannedDocument planned = plan_.Get(index);
    open.class_index = planned.class_index;
    open.begin = std::chrono::steady_clock::now();
    const client::DocumentCut cut = corpus_.Cut(planned);
    std::string text = corpus_.CopyText(cut, 0, cut.size);
    LH_ASSIGN_OR_RETURN(open.document, encoder_.Open({}, absl::InfiniteFuture(),
                                                     std::make_shared<LoadSink>(
                                                         index, queue_)));
    open.document->Append(std::move(text));
    open.document->Finish();
    return absl::OkStatus();
  }

  absl::Status TakeEnd(Ended ended) {
    LH_ASSIGN_OR_RETURN(const EncodeSummary summary, std::move(ended.summary));
    Open& open = documents_[ended.index];
    open.document.reset();
    ClassResult& own = result_.classes[open.class_index];
    ++own.documents;
    own.tokens += summary.received_tokens;
    own.latency.Record(absl::FromChrono(ended.time - open.begin));
    return absl::OkStatus();
  }

  Encoder& encoder_;
  const client::LoadPlan& plan_;
  const client::LoadCorpus& corpus_;
  const CoreLoadOptions options_;
  const std::shared_ptr<EndQueue> queue_ = std::make_shared<EndQueue>();
  std::vector<Open> documents_;  // by request
  uint64_t opened_ = 0;
  CoreLoadResult result_;
};

}  // namespace

absl::StatusOr<CoreLoadResult> RunCoreLoad(Encoder& encoder,
                                           const client::LoadPlan& plan,
                                           const client::LoadCorpus& corpus,
                                           const CoreLoadOptions& options) {
  return Run(encoder, plan, corpus, options).Measure();
}

}  // namespace longhand::load
