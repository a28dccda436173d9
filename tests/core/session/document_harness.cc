#include "tests/core/session/document_harness.h"

#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/chunking/registry.h"
#include "core/engine/working_memory.h"
#include "core/session/encoder_session_model.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand::testing {
namespace {

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <typename T>
T Unwrap(absl::StatusOr<T> value) {
  if (!value.ok()) ADD_FAILURE() << value.status();
  LH_CHECK(value.ok());
  return *std::move(value);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MemoryReservation>> TestResources::Reserve(
    uint64_t bytes) {
  if (reservations_left == 0) {
    return MakeError(absl::StatusCode::kUnavailable, "OVERLOADED",
                     "no memory is left");
  }
  --reservations_left;
  reserved_bytes += bytes;
  static WorkingMemory* const memory = new WorkingMemory(UINT64_MAX);
  auto reservation = std::make_shared<MemoryReservation>(memory);
  LH_CHECK(reservation->Resize(bytes));
  return reservation;
}

std::shared_ptr<const EncodedChunk> TestResources::Find(const ChunkKey& key) {
  const auto found = kept_.find(key);
  return found == kept_.end() ? nullptr : found->second;
}

void TestResources::Keep(std::shared_ptr<const EncodedChunk> chunk) {
  if (caches) kept_.insert_or_assign(chunk->key, chunk);
}

const std::shared_ptr<const Model>& BsbrModel() {
  static const auto* const model = new std::shared_ptr<const Model>(
      LoadModel(absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/bsbr"),
                /*without_tokenizer=*/true));
  return *model;
}

Encoder& TextEncoder() {
  static Encoder* const encoder =
      MakeEncoder(TinyTextModel(), {.max_batch_chunks = 3}).release();
  return *encoder;
}

std::shared_ptr<const DocumentEncoder> OpenEncoder(
    Encoder& encoder, const EncodeOptions& options) {
  const auto model = MakeEncoderSessionModel(&encoder);
  return Unwrap(model->Open(Unwrap(model->ResolveOptions(options))));
}

SessionDocument MakeDocument(std::shared_ptr<const DocumentEncoder> encoder,
                             const std::string& salt) {
  return Unwrap(SessionDocument::Create(
      std::move(encoder),
      {.salt = salt, .max_document_bytes = uint64_t{1} << 30}));
}

DocumentChange Append(SessionDocument& document, const Content& content) {
  TestResources resources;
  return Append(document, content, resources);
}

DocumentChange Append(SessionDocument& document, const Content& content,
                      DocumentResources& resources) {
  return Unwrap(document.Append(content, resources, {}));
}

DocumentChange Replace(SessionDocument& document, uint64_t begin, uint64_t end,
                       const Content& content) {
  TestResources resources;
  return Unwrap(document.Replace(begin, end, content, resources, {}));
}

DocumentChange Close(SessionDocument& document) {
  TestResources resources;
  return Unwrap(document.Close(resources, {}));
}

std::vector<ChunkResult> ResultsOf(SessionDocument& document) {
  TestResources resources;
  return ResultsOf(document.encoder(),
                   Unwrap(document.WithTail(resources, {})));
}

std::vector<ChunkResult> ResultsOf(const DocumentEncoder& encoder,
                                   const ChunkRecords& records) {
  std::vector<float> pooled;
  if (encoder.needs_retrieval()) pooled = Unwrap(encoder.Retrieve(records, {}));
  return MakeChunkResults(encoder, records, 0, pooled);
}

std::vector<ChunkResult> EncodeWhole(Encoder& encoder, const Content& content,
                                     EncodeOptions options) {
  options.document_weight = 0;
  const auto* text = std::get_if<std::string>(&content);
  const Encoded encoded =
      text != nullptr
          ? EncodePieces(encoder, {*text}, options)
          : EncodeIds(encoder, std::get<std::vector<int32_t>>(content),
                      options);
  if (!encoded.summary.ok()) {
    EXPECT_EQ(ReasonOf(encoded.summary.status()), "EMPTY_DOCUMENT");
    return {};
  }
  return encoded.chunks();
}

::testing::AssertionResult SameResults(const std::vector<ChunkResult>& a,
                                       const std::vector<ChunkResult>& b) {
  if (a.size() != b.size()) {
    return ::testing::AssertionFailure()
           << a.size() << " chunks and " << b.size();
  }
  for (size_t i = 0; i < a.size(); ++i) {
    const bool same_place = a[i].index == b[i].index &&
                            a[i].begin_byte == b[i].begin_byte &&
                            a[i].end_byte == b[i].end_byte &&
                            a[i].begin_token == b[i].begin_token &&
                            a[i].end_token == b[i].end_token;
    if (!same_place) {
      return ::testing::AssertionFailure()
             << "chunk " << i << " lies elsewhere";
    }
    if (!SameBits(a[i].vector, b[i].vector) || a[i].norm != b[i].norm ||
        a[i].mix != b[i].mix) {
      return ::testing::AssertionFailure() << "chunk " << i << " differs";
    }
  }
  return ::testing::AssertionSuccess();
}

std::string Prose(int words, uint32_t seed) {
  static constexpr const char* kWords[] = {
      "one",  "two",   "session",      "of",    "a",    "caf\u00e9", "the",
      "text", "which", "\u65e5\u672c", "grows", "then", "stops",     "x"};
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < words; ++i) {
    text += kWords[random() % std::size(kWords)];
    const uint32_t end = random() % 40;
    text += end == 0 ? ".\n\n" : end < 5 ? ". " : end == 5 ? "\n" : " ";
  }
  return text;
}

SessionHead HeadOf(const SessionDocument& document) {
  SessionHead head;
  head.state = document.closed() ? SessionState::kClosed : SessionState::kOpen;
  head.kind = document.kind();
  head.tail = document.tail();
  head.committed_offset = document.committed_offset();
  head.num_chunks = document.chunks().size();
  head.num_tokens = document.num_tokens();
  return head;
}

std::vector<NamedOptions> StreamableOptions() {
  EncodeOptions independent, causal, two_pass, selective;
  independent.mechanism = "independent";
  causal.mechanism = "bsbr";
  two_pass.mechanism = "bsbr";
  two_pass.visibility = Visibility::kTwoPass;
  selective.mechanism = "bsbr_exact";
  selective.top_k = 2;
  selective.anchors = 1;
  selective.neighbors = 1;
  std::vector<NamedOptions> all;
  for (const std::string& chunker : ChunkerRegistry().Names()) {
    for (auto [name, options] :
         {std::pair("independent", independent), std::pair("causal", causal),
          std::pair("two_pass", two_pass), std::pair("selective", selective)}) {
      options.chunker = chunker;
      options.chunk_tokens = 24;
      all.push_back({absl::StrCat(name, "_", chunker), options});
    }
  }
  return all;
}

}  // namespace longhand::testing
