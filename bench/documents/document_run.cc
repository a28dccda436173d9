#include "bench/documents/document_run.h"

#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"

namespace longhand::documents {
namespace {

absl::Duration ReadClock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return absl::DurationFromTimespec(now);
}

// Hands chunks on and lets the caller wait for room and for the end.
class RunSink final : public EncodeSink {
 public:
  explicit RunSink(RunCallbacks callbacks) : callbacks_(std::move(callbacks)) {}

  void OnChunk(ChunkResult chunk) override {
    if (callbacks_.on_chunk) callbacks_.on_chunk(std::move(chunk));
  }
  void OnTokens(TokenResult) override {}
  void OnHeadWeights(HeadWeightsResult) override {}
  void OnSpan(SpanResult span) override {
    if (callbacks_.on_span) callbacks_.on_span(std::move(span));
  }
  void OnProgress(const EncodeProgress& progress) override {
    if (callbacks_.on_progress) callbacks_.on_progress(progress);
  }
  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    absl::MutexLock lock(&mu_);
    summary_ = std::move(summary);
  }

  void TakeRoom() {
    absl::MutexLock lock(&mu_);
    has_room_ = false;
  }
  void GiveRoom() {
    absl::MutexLock lock(&mu_);
    has_room_ = true;
  }
  // False if the document has ended.
  bool AwaitRoom() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](RunSink* self) {
          self->mu_.AssertHeld();
          return self->has_room_ || self->summary_.has_value();
        },
        this));
    return !summary_.has_value();
  }
  absl::StatusOr<EncodeSummary> AwaitDone() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](RunSink* self) {
          self->mu_.AssertHeld();
          return self->summary_.has_value();
        },
        this));
    return *std::move(summary_);
  }

 private:
  const RunCallbacks callbacks_;
  absl::Mutex mu_;
  bool has_room_ ABSL_GUARDED_BY(mu_) = true;
  std::optional<absl::StatusOr<EncodeSummary>> summary_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

ElapsedTime Stopwatch::Now() {
  return {ReadClock(CLOCK_MONOTONIC), ReadClock(CLOCK_PROCESS_CPUTIME_ID)};
}

ElapsedTime Stopwatch::Elapsed() const {
  const ElapsedTime now = Now();
  return {now.wall - start_.wall, now.cpu - start_.cpu};
}

absl::StatusOr<DocumentRun> EncodeDocument(Encoder& encoder,
                                           const EncodeOptions& options,
                                           DocumentFeed feed,
                                           RunCallbacks callbacks) {
  const Stopwatch stopwatch;
  auto sink = std::make_shared<RunSink>(std::move(callbacks));
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<Document> document,
                      encoder.Open(options, absl::InfiniteFuture(), sink));
  while (std::optional<Content> piece = feed.Next()) {
    sink->TakeRoom();
    auto consumed = [sink] { sink->GiveRoom(); };
    if (auto* text = std::get_if<std::string>(&*piece)) {
      document->Append(std::move(*text), consumed);
    } else {
      document->AppendIds(std::get<std::vector<int32_t>>(*std::move(piece)),
                          consumed);
    }
    if (!sink->AwaitRoom()) break;
  }
  document->Finish();
  DocumentRun run;
  LH_ASSIGN_OR_RETURN(run.summary, sink->AwaitDone());
  run.time = stopwatch.Elapsed();
  return run;
}

}  // namespace longhand::documents
