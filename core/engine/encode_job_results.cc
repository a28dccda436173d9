#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/engine/chunk_batch.h"
#include "core/engine/encode_job.h"

namespace longhand {

absl::Status EncodeJob::EmitComputed(EncodeSink& sink) {
  const int i = emitted_;
  const Chunk& chunk = batch_[size_t(i)];
  const size_t hidden = size_t(model_->config().output_size());
  std::vector<float> gathered;
  const absl::Span<const float> states =
      PooledRows(*model_, *pass_, i, chunk, &gathered);
  const int rows = static_cast<int>(states.size() / hidden);
  LH_ASSIGN_OR_RETURN(
      std::vector<float> pooled,
      PoolRows(*pooler_, states, static_cast<int>(hidden), num_chunks_));
  pooler_->AddChunk(pooled, rows, &pooled_document_);
  context_.AddChunk(pooled);
  Results results;
  results.chunk = MakeChunkResult(i, std::move(pooled));
  LH_RETURN_IF_ERROR(PoolSpans(i, results.chunk, &results.spans));
  // What can be large does not wait.
  if (context_.waits_for_document()) {
    EmitDetails(i, sink);
    held_bytes_ += BytesOf(results);
    held_.push_back(std::move(results));
  } else {
    std::vector<SpanResult> spans = std::move(results.spans);
    EmitChunkResult(std::move(results.chunk), sink);
    EmitDetails(i, sink);
    EmitSpans(std::move(spans), sink);
  }
  KeepState(i);
  ++num_chunks_;
  encoded_tokens_ += uint64_t(chunk.size());
  return absl::OkStatus();
}

void EncodeJob::EmitChunkResult(ChunkResult chunk, EncodeSink& sink) const {
  if (options_.encode.chunk_vectors) {
    chunk.mix = context_.Apply(absl::MakeSpan(chunk.vector));
  } else {
    chunk.vector.clear();
  }
  sink.OnChunk(std::move(chunk));
}

void EncodeJob::EmitDetails(int index, EncodeSink& sink) const {
  if (options_.encode.token_vectors) sink.OnTokens(MakeTokenResult(index));
  for (HeadWeightsResult& weights : MakeHeadWeights(index)) {
    sink.OnHeadWeights(std::move(weights));
  }
}

void EncodeJob::EmitSpans(std::vector<SpanResult> spans,
                          EncodeSink& sink) const {
  for (SpanResult& span : spans) {
    span.mix = context_.Apply(absl::MakeSpan(span.vector));
    sink.OnSpan(std::move(span));
  }
}

void EncodeJob::EmitHeld(EncodeSink& sink) {
  Results results = std::move(held_.front());
  held_.pop_front();
  held_bytes_ -= BytesOf(results);
  EmitChunkResult(std::move(results.chunk), sink);
  EmitSpans(std::move(results.spans), sink);
}

uint64_t EncodeJob::BytesOf(const Results& results) {
  uint64_t floats =
      results.chunk.vector.size() + results.chunk.retrieval_weights.size();
  for (const SpanResult& span : results.spans) floats += span.vector.size();
  return sizeof(Results) + results.spans.size() * sizeof(SpanResult) +
         floats * sizeof(float);
}

const float* EncodeJob::OwnHidden(int index) const {
  return pass_->hidden(index) + int64_t{pass_->input(index).own_begin} *
                                    model_->config().output_size();
}

uint64_t EncodeJob::EndByte(const Chunk& chunk) const {
  if (kind_ == Kind::kIds) return 0;
  const int64_t next = chunk.end - first_token_;
  // A chunk is final once the token after it is known, or the content's end.
  return next < int64_t(tokens_.size()) ? tokens_.begin[next]
                                        : text_->received_bytes();
}

ChunkResult EncodeJob::MakeChunkResult(int index, std::vector<float> pooled) {
  const Chunk& chunk = batch_[size_t(index)];
  ChunkResult result;
  result.index = num_chunks_;
  result.begin_byte = next_begin_byte_;
  result.end_byte = next_begin_byte_ = EndByte(chunk);
  result.begin_token = uint64_t(chunk.begin);
  result.end_token = uint64_t(chunk.end);
  result.norm = NormL2(pooled);
  result.vector = std::move(pooled);
  const absl::Span<const float> weights = pass_->retrieval_weights(index);
  if (!weights.empty()) {
    result.retrieval_weights.assign(weights.begin(),
                                    weights.begin() + visible_chunks());
  }
  return result;
}

int64_t EncodeJob::visible_chunks() const {
  // A causal chunk sees itself and those before it, whatever its batch holds.
  return *options_.encode.visibility == Visibility::kCausal
             ? num_chunks_ + 1
             : int64_t(pass_->slots());
}

TokenResult EncodeJob::MakeTokenResult(int index) const {
  const Chunk& chunk = batch_[size_t(index)];
  const auto begin = chunk.begin - first_token_;
  const auto end = chunk.end - first_token_;
  TokenResult result;
  result.chunk_index = num_chunks_;
  result.begin_token = uint64_t(chunk.begin);
  result.ids.assign(tokens_.ids.begin() + begin, tokens_.ids.begin() + end);
  if (kind_ == Kind::kText) {
    result.begin.assign(tokens_.begin.begin() + begin,
                        tokens_.begin.begin() + end);
    result.end.assign(tokens_.end.begin() + begin, tokens_.end.begin() + end);
  }
  const float* hidden = OwnHidden(index);
  result.vectors.assign(hidden,
                        hidden + chunk.size() * model_->config().output_size());
  return result;
}

std::vector<HeadWeightsResult> EncodeJob::MakeHeadWeights(int index) const {
  std::vector<HeadWeightsResult> results;
  const absl::Span<const float> weights = pass_->head_weights(index);
  if (weights.empty()) return results;
  const ModelConfig& config = model_->config();
  const int64_t visible = visible_chunks();
  const float* row = weights.data();
  for (int layer = 0; layer < config.num_layers; ++layer) {
    HeadWeightsResult& result = results.emplace_back();
    result.chunk_index = num_chunks_;
    result.layer = layer;
    for (int head = 0; head < config.num_heads; ++head) {
      result.weights.insert(result.weights.end(), row, row + visible);
      row += pass_->slots();
    }
  }
  return results;
}

absl::Status EncodeJob::PoolSpans(int index, const ChunkResult& chunk,
                                  std::vector<SpanResult>* spans) {
  if (!spans_) return absl::OkStatus();
  const Chunk& place = batch_[size_t(index)];
  const size_t begin = size_t(place.begin - first_token_);
  const size_t size = size_t(place.size());
  LH_RETURN_IF_ERROR(spans_->Add(
      {.first = place.begin,
       .begin = absl::MakeConstSpan(tokens_.begin).subspan(begin, size),
       .end = absl::MakeConstSpan(tokens_.end).subspan(begin, size),
       .hidden = OwnHidden(index),
       .hidden_size = model_->config().output_size()},
      chunk.end_byte, spans));
  const bool is_last = content_ended_ && place.end == received_tokens_;
  if (!is_last) return absl::OkStatus();
  return spans_->Finish(text_->received_bytes(), spans);
}

EncodeProgress EncodeJob::progress() const {
  EncodeProgress progress;
  progress.received_bytes = kind_ == Kind::kText ? text_->received_bytes() : 0;
  progress.received_tokens = uint64_t(received_tokens_);
  double done = double(encoded_tokens_);
  if (pass_ != nullptr) {
    // What is computed counts until its chunks are handed over, and then too.
    const int64_t begin = batch_[size_t(emitted_)].begin;
    done += pass_->progress() * double(batch_.back().end - begin);
  }
  if (attention_->needs_two_passes()) {
    if (!first_pass_.empty()) done += double(first_pass_.back().end);
    done /= 2;
  }
  progress.encoded_tokens = static_cast<uint64_t>(done);
  return progress;
}

EncodeSummary EncodeJob::Summarize() const {
  LH_CHECK(all_computed() && held_.empty());
  EncodeSummary summary;
  if (options_.encode.document_vector) {
    summary.document_vector.resize(size_t(model_->config().output_size()));
    pooler_->Finish(pooled_document_, absl::MakeSpan(summary.document_vector));
    if (model_->normalize()) {
      NormalizeL2(absl::MakeSpan(summary.document_vector));
    }
  }
  summary.received_bytes = kind_ == Kind::kText ? text_->received_bytes() : 0;
  summary.received_tokens = uint64_t(received_tokens_);
  summary.encoded_tokens = encoded_rows_;
  summary.chunk_count = num_chunks_;
  summary.state_bytes = state_bytes_;
  summary.peak_working_bytes = peak_working_bytes_;
  summary.options = options_.encode;
  // The results carry them.
  summary.options.spans.clear();
  return summary;
}

}  // namespace longhand
