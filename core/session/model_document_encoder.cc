#include "core/session/model_document_encoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/engine/chunk_batch.h"
#include "core/engine/document_errors.h"
#include "core/engine/encode_options.h"
#include "core/pooling/registry.h"
#include "core/session/state_fields.h"

namespace longhand {
namespace {

// Of keys; changes with what they cover.
constexpr std::string_view kKeyDomain = "longhand chunk key 1";

absl::Status StateCorrupt() {
  return MakeError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                   "a stored chunk state is not one of this session; open a "
                   "new session and send the document again");
}

// A chunk's place, its window no longer than the chunks that there are.
Chunk PlaceOf(absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
              size_t index) {
  Chunk place = chunks[index]->place;
  place.window_end = std::min(place.window_end, chunks.back()->place.end);
  return place;
}

// The ids of a window, which may reach into other chunks than `index`, its own.
std::vector<int32_t> WindowIds(
    absl::Span<const std::shared_ptr<const ChunkRecord>> chunks, size_t index,
    const Chunk& place) {
  size_t first = index;
  while (chunks[first]->place.begin > place.window_begin) --first;
  std::vector<int32_t> ids;
  ids.reserve(size_t(place.window_size()));
  for (size_t i = first; int64_t(ids.size()) < place.window_size(); ++i) {
    const Chunk& part = chunks[i]->place;
    const int64_t begin = std::max(part.begin, place.window_begin);
    const int64_t end = std::min(part.end, place.window_end);
    const auto source = chunks[i]->ids.begin();
    ids.insert(ids.end(), source + (begin - part.begin),
               source + (end - part.begin));
  }
  return ids;
}

void HashNumber(Sha256& hash, int64_t number) {
  hash.UpdateField(absl::StrCat(number));
}

}  // namespace

// The states of chunks whose keys continue each other, by these keys.
class ModelDocumentEncoder::KeyedStates final : public PastIndex {
 public:
  KeyedStates(const StateFingerprint& fingerprint, const StateLayout& layout,
              int layers)
      : states_(fingerprint, layout, layers) {}

  const StateIndex& states() const { return states_; }
  uint64_t bytes() const override {
    return states_.bytes() + keys_.capacity() * sizeof(keys_[0]);
  }

  // Makes it that of `chunks`. DATA_LOSS (STATE_CORRUPT).
  absl::Status Follow(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks) {
    Truncate(NumSame(chunks));
    for (size_t i = keys_.size(); i < chunks.size(); ++i) {
      const std::shared_ptr<const EncodedChunk>& chunk = chunks[i]->encoded;
      const ChunkState* state = chunk->state.get();
      if (state == nullptr || state->fingerprint() != states_.fingerprint()) {
        return StateCorrupt();
      }
      // With the chunk, which holds the memory that is charged for it.
      states_.Append(std::shared_ptr<const ChunkState>(chunk, state));
      keys_.push_back(chunk->key);
    }
    return absl::OkStatus();
  }

 private:
  // Of the first chunks. A key covers all that came before it, so they are the
  // same up to some place and others from there on.
  size_t NumSame(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks) const {
    size_t same = 0;
    size_t end = std::min(keys_.size(), chunks.size());
    // The last one first: mostly nothing but the end is new.
    for (size_t last = end; same < end; last = same + (end - same + 1) / 2) {
      if (chunks[last - 1]->encoded->key == keys_[last - 1]) {
        same = last;
      } else {
        end = last - 1;
      }
    }
    return same;
  }
  void Truncate(size_t size) {
    keys_.resize(size);
    states_.Truncate(int64_t(size));
  }

  StateIndex states_;
  std::vector<ChunkKey> keys_;
};

absl::StatusOr<std::shared_ptr<const DocumentEncoder>>
ModelDocumentEncoder::Create(Encoder* encoder, const EncodeOptions& options) {
  auto made = std::shared_ptr<ModelDocumentEncoder>(
      new ModelDocumentEncoder(encoder, options));
  const Model& model = encoder->model();
  LH_ASSIGN_OR_RETURN(made->attention_, MakeAttention(model, options));
  LH_CHECK(!made->attention_->needs_whole_document());
  EncodeOptions for_questions = options;
  for_questions.visibility = Visibility::kTwoPass;
  // Not every mechanism knows that visibility.
  absl::StatusOr<std::unique_ptr<const Attention>> asking =
      MakeAttention(model, for_questions);
  if (!asking.ok()) asking = MakeAttention(model, options);
  if (!asking.ok()) return asking.status();
  made->question_attention_ =
      std::make_unique<const QuestionAttention>(*std::move(asking));
  LH_ASSIGN_OR_RETURN(made->codec_, MakeStateCodec(options));
  LH_ASSIGN_OR_RETURN(PoolerFactory * make_pooler,
                      PoolerRegistry().Find(options.pooling));
  LH_ASSIGN_OR_RETURN(made->pooler_, make_pooler());
  LH_ASSIGN_OR_RETURN(made->chunker_, longhand::MakeChunker(model, options));
  return made;
}

ModelDocumentEncoder::ModelDocumentEncoder(Encoder* encoder,
                                           const EncodeOptions& options)
    : encoder_(encoder),
      model_(std::shared_ptr<const Model>(), &encoder->model()),
      options_(options),
      state_fingerprint_(MakeStateFingerprint(*model_, options)),
      fields_(MakeStateFields(*model_, options)) {}

absl::StatusOr<TextStream> ModelDocumentEncoder::MakeTextStream(
    uint64_t restart_byte) const {
  if (model_->tokenizer() == nullptr) return TokenizerMissingError();
  return TextStream::From(model_->tokenizer(), restart_byte);
}

absl::Status ModelDocumentEncoder::CheckIds(absl::Span<const int32_t> ids,
                                            uint64_t first) const {
  return CheckTokenIds(ids, first, model_->config().vocab_size);
}

ChunkKey ModelDocumentEncoder::MakeKey(
    std::string_view salt, const ChunkKey& previous, const Chunk& place,
    absl::Span<const int32_t> window_ids) const {
  Sha256 hash;
  hash.UpdateField(kKeyDomain);
  hash.UpdateField(salt);
  hash.UpdateField(state_fingerprint_);
  hash.UpdateField(options_.pooling);
  hash.UpdateField(is_chained() ? absl::MakeConstSpan(previous)
                                : absl::Span<const uint8_t>());
  // Relative to the window: the same text elsewhere is the same chunk.
  HashNumber(hash, place.begin - place.window_begin);
  HashNumber(hash, place.end - place.window_begin);
  HashNumber(hash, place.window_size());
  const bool counts_on =
      model_->config().positions == ModelConfig::Positions::kDocument ||
      attention_->depends_on_place();
  HashNumber(hash, counts_on ? place.window_begin : 0);
  hash.UpdateField({reinterpret_cast<const uint8_t*>(window_ids.data()),
                    window_ids.size() * sizeof(int32_t)});
  return hash.Digest();
}

uint64_t ModelDocumentEncoder::EncodedBytes(int own_tokens) const {
  const uint64_t pooled =
      needs_retrieval() ? 0 : uint64_t(hidden_size()) * sizeof(float);
  return sizeof(EncodedChunk) + pooled +
         ForwardPass::StateBytes(*model_, *attention_, *codec_, own_tokens);
}

void ModelDocumentEncoder::AddToBatch(const Chunk& place,
                                      absl::Span<const int32_t> window_ids,
                                      Batch* batch) const {
  batch->places.push_back(place);
  batch->inputs.push_back(MakeChunkInput(*model_, place, window_ids));
  const int rows = ChunkRows(*model_, place);
  batch->working_bytes +=
      ForwardPass::ActivationBytes(*model_, *attention_, rows,
                                   *options_.chunk_tokens) +
      ForwardPass::TileBytes(*model_, rows, *options_.chunk_tokens);
}

absl::StatusOr<ModelDocumentEncoder::States> ModelDocumentEncoder::StatesOf(
    absl::Span<const std::shared_ptr<const ChunkRecord>> chunks) const {
  States states;
  if (!attention_->exchanges()) return states;
  states.reserve(chunks.size());
  for (const auto& chunk : chunks) {
    const std::shared_ptr<const ChunkState>& state = chunk->encoded->state;
    if (state == nullptr || state->fingerprint() != state_fingerprint_) {
      return StateCorrupt();
    }
    states.push_back(state);
  }
  return states;
}

ForwardPass::Options ModelDocumentEncoder::PassOptions(PassKind kind) const {
  return {.kind = kind,
          .fingerprint = state_fingerprint_,
          .codec = codec_,
          .chunk_rows = *options_.chunk_tokens,
          .threads = encoder_->options().workers};
}

absl::Status ModelDocumentEncoder::RunPass(ForwardPass& pass,
                                           uint64_t working_bytes,
                                           const StopCondition& stop) const {
  return encoder_->RunPass(pass, {.deadline = stop.deadline,
                                  .cancelled = stop.cancelled,
                                  .working_bytes = working_bytes});
}

absl::StatusOr<std::vector<float>> ModelDocumentEncoder::Pool(
    const ForwardPass& pass, int index, const Chunk& place,
    int64_t number) const {
  std::vector<float> gathered;
  return PoolRows(*pooler_, PooledRows(*model_, pass, index, place, &gathered),
                  hidden_size(), number);
}

int ModelDocumentEncoder::NumStateLayers() const {
  int layers = 0;
  for (int layer = 0; layer < model_->config().num_layers; ++layer) {
    layers += attention_->exchanges_in(layer) ? 1 : 0;
  }
  return layers;
}

absl::StatusOr<std::unique_ptr<ModelDocumentEncoder::KeyedStates>>
ModelDocumentEncoder::IndexOf(const Past& past) const {
  const StateLayout layout = attention_->state_layout(*options_.chunk_tokens);
  if (past.index == nullptr || layout.meta_key_floats == 0 ||
      int64_t(past.chunks.size()) < StateIndex::kBlock) {
    return nullptr;
  }
  // Nobody else puts anything there.
  std::unique_ptr<KeyedStates> index(
      static_cast<KeyedStates*>(past.index->Take().release()));
  if (index == nullptr) {
    index = std::make_unique<KeyedStates>(state_fingerprint_, layout,
                                          NumStateLayers());
  }
  LH_RETURN_IF_ERROR(index->Follow(past.chunks));
  return index;
}

absl::StatusOr<std::vector<std::shared_ptr<EncodedChunk>>>
ModelDocumentEncoder::Compute(const Past& past,
                              absl::Span<const ChunkWork> chunks,
                              const StopCondition& stop) const {
  std::vector<std::shared_ptr<EncodedChunk>> encoded;
  if (chunks.empty()) return encoded;
  Batch batch;
  for (const ChunkWork& chunk : chunks) {
    AddToBatch(chunk.place, chunk.window_ids, &batch);
  }
  States states;
  std::unique_ptr<KeyedStates> index;
  ForwardPass::Options options =
      PassOptions(needs_retrieval() ? PassKind::kMakeStates : PassKind::kWhole);
  if (is_chained()) {
    LH_ASSIGN_OR_RETURN(index, IndexOf(past));
    if (index != nullptr) {
      options.index = &index->states();
    } else {
      LH_ASSIGN_OR_RETURN(states, StatesOf(past.chunks));
    }
  }
  ForwardPass pass(model_, attention_.get(), std::move(batch.inputs),
                   std::move(states), options);
  const absl::Status status = RunPass(pass, batch.working_bytes, stop);
  if (index != nullptr) past.index->Put(std::move(index));
  LH_RETURN_IF_ERROR(status);
  for (size_t i = 0; i < chunks.size(); ++i) {
    auto made = std::make_shared<EncodedChunk>();
    made->key = chunks[i].key;
    made->state = pass.state(int(i));
    if (!needs_retrieval()) {
      LH_ASSIGN_OR_RETURN(made->pooled, Pool(pass, int(i), batch.places[i],
                                             int64_t(past.chunks.size() + i)));
    }
    encoded.push_back(std::move(made));
  }
  return encoded;
}

absl::StatusOr<std::vector<float>> ModelDocumentEncoder::Retrieve(
    absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
    const StopCondition& stop) const {
  LH_CHECK(needs_retrieval());
  LH_ASSIGN_OR_RETURN(const States states, StatesOf(chunks));
  std::vector<float> vectors;
  vectors.reserve(chunks.size() * size_t(hidden_size()));
  const size_t step = size_t(max_batch_chunks());
  for (size_t first = 0; first < chunks.size(); first += step) {
    const size_t end = std::min(chunks.size(), first + step);
    Batch batch;
    for (size_t i = first; i < end; ++i) {
      const Chunk place = PlaceOf(chunks, i);
      AddToBatch(place, WindowIds(chunks, i, place), &batch);
    }
    ForwardPass::Options options = PassOptions(PassKind::kRetrieve);
    options.first = int64_t(first);
    ForwardPass pass(model_, attention_.get(), std::move(batch.inputs), states,
                     options);
    LH_RETURN_IF_ERROR(RunPass(pass, batch.working_bytes, stop));
    for (size_t i = 0; i < batch.places.size(); ++i) {
      LH_ASSIGN_OR_RETURN(
          const std::vector<float> pooled,
          Pool(pass, int(i), batch.places[i], int64_t(first + i)));
      vectors.insert(vectors.end(), pooled.begin(), pooled.end());
    }
  }
  return vectors;
}

absl::StatusOr<std::shared_ptr<const ChunkState>>
ModelDocumentEncoder::DecodeState(int own_tokens,
                                  std::string_view bytes) const {
  if (!attention_->exchanges() || own_tokens < 1 ||
      own_tokens > model_->config().max_positions()) {
    return StateCorrupt();
  }
  const int layers = NumStateLayers();
  const StateLayout layout = attention_->state_layout(own_tokens);
  if (bytes.size() != ChunkState::ByteSize(layout, *codec_, layers)) {
    return StateCorrupt();
  }
  return ChunkState::FromBytes(
      state_fingerprint_, layout, codec_, layers,
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

}  // namespace longhand
