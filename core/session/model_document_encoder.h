// ModelDocumentEncoder: the DocumentEncoder over a real Encoder. Immutable;
// safe from many threads; the encoder must outlive it.
#ifndef LONGHAND_CORE_SESSION_MODEL_DOCUMENT_ENCODER_H_
#define LONGHAND_CORE_SESSION_MODEL_DOCUMENT_ENCODER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/attention.h"
#include "core/engine/encoder.h"
#include "core/model/forward_pass.h"
#include "core/pooling/pooler.h"
#include "core/session/document_encoder.h"
#include "core/session/question_attention.h"
#include "core/state/state_codec.h"

namespace longhand {

class ModelDocumentEncoder final : public DocumentEncoder {
 public:
  // REQUIRES: resolved options, of a mechanism that does not need the whole
  // document.
  static absl::StatusOr<std::shared_ptr<const DocumentEncoder>> Create(
      Encoder* encoder, const EncodeOptions& options);

  const EncodeOptions& options() const override { return options_; }
  const std::vector<FingerprintField>& fingerprint() const override {
    return fields_;
  }
  int hidden_size() const override { return model_->config().output_size(); }
  bool normalize() const override { return model_->normalize(); }

  std::unique_ptr<Chunker> MakeChunker() const override {
    return chunker_->Clone();
  }
  absl::StatusOr<TextStream> MakeTextStream(
      uint64_t restart_byte) const override;
  absl::Status CheckIds(absl::Span<const int32_t> ids,
                        uint64_t first) const override;

  bool is_chained() const override {
    return attention_->exchanges() && !attention_->needs_two_passes();
  }
  bool needs_retrieval() const override {
    return attention_->needs_two_passes();
  }
  ChunkKey MakeKey(std::string_view salt, const ChunkKey& previous,
                   const Chunk& place,
                   absl::Span<const int32_t> window_ids) const override;

  uint64_t EncodedBytes(int own_tokens) const override;
  int max_batch_chunks() const override {
    return encoder_->options().max_batch_chunks;
  }
  absl::StatusOr<std::vector<std::shared_ptr<EncodedChunk>>> Compute(
      const Past& past, absl::Span<const ChunkWork> chunks,
      const StopCondition& stop) const override;
  absl::StatusOr<std::vector<float>> Retrieve(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
      const StopCondition& stop) const override;
  absl::StatusOr<std::vector<Answer>> Ask(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
      absl::Span<const Question> questions,
      const StopCondition& stop) const override;

  absl::StatusOr<std::shared_ptr<const ChunkState>> DecodeState(
      int own_tokens, std::string_view bytes) const override;

 private:
  using States = std::vector<std::shared_ptr<const ChunkState>>;

  // Consecutive chunks on their way through the model.
  struct Batch {
    std::vector<Chunk> places;
    std::vector<ChunkInput> inputs;
    uint64_t working_bytes = 0;
  };

  ModelDocumentEncoder(Encoder* encoder, const EncodeOptions& options);

  void AddToBatch(const Chunk& place, absl::Span<const int32_t> window_ids,
                  Batch* batch) const;
  // DATA_LOSS (STATE_CORRUPT) if a record came from elsewhere without one.
  absl::StatusOr<States> StatesOf(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks) const;
  // Layers that leave a part in a state.
  int NumStateLayers() const;
  class KeyedStates;
  // The states of many chunks, kept with the document; null where that is of
  // no use. Errors as StatesOf.
  absl::StatusOr<std::unique_ptr<KeyedStates>> IndexOf(const Past& past) const;
  ForwardPass::Options PassOptions(PassKind kind) const;
  absl::Status RunPass(ForwardPass& pass, uint64_t working_bytes,
                       const StopCondition& stop) const;
  // The pooled vector of a computed chunk; `number` for errors.
  absl::StatusOr<std::vector<float>> Pool(const ForwardPass& pass, int index,
                                          const Chunk& place,
                                          int64_t number) const;

  absl::Status CheckQuestions(absl::Span<const Question> questions) const;
  // Appends answers without context.
  absl::Status AskAlone(absl::Span<const Question> questions,
                        const StopCondition& stop,
                        std::vector<Answer>* answers) const;
  // Fills in the rest of answers[first ...].
  absl::Status AskInContext(absl::Span<const Question> questions,
                            int64_t document_tokens, const States& states,
                            const StopCondition& stop,
                            absl::Span<Answer> answers) const;

  Encoder* const encoder_;
  // Borrowed from the encoder.
  const std::shared_ptr<const Model> model_;
  const EncodeOptions options_;
  const StateFingerprint state_fingerprint_;
  const std::vector<FingerprintField> fields_;
  std::unique_ptr<const Attention> attention_;
  std::unique_ptr<const QuestionAttention> question_attention_;
  std::shared_ptr<const StateCodec> codec_;
  std::unique_ptr<const Pooler> pooler_;
  std::unique_ptr<const Chunker> chunker_;  // never fed
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_MODEL_DOCUMENT_ENCODER_H_
