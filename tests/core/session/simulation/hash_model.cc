#include "tests/core/session/simulation/hash_model.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/chunking/registry.h"

namespace longhand::testing {
namespace {

constexpr int kHidden = 4;

void UpdateNumber(Sha256& hash, int64_t value) {
  hash.Update(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&value),
                                  sizeof(value)));
}

void UpdateIds(Sha256& hash, absl::Span<const int32_t> ids) {
  UpdateNumber(hash, int64_t(ids.size()));
  for (const int32_t id : ids) UpdateNumber(hash, id);
}

ChunkKey Key(std::string_view salt, const ChunkKey& previous,
             const Chunk& place, absl::Span<const int32_t> ids) {
  Sha256 hash;
  hash.UpdateField(salt);
  hash.Update(previous);
  UpdateNumber(hash, place.begin);
  UpdateNumber(hash, place.end);
  UpdateIds(hash, ids);
  return hash.Digest();
}

class HashEncoder final : public DocumentEncoder {
 public:
  HashEncoder(std::string version, std::function<absl::Status()> on_compute)
      : fingerprint_({{"model", "hash"}, {"version", std::move(version)}}),
        on_compute_(std::move(on_compute)) {
    options_.mechanism = "hash";
    options_.chunker = "fixed";
    options_.anchor_weight = 0;
    options_.document_weight = 0;
  }

  const EncodeOptions& options() const override { return options_; }
  const std::vector<FingerprintField>& fingerprint() const override {
    return fingerprint_;
  }
  int hidden_size() const override { return kHidden; }
  bool normalize() const override { return false; }

  std::unique_ptr<Chunker> MakeChunker() const override {
    auto make = ChunkerRegistry().Find("fixed");
    LH_CHECK(make.ok());
    auto chunker = (**make)({.max_tokens = HashSessionModel::kChunkTokens});
    LH_CHECK(chunker.ok());
    return *std::move(chunker);
  }
  absl::StatusOr<TextStream> MakeTextStream(uint64_t) const override {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TOKENIZER_MISSING",
                     "send token ids");
  }
  absl::Status CheckIds(absl::Span<const int32_t> ids,
                        uint64_t) const override {
    for (const int32_t id : ids) {
      if (id < 0) {
        return MakeError(absl::StatusCode::kInvalidArgument,
                         "TOKEN_ID_OUT_OF_RANGE", "ids are 0 or more");
      }
    }
    return absl::OkStatus();
  }

  bool is_chained() const override { return true; }
  bool needs_retrieval() const override { return false; }
  ChunkKey MakeKey(std::string_view salt, const ChunkKey& previous,
                   const Chunk& place,
                   absl::Span<const int32_t> window_ids) const override {
    return Key(salt, previous, place, window_ids);
  }

  uint64_t EncodedBytes(int) const override {
    return sizeof(EncodedChunk) + kHidden * sizeof(float);
  }
  int max_batch_chunks() const override { return 2; }

  absl::StatusOr<std::vector<std::shared_ptr<EncodedChunk>>> Compute(
      const Past& past, absl::Span<const ChunkWork> chunks,
      const StopCondition& stop) const override {
    LH_RETURN_IF_ERROR(stop.Check());
    if (on_compute_) LH_RETURN_IF_ERROR(on_compute_());
    LH_CHECK(past.chunks.empty() ||
             past.chunks.back()->place.end == chunks.front().place.begin);
    std::vector<std::shared_ptr<EncodedChunk>> made;
    for (const ChunkWork& work : chunks) {
      auto& chunk = made.emplace_back(std::make_shared<EncodedChunk>());
      chunk->key = work.key;
      chunk->pooled = HashVector(work.key);
    }
    return made;
  }

  absl::StatusOr<std::vector<float>> Retrieve(
      absl::Span<const std::shared_ptr<const ChunkRecord>>,
      const StopCondition&) const override {
    return absl::UnimplementedError("needs_retrieval() is false");
  }

  absl::StatusOr<std::vector<Answer>> Ask(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
      absl::Span<const Question> questions,
      const StopCondition& stop) const override {
    LH_RETURN_IF_ERROR(stop.Check());
    if (on_compute_) LH_RETURN_IF_ERROR(on_compute_());
    std::vector<Answer> answers;
    for (const Question& question : questions) {
      Sha256 hash;
      UpdateIds(hash, question.ids);
      Answer& answer = answers.emplace_back();
      answer.own_vector = HashVector(hash.Digest());
      for (const auto& chunk : chunks) hash.Update(chunk->encoded->key);
      answer.vector = HashVector(hash.Digest());
      for (const auto& chunk : chunks) {
        answer.chunk_weights.push_back(chunk->encoded->key[0] / 255.0f);
      }
    }
    return answers;
  }

  absl::StatusOr<std::shared_ptr<const ChunkState>> DecodeState(
      int, std::string_view) const override {
    return MakeError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                     "there are no states here");
  }

 private:
  EncodeOptions options_;
  const std::vector<FingerprintField> fingerprint_;
  const std::function<absl::Status()> on_compute_;
};

}  // namespace

HashSessionModel::HashSessionModel(std::string version,
                                   std::function<absl::Status()> on_compute)
    : encoder_(std::make_shared<HashEncoder>(std::move(version),
                                             std::move(on_compute))) {}

absl::StatusOr<EncodeOptions> HashSessionModel::ResolveOptions(
    const EncodeOptions&) const {
  return encoder_->options();
}

absl::StatusOr<std::shared_ptr<const DocumentEncoder>> HashSessionModel::Open(
    const EncodeOptions&) const {
  return encoder_;
}

uint64_t HashSessionModel::chunk_bytes() const {
  return encoder_->EncodedBytes(kChunkTokens);
}

std::vector<ChunkKey> HashChunkKeys(const std::string& tenant,
                                    const std::vector<int32_t>& ids,
                                    bool closed) {
  constexpr int64_t kSize = HashSessionModel::kChunkTokens;
  const int64_t length = int64_t(ids.size());
  std::vector<ChunkKey> keys;
  ChunkKey key{};
  // An open document's last chunk waits for the token behind it.
  for (int64_t begin = 0; begin + (closed ? 0 : kSize) < length;
       begin += kSize) {
    const int64_t end = std::min(length, begin + kSize);
    key = Key(
        "tenant:" + tenant, key, {begin, end, begin, end},
        absl::MakeConstSpan(ids).subspan(size_t(begin), size_t(end - begin)));
    keys.push_back(key);
  }
  return keys;
}

std::vector<float> HashVector(const ChunkKey& key) {
  std::vector<float> values;
  for (int i = 0; i < kHidden; ++i) values.push_back(float(key[i]) - 127.5f);
  return values;
}

std::vector<float> HashAnswer(const std::vector<ChunkKey>& chunks,
                              const std::vector<int32_t>& question) {
  Sha256 hash;
  UpdateIds(hash, question);
  for (const ChunkKey& key : chunks) hash.Update(key);
  return HashVector(hash.Digest());
}

}  // namespace longhand::testing
