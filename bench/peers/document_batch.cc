#include "bench/peers/document_batch.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand::peers {
namespace {

// Keeps the results of one document. No lock: an encoder calls one sink from
// one thread at a time, and the counter orders the last call before whoever
// waits for it.
class BatchSink final : public EncodeSink {
 public:
  explicit BatchSink(std::shared_ptr<absl::BlockingCounter> open)
      : open_(std::move(open)) {}

  void OnChunk(ChunkResult chunk) override {
    vectors_.insert(vectors_.end(), chunk.vector.begin(), chunk.vector.end());
  }
  void OnTokens(TokenResult) override {}
  void OnHeadWeights(HeadWeightsResult) override {}
  void OnSpan(SpanResult) override {}
  void OnProgress(const EncodeProgress&) override {}
  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    summary_ = std::move(summary);
    open_->DecrementCount();
  }

  // After OnDone.
  const absl::StatusOr<EncodeSummary>& summary() const { return *summary_; }
  const std::vector<float>& chunk_vectors() const { return vectors_; }

 private:
  const std::shared_ptr<absl::BlockingCounter> open_;
  std::vector<float> vectors_;
  std::optional<absl::StatusOr<EncodeSummary>> summary_;
};

void AddResult(const BatchSink& sink, bool document_vector,
               BatchResult* result) {
  const EncodeSummary& summary = *sink.summary();
  result->encoded_tokens += summary.encoded_tokens;
  result->content_tokens += summary.received_tokens;
  result->chunks += summary.chunk_count;
  result->mechanism = summary.options.mechanism;
  result->state_bytes += summary.state_bytes;
  result->peak_working_bytes =
      std::max(result->peak_working_bytes, summary.peak_working_bytes);
  const std::vector<float>& vectors =
      document_vector ? summary.document_vector : sink.chunk_vectors();
  result->vectors.insert(result->vectors.end(), vectors.begin(), vectors.end());
}

}  // namespace

absl::StatusOr<BatchResult> EncodeBatch(Encoder& encoder,
                                        const EncodeOptions& options,
                                        const TokenDocuments& batch) {
  const auto open =
      std::make_shared<absl::BlockingCounter>(static_cast<int>(batch.size()));
  std::vector<std::shared_ptr<BatchSink>> sinks(batch.size());
  std::vector<std::shared_ptr<Document>> running(batch.size());
  const documents::Stopwatch stopwatch;
  for (size_t i = 0; i < batch.size(); ++i) {
    sinks[i] = std::make_shared<BatchSink>(open);
    LH_ASSIGN_OR_RETURN(
        running[i], encoder.Open(options, absl::InfiniteFuture(), sinks[i]));
    running[i]->AppendIds(batch[i]);
    running[i]->Finish();
  }
  open->Wait();
  BatchResult result;
  result.time = stopwatch.Elapsed();
  for (size_t i = 0; i < batch.size(); ++i) {
    const absl::Status status = sinks[i]->summary().status();
    if (!status.ok()) {
      return WithContext(status, "DOCUMENT_FAILED",
                         absl::StrCat("document ", i + 1));
    }
    AddResult(*sinks[i], options.document_vector, &result);
  }
  return result;
}

}  // namespace longhand::peers
