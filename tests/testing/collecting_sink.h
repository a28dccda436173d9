// CollectingSink: an EncodeSink that keeps everything and lets a test wait for
// the end. Thread-safe.
#ifndef LONGHAND_TESTS_TESTING_COLLECTING_SINK_H_
#define LONGHAND_TESTS_TESTING_COLLECTING_SINK_H_

#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/engine/encode_types.h"

namespace longhand::testing {

class CollectingSink : public EncodeSink {
 public:
  void OnChunk(ChunkResult chunk) override {
    absl::MutexLock lock(&mu_);
    chunks_.push_back(std::move(chunk));
  }
  void OnTokens(TokenResult tokens) override {
    absl::MutexLock lock(&mu_);
    tokens_.push_back(std::move(tokens));
  }
  void OnHeadWeights(HeadWeightsResult weights) override {
    absl::MutexLock lock(&mu_);
    head_weights_.push_back(std::move(weights));
  }
  void OnSpan(SpanResult span) override {
    absl::MutexLock lock(&mu_);
    spans_.push_back(std::move(span));
  }
  void OnProgress(const EncodeProgress& progress) override {
    absl::MutexLock lock(&mu_);
    progress_.push_back(progress);
  }
  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    absl::MutexLock lock(&mu_);
    ++done_count_;
    summary_ = std::move(summary);
  }

  // Waits for OnDone.
  absl::StatusOr<EncodeSummary> Wait() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](CollectingSink* self) { return self->summary_.has_value(); },
        this));
    return *summary_;
  }
  // Waits until at least `count` chunks came or the document ended.
  void WaitForChunks(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto ready = [this, count] {
      return chunks_.size() >= count || summary_.has_value();
    };
    mu_.Await(absl::Condition(&ready));
  }

  void WaitForTokens(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto ready = [this, count] {
      return tokens_.size() >= count || summary_.has_value();
    };
    mu_.Await(absl::Condition(&ready));
  }

  std::vector<ChunkResult> chunks() {
    absl::MutexLock lock(&mu_);
    return chunks_;
  }
  std::vector<TokenResult> tokens() {
    absl::MutexLock lock(&mu_);
    return tokens_;
  }
  std::vector<HeadWeightsResult> head_weights() {
    absl::MutexLock lock(&mu_);
    return head_weights_;
  }
  std::vector<SpanResult> spans() {
    absl::MutexLock lock(&mu_);
    return spans_;
  }
  std::vector<EncodeProgress> progress() {
    absl::MutexLock lock(&mu_);
    return progress_;
  }
  int done_count() {
    absl::MutexLock lock(&mu_);
    return done_count_;
  }

 private:
  absl::Mutex mu_;
  std::vector<ChunkResult> chunks_;
  std::vector<TokenResult> tokens_;
  std::vector<HeadWeightsResult> head_weights_;
  std::vector<SpanResult> spans_;
  std::vector<EncodeProgress> progress_;
  std::optional<absl::StatusOr<EncodeSummary>> summary_;
  int done_count_ = 0;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_COLLECTING_SINK_H_
