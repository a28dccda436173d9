// What the tests of stores have in common: small chunks with real states, heads
// with every field set, and comparisons. For one test process.
#ifndef LONGHAND_TESTS_CORE_STORE_STORE_TESTING_H_
#define LONGHAND_TESTS_CORE_STORE_STORE_TESTING_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/state/chunk_state.h"
#include "core/state/state_codec.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"
#include "core/store/session_store.h"
#include "gtest/gtest.h"

namespace longhand::testing {

// A directory of its own that goes with it. Its path is short: sockets' must
// be.
class TempDir {
 public:
  TempDir() {
    path_ = std::filesystem::temp_directory_path() / "lh-XXXXXX";
    LH_CHECK(mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  LH_CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void WriteAll(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  LH_CHECK(file.good());
}

inline std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : status.ToString();
}
template <typename T>
std::string ReasonOf(const absl::StatusOr<T>& result) {
  return ReasonOf(result.status());
}

// States of one codec and a layout whose size is the number of `rows`.
class TestDecoder : public StateDecoder {
 public:
  explicit TestDecoder(const std::string& codec = "f32", int64_t rows = 4)
      : codec_(*(**StateCodecRegistry().Find(codec))({.rank = 2})),
        layout_{.heads = 2, .parts = {{rows, 3}, {1, 3}}, .meta_floats = 5} {}

  std::shared_ptr<const ChunkState> MakeState(uint32_t seed) const {
    auto state = std::make_shared<ChunkState>(StateFingerprint{}, layout_,
                                              codec_, kLayers);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> values(size_t(layout_.floats()));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (float& value : values) value = normal(random);
      state->SetLayer(layer, values.data());
    }
    return state;
  }

  absl::StatusOr<std::shared_ptr<const ChunkState>> DecodeState(
      int /*own_tokens*/, std::string_view bytes) const override {
    if (bytes.size() != ChunkState::ByteSize(layout_, *codec_, kLayers)) {
      return MakeError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                       "not a state of this layout");
    }
    return ChunkState::FromBytes(
        {}, layout_, codec_, kLayers,
        {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  }

 private:
  static constexpr int kLayers = 2;

  const std::shared_ptr<const StateCodec> codec_;
  const StateLayout layout_;
};

// A chunk of `tokens` tokens of four bytes each, the `index`th of its document.
// `seed` decides its content.
inline std::shared_ptr<const ChunkRecord> MakeChunk(const TestDecoder& decoder,
                                                    uint32_t seed,
                                                    int index = 0,
                                                    int tokens = 3) {
  auto chunk = std::make_shared<ChunkRecord>();
  auto encoded = std::make_shared<EncodedChunk>();
  std::mt19937 random(seed);
  chunk->place = {.begin = index * tokens,
                  .end = (index + 1) * tokens,
                  .window_begin = index * tokens,
                  .window_end = (index + 1) * tokens};
  chunk->begin_byte = uint64_t(chunk->place.begin) * 4;
  chunk->end_byte = uint64_t(chunk->place.end) * 4;
  for (int i = 0; i < tokens; ++i) {
    chunk->ids.push_back(int32_t(random() % 30000));
    chunk->token_begin.push_back(uint32_t(i) * 4);
    chunk->token_end.push_back(uint32_t(i) * 4 + 3);
    chunk->text += absl::StrCat(random() % 900 + 100, " ");
  }
  chunk->restart = {chunk->begin_byte, uint64_t(chunk->place.begin)};
  for (uint8_t& byte : encoded->key) byte = uint8_t(random());
  encoded->pooled = {0.5f, -1.25f, float(seed)};
  encoded->state = decoder.MakeState(seed);
  chunk->encoded = std::move(encoded);
  return chunk;
}

inline std::vector<std::shared_ptr<const ChunkRecord>> MakeChunks(
    const TestDecoder& decoder, uint32_t first_seed, int first_index,
    int count) {
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
  for (int i = 0; i < count; ++i) {
    chunks.push_back(
        MakeChunk(decoder, first_seed + uint32_t(i), first_index + i));
  }
  return chunks;
}

inline SessionDigest DigestOf(uint8_t value) {
  SessionDigest digest;
  digest.fill(value);
  return digest;
}

// Every field has a value that it does not have by itself.
inline SessionHead FullHead() {
  SessionHead head;
  head.state = SessionState::kClosed;
  EncodeOptions& options = head.options;
  options.mechanism = "bsbr";
  options.visibility = Visibility::kTwoPass;
  options.gate = 0.25f;
  options.head_gates = {0.5f, 0.75f};
  options.retrieval_layers = {1, 4};
  options.features = FeatureMap::kSoftmax;
  options.merge = Merge::kBalancedLse;
  options.top_k = 7;
  options.anchors = 2;
  options.anchor_share = 0.125f;
  options.neighbors = 3;
  options.state_codec = "int8";
  options.state_rank = 6;
  options.mechanism_options = {.window_tokens = 101,
                               .stride_tokens = 102,
                               .summary_tokens = 103,
                               .block_tokens = 104,
                               .random_blocks = 105,
                               .random_features = 106,
                               .update_steps = 107,
                               .global_special = 108,
                               .seed = 109};
  options.global_tokens = {0, 3, 12345678901};
  options.chunker = "semantic";
  options.chunk_tokens = 256;
  options.min_chunk_tokens = 64;
  options.overlap_tokens = 16;
  options.pooling = "max";
  options.anchor_weight = 0.0625f;
  options.document_weight = 0.03125f;
  head.fingerprint = {{"model", "3f00"}, {"numerics", ""}};
  head.kind = ContentKind::kText;
  head.committed_offset = 123456789012;
  head.num_chunks = 5;
  head.num_tokens = 1234;
  head.tail = std::string("tail\0\xff", 6);
  head.digest = DigestOf(9);
  AppendRecord append;
  append.append_id.fill(1);
  append.expected_offset = 2;
  append.length = 3;
  append.payload_hash.fill(4);
  append.committed_offset = 5;
  append.encoded_offset = 6;
  append.digest.fill(7);
  head.appends = {append, {}};
  head.create_time = absl::FromUnixNanos(1700000000123456789);
  head.expire_time = absl::FromUnixNanos(1700003600123456789);
  head.ttl = absl::Hours(1);
  head.parent = "AAAAAAAAAAAAAAAAAAAAAA";
  return head;
}

inline void ExpectSameOptions(const EncodeOptions& a, const EncodeOptions& b) {
  EXPECT_EQ(a.mechanism, b.mechanism);
  EXPECT_EQ(a.visibility, b.visibility);
  EXPECT_EQ(a.gate, b.gate);
  EXPECT_EQ(a.head_gates, b.head_gates);
  EXPECT_EQ(a.retrieval_layers, b.retrieval_layers);
  EXPECT_EQ(a.features, b.features);
  EXPECT_EQ(a.merge, b.merge);
  EXPECT_EQ(a.top_k, b.top_k);
  EXPECT_EQ(a.anchors, b.anchors);
  EXPECT_EQ(a.anchor_share, b.anchor_share);
  EXPECT_EQ(a.neighbors, b.neighbors);
  EXPECT_EQ(a.state_codec, b.state_codec);
  EXPECT_EQ(a.state_rank, b.state_rank);
  EXPECT_EQ(a.mechanism_options, b.mechanism_options);
  EXPECT_EQ(a.global_tokens, b.global_tokens);
  EXPECT_EQ(a.chunker, b.chunker);
  EXPECT_EQ(a.chunk_tokens, b.chunk_tokens);
  EXPECT_EQ(a.min_chunk_tokens, b.min_chunk_tokens);
  EXPECT_EQ(a.overlap_tokens, b.overlap_tokens);
  EXPECT_EQ(a.pooling, b.pooling);
  EXPECT_EQ(a.anchor_weight, b.anchor_weight);
  EXPECT_EQ(a.document_weight, b.document_weight);
}

inline void ExpectSameHead(const SessionHead& a, const SessionHead& b) {
  EXPECT_EQ(a.state, b.state);
  ExpectSameOptions(a.options, b.options);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.committed_offset, b.committed_offset);
  EXPECT_EQ(a.num_chunks, b.num_chunks);
  EXPECT_EQ(a.num_tokens, b.num_tokens);
  EXPECT_EQ(a.tail, b.tail);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.appends, b.appends);
  EXPECT_EQ(a.create_time, b.create_time);
  EXPECT_EQ(a.expire_time, b.expire_time);
  EXPECT_EQ(a.ttl, b.ttl);
  EXPECT_EQ(a.parent, b.parent);
}

inline void ExpectSameChunk(const ChunkRecord& a, const ChunkRecord& b) {
  EXPECT_EQ(a.place.begin, b.place.begin);
  EXPECT_EQ(a.place.end, b.place.end);
  EXPECT_EQ(a.place.window_begin, b.place.window_begin);
  EXPECT_EQ(a.place.window_end, b.place.window_end);
  EXPECT_EQ(a.begin_byte, b.begin_byte);
  EXPECT_EQ(a.end_byte, b.end_byte);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.token_begin, b.token_begin);
  EXPECT_EQ(a.token_end, b.token_end);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.restart, b.restart);
  EXPECT_EQ(a.encoded->key, b.encoded->key);
  EXPECT_EQ(a.encoded->pooled, b.encoded->pooled);
  ASSERT_EQ(a.encoded->state == nullptr, b.encoded->state == nullptr);
  if (a.encoded->state != nullptr) {
    const auto x = a.encoded->state->bytes(), y = b.encoded->state->bytes();
    EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end()));
  }
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_STORE_STORE_TESTING_H_
