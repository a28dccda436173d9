#include "tests/testing/fake_encoder.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"

namespace longhand::testing {

class FakeDocument : public Document,
                     public std::enable_shared_from_this<FakeDocument> {
 public:
  FakeDocument(FakeEncoder* encoder, EncodeOptions options, absl::Time deadline,
               std::shared_ptr<EncodeSink> sink)
      : encoder_(encoder),
        options_(std::move(options)),
        deadline_(deadline),
        sink_(std::move(sink)) {}

  void Append(std::string text, absl::AnyInvocable<void()> consumed) override {
    if (unconsumed_.exchange(consumed != nullptr)) {
      encoder_->Update([](auto& stats) { ++stats.overlapping_appends; });
    }
    encoder_->Run([self = shared_from_this(), text = std::move(text),
                   consumed = std::move(consumed)]() mutable {
      self->Take(std::move(text), std::move(consumed));
    });
  }

  void AppendIds(std::vector<int32_t> ids,
                 absl::AnyInvocable<void()> consumed) override {
    std::string text(ids.size(), 'x');
    Append(std::move(text), std::move(consumed));
  }

  void Finish() override {
    encoder_->Run([self = shared_from_this()] {
      self->finishing_ = true;
      self->Step();
    });
  }

  void Cancel(absl::Status why) override {
    encoder_->Run(
        [self = shared_from_this(), why = std::move(why)] { self->End(why); });
  }

  void ResumeOutput() override {
    encoder_->Update([](auto& stats) { ++stats.resumes; });
    encoder_->Run([self = shared_from_this()] { self->Step(); });
  }

  // The rest runs on the worker.
  void Step() {
    if (sink_ == nullptr) return;
    if (absl::Now() >= deadline_) {
      return End(MakeError(absl::StatusCode::kDeadlineExceeded,
                           "DEADLINE_EXCEEDED", "too late"));
    }
    if (absl::StartsWith(text_, "hold") && encoder_->held()) return;
    const size_t chunk_bytes = encoder_->options_.bytes_per_chunk;
    while (encoded_ + chunk_bytes <= text_.size()) {
      if (!EmitChunk(chunk_bytes)) return;
    }
    if (!finishing_) return;
    if (encoded_ < text_.size() && !EmitChunk(text_.size() - encoded_)) return;
    Complete();
  }

 private:
  void Take(std::string text, absl::AnyInvocable<void()> consumed) {
    text_ += text;
    Step();
    unconsumed_ = false;
    if (consumed) std::move(consumed)();
  }

  bool EmitChunk(size_t size) {
    if (!sink_->CanAccept()) {
      encoder_->Update([](auto& stats) { ++stats.refusals; });
      return false;
    }
    const auto hidden = static_cast<size_t>(encoder_->options_.hidden_size);
    ChunkResult chunk;
    chunk.index = chunks_++;
    chunk.begin_byte = chunk.begin_token = encoded_;
    chunk.end_byte = chunk.end_token = encoded_ + size;
    chunk.vector.assign(hidden, static_cast<float>(chunk.index));
    if (options_.retrieval_weights) chunk.retrieval_weights = EvenWeights();
    if (options_.anchor_weight.value_or(0) > 0) {
      chunk.mix = {.anchor_weight = *options_.anchor_weight};
    }
    encoded_ += size;
    TokenResult tokens = {.chunk_index = chunk.index,
                          .begin_token = chunk.begin_token};
    if (options_.token_vectors) {
      for (size_t i = chunk.begin_token; i < chunk.end_token; ++i) {
        tokens.ids.push_back(static_cast<unsigned char>(text_[i]));
        tokens.begin.push_back(i);
        tokens.end.push_back(i + 1);
      }
      tokens.vectors.assign(size * hidden, 1.0F);
    }
    encoder_->Update([](auto& stats) { ++stats.chunks; });
    sink_->OnChunk(std::move(chunk));
    if (options_.token_vectors && sink_ != nullptr) {
      sink_->OnTokens(std::move(tokens));
    }
    EmitHeadWeights();
    EmitSpans(encoded_ - size);
    if (sink_ == nullptr) return false;
    sink_->OnProgress({.received_bytes = text_.size(),
                       .received_tokens = text_.size(),
                       .encoded_tokens = encoded_});
    return true;
  }

  // Of the chunk that was counted last.
  std::vector<float> EvenWeights() const {
    std::vector<float> weights(static_cast<size_t>(chunks_));
    for (int64_t i = 0; i + 1 < chunks_; ++i) {
      weights[static_cast<size_t>(i)] = 1.0F / static_cast<float>(chunks_ - 1);
    }
    return weights;
  }

  void EmitHeadWeights() {
    for (int layer = 0; options_.head_weights && layer < kFakeLayers; ++layer) {
      HeadWeightsResult weights = {.chunk_index = chunks_ - 1, .layer = layer};
      for (int head = 0; head < kFakeHeads; ++head) {
        const std::vector<float> row = EvenWeights();
        weights.weights.insert(weights.weights.end(), row.begin(), row.end());
      }
      if (sink_ != nullptr) sink_->OnHeadWeights(std::move(weights));
    }
  }

  // Those that end in the last chunk, which began at byte `begin`.
  void EmitSpans(size_t begin) {
    for (size_t i = 0; i < options_.spans.size(); ++i) {
      const ByteSpan& span = options_.spans[i];
      if (span.end <= begin || span.end > encoded_ || sink_ == nullptr)
        continue;
      SpanResult result = {.index = static_cast<int64_t>(i),
                           .span = span,
                           .begin_token = span.begin,
                           .end_token = span.end,
                           .norm = 2};
      result.vector.assign(static_cast<size_t>(encoder_->options_.hidden_size),
                           100.0F + static_cast<float>(i));
      sink_->OnSpan(std::move(result));
    }
  }

  void Complete() {
    if (text_.empty()) {
      return End(MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_DOCUMENT",
                           "the document is empty"));
    }
    EncodeSummary summary;
    summary.document_vector.assign(
        static_cast<size_t>(encoder_->options_.hidden_size), 0.5F);
    summary.received_bytes = summary.received_tokens = text_.size();
    summary.encoded_tokens = encoded_;
    summary.chunk_count = chunks_;
    summary.options = options_;
    summary.timings.total = absl::Milliseconds(1500);
    End(std::move(summary));
  }

  void End(absl::StatusOr<EncodeSummary> result) {
    if (sink_ == nullptr) return;
    std::shared_ptr<EncodeSink> sink = std::move(sink_);
    const absl::Status status = result.status();
    encoder_->Update([&status](auto& stats) {
      ++stats.done;
      stats.endings.push_back(status);
    });
    sink->OnDone(std::move(result));
  }

  FakeEncoder* const encoder_;
  const EncodeOptions options_;
  const absl::Time deadline_;
  std::atomic<bool> unconsumed_{false};
  // On the worker only.
  std::shared_ptr<EncodeSink> sink_;
  std::string text_;
  size_t encoded_ = 0;
  int64_t chunks_ = 0;
  bool finishing_ = false;
};

FakeEncoder::FakeEncoder(FakeEncoderOptions options)
    : options_(std::move(options)), worker_([this] { Work(); }) {}

FakeEncoder::~FakeEncoder() {
  std::vector<std::weak_ptr<FakeDocument>> documents;
  {
    absl::MutexLock lock(&mu_);
    documents = documents_;
  }
  for (const auto& weak : documents) {
    if (auto document = weak.lock()) {
      document->Cancel(MakeError(absl::StatusCode::kUnavailable,
                                 "SHUTTING_DOWN", "shutting down"));
    }
  }
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  worker_.join();
}

absl::StatusOr<std::shared_ptr<Document>> FakeEncoder::Open(
    const EncodeOptions& options, absl::Time deadline,
    std::shared_ptr<EncodeSink> sink) {
  absl::StatusOr<EncodeOptions> resolved = ResolveOptions(options);
  if (!resolved.ok()) return resolved.status();
  if (open_documents() >= options_.encoder.max_concurrent_documents) {
    return MakeError(absl::StatusCode::kUnavailable, "OVERLOADED",
                     "too many documents are open; try again later");
  }
  auto document =
      std::make_shared<FakeDocument>(this, *resolved, deadline, sink);
  absl::MutexLock lock(&mu_);
  ++stats_.opened;
  stats_.max_open = std::max(stats_.max_open, stats_.opened - stats_.done);
  documents_.push_back(document);
  return document;
}

void FakeEncoder::Run(absl::AnyInvocable<void()> work) {
  absl::MutexLock lock(&mu_);
  tasks_.push_back(std::move(work));
}

absl::Status FakeEncoder::RunPass(ForwardPass& pass, const PassLimits&) {
  ComputeContext compute;
  pass.RunAll(compute);
  return absl::OkStatus();
}

absl::StatusOr<EncodeOptions> FakeEncoder::ResolveOptions(
    const EncodeOptions& options) const {
  if (options.mechanism == "missing") {
    return MakeError(absl::StatusCode::kInvalidArgument, "MECHANISM_UNKNOWN",
                     "no such mechanism");
  }
  EncodeOptions resolved = options;
  if (resolved.mechanism.empty()) resolved.mechanism = "bsbr";
  return resolved;
}

const Model& FakeEncoder::model() const {
  LH_CHECK(false);
  std::abort();
}

const EncoderOptions& FakeEncoder::options() const { return options_.encoder; }

int FakeEncoder::open_documents() const {
  absl::MutexLock lock(&mu_);
  return stats_.opened - stats_.done;
}

void FakeEncoder::ReleaseHeld() {
  std::vector<std::weak_ptr<FakeDocument>> documents;
  {
    absl::MutexLock lock(&mu_);
    held_ = false;
    documents = documents_;
  }
  for (const auto& weak : documents) {
    if (auto document = weak.lock()) Run([document] { document->Step(); });
  }
}

FakeEncoderStats FakeEncoder::stats() const {
  absl::MutexLock lock(&mu_);
  return stats_;
}

bool FakeEncoder::WaitFor(
    std::function<bool(const FakeEncoderStats&)> condition) const {
  absl::MutexLock lock(&mu_);
  auto holds = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return condition(stats_);
  };
  return mu_.AwaitWithTimeout(absl::Condition(&holds), absl::Minutes(1));
}

void FakeEncoder::Update(std::function<void(FakeEncoderStats&)> update) {
  absl::MutexLock lock(&mu_);
  update(stats_);
}

bool FakeEncoder::held() const {
  absl::MutexLock lock(&mu_);
  return held_;
}

void FakeEncoder::Work() {
  for (;;) {
    absl::AnyInvocable<void()> task;
    {
      absl::MutexLock lock(&mu_);
      auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !tasks_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task)();
  }
}

ServedModel FakeServedModel(int hidden_size) {
  ServedModel model;
  model.info.name = "fake";
  model.info.fingerprint = "00ff";
  model.info.requested_precision = "fp32";
  model.info.stored_precision = "bf16";
  model.info.effective_precision = "fp32";
  model.info.onednn_version = "2.6.3";
  model.info.isa = "avx2";
  model.info.adapter_fingerprint = "aa55";
  model.config.family = "bert";
  model.config.hidden_size = hidden_size;
  model.config.num_layers = kFakeLayers;
  model.config.num_heads = kFakeHeads;
  model.config.vocab_size = 1000;
  model.config.position_rows = 512;
  model.special_tokens_per_chunk = 2;
  model.normalized = true;
  model.default_options.mechanism = "bsbr";
  model.default_options.visibility = Visibility::kCausal;
  model.default_options.gate = 0.5F;
  model.default_options.chunker = "fixed";
  model.default_options.chunk_tokens = 128;
  model.default_options.pooling = "mean";
  model.mechanisms = {"bsbr", "independent"};
  model.state_codecs = {"bf16", "f32"};
  model.chunkers = {"fixed"};
  model.poolings = {"cls", "max", "mean"};
  return model;
}

}  // namespace longhand::testing
