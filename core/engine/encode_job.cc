#include "core/engine/encode_job.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/chunking/registry.h"
#include "core/pooling/registry.h"

namespace longhand {
namespace {

StateFingerprint MakeFingerprint(const Model& model,
                                 const EncodeOptions& options) {
  Sha256 hash;
  hash.UpdateField(model.info().fingerprint);
  hash.UpdateField(options.mechanism);
  hash.UpdateField(VisibilityName(*options.visibility));
  hash.UpdateField(absl::StrCat(*options.gate));
  hash.UpdateField(options.chunker);
  hash.UpdateField(absl::StrCat(*options.chunk_tokens));
  return hash.Digest();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeAttention(
    const ModelConfig& config, const EncodeOptions& options) {
  LH_ASSIGN_OR_RETURN(AttentionFactory * make,
                      AttentionRegistry().Find(options.mechanism));
  return make({.num_heads = config.num_heads,
               .head_dim = config.head_dim(),
               .num_layers = config.num_layers,
               .visibility = *options.visibility,
               .gate = *options.gate});
}

absl::StatusOr<std::unique_ptr<EncodeJob>> EncodeJob::Create(
    std::shared_ptr<const Model> model, const EncodeJobOptions& options,
    WorkingMemory* memory) {
  const EncodeOptions& encode = options.encode;
  auto job = std::unique_ptr<EncodeJob>(
      new EncodeJob(std::move(model), options, memory));
  LH_ASSIGN_OR_RETURN(job->attention_,
                      MakeAttention(job->model_->config(), encode));
  LH_ASSIGN_OR_RETURN(ChunkerFactory * make_chunker,
                      ChunkerRegistry().Find(encode.chunker));
  const int specials = static_cast<int>(job->model_->prefix_ids().size() +
                                        job->model_->suffix_ids().size());
  LH_ASSIGN_OR_RETURN(
      job->chunker_,
      make_chunker({.max_tokens = *encode.chunk_tokens - specials}));
  LH_ASSIGN_OR_RETURN(PoolerFactory * make_pooler,
                      PoolerRegistry().Find(encode.pooling));
  LH_ASSIGN_OR_RETURN(job->pooler_, make_pooler());
  return job;
}

EncodeJob::EncodeJob(std::shared_ptr<const Model> model,
                     const EncodeJobOptions& options, WorkingMemory* memory)
    : model_(std::move(model)),
      options_(options),
      fingerprint_(MakeFingerprint(*model_, options.encode)),
      memory_(memory) {
  if (model_->tokenizer() != nullptr) text_.emplace(model_->tokenizer());
}

absl::Status EncodeJob::CheckKind(bool is_text) {
  const Kind kind = is_text ? Kind::kText : Kind::kIds;
  if (kind_ == Kind::kUnknown) kind_ = kind;
  if (kind_ == kind) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "MIXED_CONTENT",
                   "a document is given either as text or as token ids; this "
                   "one has both, send two documents");
}

absl::Status EncodeJob::CheckLength(uint64_t more_bytes) const {
  const uint64_t length =
      (kind_ == Kind::kText ? text_->received_bytes() : 4 * received_ids_) +
      more_bytes;
  if (length <= options_.max_document_bytes) return absl::OkStatus();
  const std::string unit =
      kind_ == Kind::kText ? " bytes" : " bytes (4 for each token id)";
  return MakeError(
      absl::StatusCode::kResourceExhausted, "DOCUMENT_TOO_LONG",
      absl::StrCat("the document is too long: ", length, unit,
                   " received so far, the limit is ",
                   options_.max_document_bytes,
                   "; send it as several documents, or have the operator raise "
                   "the server's limit (--max-document-bytes)"),
      {{"limit_bytes", absl::StrCat(options_.max_document_bytes)},
       {"length_bytes", absl::StrCat(length)}});
}

absl::Status EncodeJob::AddText(std::string_view text) {
  if (!text_) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TOKENIZER_MISSING",
                     "the model is served without a tokenizer; send token ids");
  }
  LH_RETURN_IF_ERROR(CheckKind(/*is_text=*/true));
  LH_RETURN_IF_ERROR(CheckLength(text.size()));
  TokenSequence tokens;
  LH_RETURN_IF_ERROR(text_->Append(text, &tokens));
  TakeTokens(tokens);
  return ReserveForContent();
}

absl::Status EncodeJob::AddIds(absl::Span<const int32_t> ids) {
  LH_RETURN_IF_ERROR(CheckKind(/*is_text=*/false));
  LH_RETURN_IF_ERROR(CheckLength(4 * ids.size()));
  const int32_t vocab_size = model_->config().vocab_size;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    const uint64_t position = received_ids_ + i;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "TOKEN_ID_OUT_OF_RANGE",
        absl::StrCat("token ", position, " has the id ",
                     static_cast<uint32_t>(ids[i]),
                     ", but the vocabulary ends at ", vocab_size - 1,
                     "; make the ids with this model's tokenizer"),
        {{"position", absl::StrCat(position)},
         {"id", absl::StrCat(static_cast<uint32_t>(ids[i]))},
         {"vocab_size", absl::StrCat(vocab_size)}});
  }
  received_ids_ += ids.size();
  TokenSequence tokens;
  tokens.ids.assign(ids.begin(), ids.end());
  tokens.begin.assign(ids.size(), 0);
  tokens.end.assign(ids.size(), 0);
  TakeTokens(tokens);
  return ReserveForContent();
}

absl::Status EncodeJob::EndContent() {
  LH_CHECK(!content_ended_);
  if (kind_ == Kind::kText) {
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(text_->Finish(&tokens));
    TakeTokens(tokens);
  }
  if (received_tokens_ == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_DOCUMENT",
                     "the document is empty: it holds no token to encode; send "
                     "some text or token ids");
  }
  chunker_->Flush(&cut_);
  TakeChunks();
  content_ended_ = true;
  return ReserveForContent();
}

void EncodeJob::TakeTokens(const TokenSequence& tokens) {
  tokens_.ids.insert(tokens_.ids.end(), tokens.ids.begin(), tokens.ids.end());
  tokens_.begin.insert(tokens_.begin.end(), tokens.begin.begin(),
                       tokens.begin.end());
  tokens_.end.insert(tokens_.end.end(), tokens.end.begin(), tokens.end.end());
  received_tokens_ += int64_t(tokens.size());
  chunker_->Push(tokens, &cut_);
  TakeChunks();
}

void EncodeJob::TakeChunks() {
  for (const Chunk& chunk : cut_) waiting_bytes_ += BytesOf(chunk);
  waiting_.insert(waiting_.end(), cut_.begin(), cut_.end());
  cut_.clear();
}

bool EncodeJob::has_batch() const {
  if (waiting_.empty()) return false;
  return content_ended_ || !attention_->needs_whole_document();
}

int EncodeJob::RowsOf(const Chunk& chunk) const {
  return static_cast<int>(model_->prefix_ids().size() + chunk.size() +
                          model_->suffix_ids().size());
}

uint64_t EncodeJob::BytesOf(const Chunk& chunk) const {
  return ForwardPass::BytesPerChunk(*model_, *attention_, RowsOf(chunk));
}

absl::Status EncodeJob::Reserve(uint64_t batch_bytes, int64_t batch_chunks) {
  constexpr uint64_t kTokenBytes = sizeof(int32_t) + 2 * sizeof(uint64_t);
  if (options_.encode.retrieval_weights) {
    batch_bytes += sizeof(float) * uint64_t(batch_chunks) *
                   (states_.size() + uint64_t(batch_chunks));
  }
  const uint64_t held_states = states_.empty() ? 0 : state_bytes_;
  const uint64_t needed =
      held_states + kTokenBytes * tokens_.size() + batch_bytes;
  if (memory_.Resize(needed)) return absl::OkStatus();
  const uint64_t limit = memory_.limit_bytes();
  if (needed > limit) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "DOCUMENT_TOO_LONG",
        absl::StrCat(
            "the document is too long for its mechanism: ", received_tokens_,
            " tokens received so far need ", needed,
            " bytes of chunk states and activations, the limit is ", limit,
            "; use the mechanism \"independent\", which keeps no states, send "
            "several documents, or have the operator raise the server's limit "
            "(--max-working-bytes)"),
        {{"limit_bytes", absl::StrCat(limit)},
         {"length_bytes", absl::StrCat(needed)},
         {"length_tokens", absl::StrCat(received_tokens_)}});
  }
  return MakeError(
      absl::StatusCode::kUnavailable, "OVERLOADED",
      "the server's memory for documents is taken by other requests; try again "
      "later",
      {{"limit_bytes", absl::StrCat(limit)}});
}

absl::Status EncodeJob::ReserveForContent() {
  // A mechanism that needs the whole document will compute all that waits in
  // one batch: better refused now than when all of it has come.
  if (!attention_->needs_whole_document()) return Reserve(0, 0);
  return Reserve(waiting_bytes_, int64_t(waiting_.size()));
}

absl::Status EncodeJob::StartBatch() {
  LH_CHECK(has_batch() && pass_ == nullptr);
  size_t count = waiting_.size();
  if (!attention_->needs_whole_document()) {
    count = std::min(count, size_t(options_.max_batch_chunks));
  }
  batch_.assign(waiting_.begin(), waiting_.begin() + count);
  uint64_t batch_bytes = 0;
  for (const Chunk& chunk : batch_) batch_bytes += BytesOf(chunk);
  LH_RETURN_IF_ERROR(Reserve(batch_bytes, int64_t(count)));
  waiting_bytes_ -= batch_bytes;
  waiting_.erase(waiting_.begin(), waiting_.begin() + count);
  std::vector<ChunkInput> inputs;
  for (const Chunk& chunk : batch_) inputs.push_back(MakeInput(chunk));
  pass_ = std::make_unique<ForwardPass>(
      model_, attention_.get(), std::move(inputs), states_,
      ForwardPass::Options{
          .fingerprint = fingerprint_,
          .retrieval_weights = options_.encode.retrieval_weights});
  return absl::OkStatus();
}

ChunkInput EncodeJob::MakeInput(const Chunk& chunk) const {
  ChunkInput input;
  const absl::Span<const int32_t> prefix = model_->prefix_ids();
  const absl::Span<const int32_t> suffix = model_->suffix_ids();
  const auto begin = tokens_.ids.begin() + (chunk.begin - first_token_);
  input.ids.reserve(size_t(RowsOf(chunk)));
  input.ids.assign(prefix.begin(), prefix.end());
  input.ids.insert(input.ids.end(), begin, begin + chunk.size());
  input.ids.insert(input.ids.end(), suffix.begin(), suffix.end());
  input.position_ids = model_->PositionIds(input.ids);
  return input;
}

absl::Status EncodeJob::EmitChunk(EncodeSink& sink) {
  LH_CHECK(has_results());
  const int i = emitted_;
  const int rows = pass_->rows(i);
  const size_t hidden = size_t(model_->config().hidden_size);
  std::vector<float> pooled(hidden);
  pooler_->PoolChunk(pass_->hidden(i), rows, absl::MakeSpan(pooled));
  if (!std::isfinite(NormL2(pooled))) {
    return MakeError(absl::StatusCode::kInternal, "NUMERIC",
                     absl::StrCat("the vector of chunk ", num_chunks_,
                                  " is not finite; the model's weights or its "
                                  "precision do not fit this input"));
  }
  pooler_->AddChunk(pooled, rows, &pooled_document_);
  sink.OnChunk(MakeChunkResult(i, pooled));
  if (options_.encode.token_vectors) {
    sink.OnTokens(MakeTokenResult(
        i, pass_->hidden(i) + model_->prefix_ids().size() * hidden));
  }
  if (std::shared_ptr<const ChunkState> state = pass_->state(i)) {
    state_bytes_ += state->charge();
    if (!attention_->needs_whole_document())
      states_.push_back(std::move(state));
  }
  ++num_chunks_;
  encoded_rows_ += rows;
  encoded_tokens_ += batch_[i].size();
  if (++emitted_ < pass_->num_chunks()) return absl::OkStatus();
  emitted_ = 0;
  pass_.reset();
  DropTokensBefore(batch_.back().end);
  // What the activations held goes back.
  return Reserve(0, 0);
}

uint64_t EncodeJob::EndByte(const Chunk& chunk) const {
  if (kind_ == Kind::kIds) return 0;
  const int64_t next = chunk.end - first_token_;
  // A chunk is final once the token after it is known, or the content's end.
  return next < int64_t(tokens_.size()) ? tokens_.begin[next]
                                        : text_->received_bytes();
}

ChunkResult EncodeJob::MakeChunkResult(int index,
                                       absl::Span<const float> pooled) {
  const Chunk& chunk = batch_[index];
  ChunkResult result;
  result.index = num_chunks_;
  result.begin_byte = next_begin_byte_;
  result.end_byte = next_begin_byte_ = EndByte(chunk);
  result.begin_token = chunk.begin;
  result.end_token = chunk.end;
  result.norm = NormL2(pooled);
  if (options_.encode.chunk_vectors) {
    result.vector.assign(pooled.begin(), pooled.end());
    if (model_->normalize()) NormalizeL2(absl::MakeSpan(result.vector));
  }
  // A causal chunk sees itself and those before it, whatever its batch holds.
  absl::Span<const float> weights = pass_->retrieval_weights(index);
  if (!attention_->needs_whole_document()) {
    weights = weights.subspan(0, size_t(num_chunks_) + 1);
  }
  result.retrieval_weights.assign(weights.begin(), weights.end());
  return result;
}

TokenResult EncodeJob::MakeTokenResult(int index, const float* hidden) const {
  const Chunk& chunk = batch_[index];
  const size_t begin = size_t(chunk.begin - first_token_);
  const size_t end = size_t(chunk.end - first_token_);
  TokenResult result;
  result.chunk_index = num_chunks_;
  result.begin_token = chunk.begin;
  result.ids.assign(tokens_.ids.begin() + begin, tokens_.ids.begin() + end);
  if (kind_ == Kind::kText) {
    result.begin.assign(tokens_.begin.begin() + begin,
                        tokens_.begin.begin() + end);
    result.end.assign(tokens_.end.begin() + begin, tokens_.end.begin() + end);
  }
  result.vectors.assign(hidden,
                        hidden + chunk.size() * model_->config().hidden_size);
  return result;
}

void EncodeJob::DropTokensBefore(int64_t token) {
  const int64_t count = token - first_token_;
  // Erasing moves what stays, so it waits until that is the smaller part.
  if (count * 2 < int64_t(tokens_.size())) return;
  tokens_.ids.erase(tokens_.ids.begin(), tokens_.ids.begin() + count);
  tokens_.begin.erase(tokens_.begin.begin(), tokens_.begin.begin() + count);
  tokens_.end.erase(tokens_.end.begin(), tokens_.end.begin() + count);
  first_token_ = token;
}

EncodeProgress EncodeJob::progress() const {
  EncodeProgress progress;
  progress.received_bytes = kind_ == Kind::kText ? text_->received_bytes() : 0;
  progress.received_tokens = received_tokens_;
  progress.encoded_tokens = encoded_tokens_;
  if (pass_ != nullptr && !pass_->done()) {
    const int64_t in_work = batch_.back().end - batch_.front().begin;
    progress.encoded_tokens +=
        static_cast<uint64_t>(pass_->progress() * double(in_work));
  }
  return progress;
}

EncodeSummary EncodeJob::Summarize() const {
  LH_CHECK(content_ended_ && waiting_.empty() && pass_ == nullptr);
  EncodeSummary summary;
  if (options_.encode.document_vector) {
    summary.document_vector.resize(size_t(model_->config().hidden_size));
    pooler_->Finish(pooled_document_, absl::MakeSpan(summary.document_vector));
    if (model_->normalize()) {
      NormalizeL2(absl::MakeSpan(summary.document_vector));
    }
  }
  summary.received_bytes = kind_ == Kind::kText ? text_->received_bytes() : 0;
  summary.received_tokens = received_tokens_;
  summary.encoded_tokens = encoded_rows_;
  summary.chunk_count = num_chunks_;
  summary.state_bytes = state_bytes_;
  summary.options = options_.encode;
  return summary;
}

}  // namespace longhand
