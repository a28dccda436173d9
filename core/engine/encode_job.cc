#include "core/engine/encode_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/chunk_batch.h"
#include "core/engine/document_errors.h"
#include "core/engine/encode_options.h"
#include "core/pooling/registry.h"

namespace longhand {
namespace {

ContextPooling::Options ContextOptions(const Model& model,
                                       const EncodeOptions& options) {
  return {.anchor_weight = *options.anchor_weight,
          .document_weight = *options.document_weight,
          .normalize = model.normalize()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<EncodeJob>> EncodeJob::Create(
    std::shared_ptr<const Model> model, const EncodeJobOptions& options,
    WorkingMemory* memory) {
  const EncodeOptions& encode = options.encode;
  auto job = std::unique_ptr<EncodeJob>(
      new EncodeJob(std::move(model), options, memory));
  LH_ASSIGN_OR_RETURN(job->attention_, MakeAttention(*job->model_, encode));
  LH_ASSIGN_OR_RETURN(job->codec_, MakeStateCodec(encode));
  LH_ASSIGN_OR_RETURN(job->chunker_, MakeChunker(*job->model_, encode));
  LH_ASSIGN_OR_RETURN(PoolerFactory * make_pooler,
                      PoolerRegistry().Find(encode.pooling));
  LH_ASSIGN_OR_RETURN(job->pooler_, make_pooler());
  if (!encode.spans.empty()) {
    job->spans_.emplace(encode.spans, job->pooler_.get());
  }
  return job;
}

EncodeJob::EncodeJob(std::shared_ptr<const Model> model,
                     const EncodeJobOptions& options, WorkingMemory* memory)
    : model_(std::move(model)),
      options_(options),
      fingerprint_(MakeStateFingerprint(*model_, options.encode)),
      memory_(memory),
      context_(ContextOptions(*model_, options.encode)) {
  if (model_->tokenizer() != nullptr) text_.emplace(model_->tokenizer());
}

absl::Status EncodeJob::CheckKind(bool is_text) {
  const Kind kind = is_text ? Kind::kText : Kind::kIds;
  if (kind_ == Kind::kUnknown) kind_ = kind;
  if (kind_ == kind) return absl::OkStatus();
  return MixedContentError();
}

absl::Status EncodeJob::CheckLength(uint64_t more_bytes) const {
  const uint64_t length =
      (kind_ == Kind::kText ? text_->received_bytes() : 4 * received_ids_) +
      more_bytes;
  if (length <= options_.max_document_bytes) return absl::OkStatus();
  return DocumentTooLongError(kind_ == Kind::kText, length,
                              options_.max_document_bytes);
}

absl::Status EncodeJob::CheckText(uint64_t bytes) {
  if (!text_) return TokenizerMissingError();
  LH_RETURN_IF_ERROR(CheckKind(/*is_text=*/true));
  return CheckLength(bytes);
}

absl::Status EncodeJob::AddText(std::string_view text) {
  LH_RETURN_IF_ERROR(CheckText(text.size()));
  TokenSequence tokens;
  LH_RETURN_IF_ERROR(text_->Append(text, &tokens));
  TakeTokens(text, tokens);
  return ReserveForContent();
}

absl::Status EncodeJob::AddIds(absl::Span<const int32_t> ids) {
  LH_RETURN_IF_ERROR(CheckKind(/*is_text=*/false));
  if (chunker_->needs_text() || spans_) {
    return TextNeededError(spans_ ? "spans of bytes need"
                                  : absl::StrCat("the chunker \"",
                                                 options_.encode.chunker,
                                                 "\" needs"));
  }
  LH_RETURN_IF_ERROR(CheckLength(4 * ids.size()));
  LH_RETURN_IF_ERROR(
      CheckTokenIds(ids, received_ids_, model_->config().vocab_size));
  received_ids_ += ids.size();
  TokenSequence tokens;
  tokens.ids.assign(ids.begin(), ids.end());
  tokens.begin.assign(ids.size(), 0);
  tokens.end.assign(ids.size(), 0);
  TakeTokens({}, tokens);
  return ReserveForContent();
}

absl::Status EncodeJob::EndContent() {
  LH_CHECK(!content_ended_);
  if (kind_ == Kind::kText) {
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(text_->Finish(&tokens));
    TakeTokens({}, tokens);
  }
  if (received_tokens_ == 0) return EmptyDocumentError();
  chunker_->Flush(&cut_);
  TakeChunks();
  content_ended_ = true;
  return ReserveForContent();
}

void EncodeJob::TakeTokens(std::string_view text, const TokenSequence& tokens) {
  tokens_.ids.insert(tokens_.ids.end(), tokens.ids.begin(), tokens.ids.end());
  tokens_.begin.insert(tokens_.begin.end(), tokens.begin.begin(),
                       tokens.begin.end());
  tokens_.end.insert(tokens_.end.end(), tokens.end.begin(), tokens.end.end());
  received_tokens_ += int64_t(tokens.size());
  chunker_->Push(text, tokens, &cut_);
  TakeChunks();
}

void EncodeJob::TakeChunks() {
  for (const Chunk& chunk : cut_) {
    waiting_bytes_ += ActivationBytes(chunk) + StateBytes(chunk);
  }
  waiting_.insert(waiting_.end(), cut_.begin(), cut_.end());
  cut_.clear();
}

bool EncodeJob::has_batch() const {
  if (!waiting_.empty()) {
    return content_ended_ || !attention_->needs_whole_document();
  }
  return content_ended_ && retrieve_next_ < first_pass_.size();
}

bool EncodeJob::all_computed() const {
  return content_ended_ && !has_batch() && pass_ == nullptr;
}

int EncodeJob::waiting_chunks() const {
  return static_cast<int>(waiting_.empty() ? first_pass_.size() - retrieve_next_
                                           : waiting_.size());
}

uint64_t EncodeJob::ActivationBytes(const Chunk& chunk) const {
  return ForwardPass::ActivationBytes(*model_, *attention_,
                                      ChunkRows(*model_, chunk),
                                      *options_.encode.chunk_tokens);
}

uint64_t EncodeJob::TileBytesOfBatch() const {
  if (int(batch_.size()) >= options_.workers) return 0;
  uint64_t bytes = 0;
  for (const Chunk& chunk : batch_) {
    bytes += ForwardPass::TileBytes(*model_, ChunkRows(*model_, chunk),
                                    *options_.encode.chunk_tokens);
  }
  return bytes;
}

uint64_t EncodeJob::StateBytes(const Chunk& chunk) const {
  return ForwardPass::StateBytes(*model_, *attention_, *codec_,
                                 static_cast<int>(chunk.size()));
}

absl::Status EncodeJob::Reserve(uint64_t batch_bytes, int64_t batch_chunks) {
  constexpr uint64_t kTokenBytes = sizeof(int32_t) + 2 * sizeof(uint64_t);
  const ModelConfig& config = model_->config();
  const uint64_t weights_per_slot =
      (options_.encode.retrieval_weights ? 1 : 0) +
      (options_.encode.head_weights
           ? uint64_t(config.num_layers) * uint64_t(config.num_heads)
           : 0);
  batch_bytes += sizeof(float) * weights_per_slot * uint64_t(batch_chunks) *
                 (states_.size() + uint64_t(batch_chunks));
  const uint64_t held_states = states_.empty() ? 0 : state_bytes_;
  const uint64_t needed =
      held_states + held_bytes_ + kTokenBytes * tokens_.size() + batch_bytes;
  if (memory_.Resize(needed)) {
    peak_working_bytes_ = std::max(peak_working_bytes_, needed);
    return absl::OkStatus();
  }
  const uint64_t limit = memory_.limit_bytes();
  if (needed > limit) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "DOCUMENT_TOO_LONG",
        absl::StrCat(
            "the document is too long for its mechanism: ", received_tokens_,
            " tokens received so far need ", needed,
            " bytes of chunk states and activations, the limit is ", limit,
            "; use a mechanism or options that keep less (\"independent\" "
            "keeps no states; a smaller state_codec and fewer "
            "retrieval_layers keep less where they apply), several documents, "
            "or have the operator raise the server's limit "
            "(--max-working-bytes)"),
        {{"limit_bytes", absl::StrCat(limit)},
         {"length_bytes", absl::StrCat(needed)},
         {"length_tokens", absl::StrCat(received_tokens_)}});
  }
  return WorkingMemoryError(limit);
}

absl::Status EncodeJob::ReserveForContent() {
  // A mechanism that needs the whole document will compute all that waits in
  // one batch: better refused now than when all of it has come.
  if (!attention_->needs_whole_document()) return Reserve(0, 0);
  return Reserve(waiting_bytes_, int64_t(waiting_.size()));
}

uint64_t EncodeJob::BytesOfWaiting(size_t count) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    bytes += ActivationBytes(waiting_[i]) + StateBytes(waiting_[i]);
  }
  return bytes;
}

absl::Status EncodeJob::StartBatch() {
  LH_CHECK(has_batch() && pass_ == nullptr);
  size_t count = size_t(waiting_chunks());
  if (!attention_->needs_whole_document()) {
    count = std::min(count, size_t(options_.max_batch_chunks));
  }
  if (waiting_.empty()) {
    const auto begin = first_pass_.begin() + int64_t(retrieve_next_);
    batch_.assign(begin, begin + int64_t(count));
    uint64_t bytes = 0;
    for (const Chunk& chunk : batch_) bytes += ActivationBytes(chunk);
    LH_RETURN_IF_ERROR(Reserve(bytes + TileBytesOfBatch(), int64_t(count)));
    pass_ = MakePass(PassKind::kRetrieve);
    retrieve_next_ += count;
    return absl::OkStatus();
  }
  uint64_t bytes = BytesOfWaiting(count);
  // How fast the content came must not decide whether it fits.
  while (!attention_->needs_whole_document() && count > 1 &&
         bytes > memory_.limit_bytes() / 2) {
    count /= 2;
    bytes = BytesOfWaiting(count);
  }
  batch_.assign(waiting_.begin(), waiting_.begin() + int64_t(count));
  LH_RETURN_IF_ERROR(Reserve(bytes + TileBytesOfBatch(), int64_t(count)));
  waiting_bytes_ -= bytes;
  waiting_.erase(waiting_.begin(), waiting_.begin() + int64_t(count));
  pass_ = MakePass(attention_->needs_two_passes() ? PassKind::kMakeStates
                                                  : PassKind::kWhole);
  return absl::OkStatus();
}

std::unique_ptr<ForwardPass> EncodeJob::MakePass(PassKind kind) const {
  std::vector<ChunkInput> inputs;
  for (const Chunk& chunk : batch_) inputs.push_back(MakeInput(chunk));
  const bool has_results = kind != PassKind::kMakeStates;
  return std::make_unique<ForwardPass>(
      model_, attention_.get(), std::move(inputs),
      has_results ? states_ : std::vector<std::shared_ptr<const ChunkState>>(),
      ForwardPass::Options{
          .kind = kind,
          .fingerprint = fingerprint_,
          .codec = codec_,
          .first = int64_t(retrieve_next_),
          .chunk_rows = *options_.encode.chunk_tokens,
          .threads = options_.workers,
          .retrieval_weights = has_results && options_.encode.retrieval_weights,
          .head_weights = has_results && options_.encode.head_weights});
}

ChunkInput EncodeJob::MakeInput(const Chunk& chunk) const {
  return MakeChunkInput(*model_, chunk,
                        absl::MakeConstSpan(tokens_.ids)
                            .subspan(size_t(chunk.window_begin - first_token_),
                                     size_t(chunk.window_size())));
}

void EncodeJob::KeepState(int index) {
  if (std::shared_ptr<const ChunkState> state = pass_->state(index)) {
    state_bytes_ += state->charge();
    if (!attention_->needs_whole_document()) {
      states_.push_back(std::move(state));
      state_ends_.push_back(batch_[size_t(index)].end);
      DropStatesOutOfReach(state_ends_.back());
    }
  }
}

void EncodeJob::DropStatesOutOfReach(int64_t next_token) {
  const int64_t reach = attention_->reach_tokens();
  if (reach == kWholeDocument ||
      *options_.encode.visibility != Visibility::kCausal) {
    return;
  }
  while (first_state_ + 1 < states_.size() &&
         state_ends_.front() <= next_token - reach) {
    state_bytes_ -= states_[first_state_]->charge();
    states_[first_state_++].reset();
    state_ends_.pop_front();
  }
}

void EncodeJob::EndBatch() {
  emitted_ = 0;
  const bool may_drop = !attention_->needs_two_passes() || is_retrieving();
  pass_.reset();
  // The next window begins after the last one began.
  if (may_drop) DropTokensBefore(batch_.back().window_begin);
}

absl::Status EncodeJob::EmitChunk(EncodeSink& sink) {
  LH_CHECK(has_results());
  if (pass_ == nullptr) {
    EmitHeld(sink);
    return absl::OkStatus();
  }
  encoded_rows_ += uint64_t(pass_->rows(emitted_));
  if (attention_->needs_two_passes() && !is_retrieving()) {
    KeepState(emitted_);
    first_pass_.push_back(batch_[size_t(emitted_)]);
  } else {
    LH_RETURN_IF_ERROR(EmitComputed(sink));
  }
  if (++emitted_ < pass_->num_chunks()) return absl::OkStatus();
  EndBatch();
  // What the activations held goes back.
  return Reserve(0, 0);
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

}  // namespace longhand
