// Session documents for tests: real encoders behind them, surroundings that
// count and fail on demand, and the encoder's own results to compare with.
// Functions and plain classes; safe from the thread of one test.
#ifndef LONGHAND_TESTS_CORE_SESSION_DOCUMENT_HARNESS_H_
#define LONGHAND_TESTS_CORE_SESSION_DOCUMENT_HARNESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "core/session/document_encoder.h"
#include "core/session/session_document.h"
#include "gtest/gtest.h"

namespace longhand::testing {

// Gives all that is asked for until it is told otherwise. What it reserved may
// outlive it.
class TestResources final : public DocumentResources {
 public:
  absl::StatusOr<std::shared_ptr<const MemoryReservation>> Reserve(
      uint64_t bytes) override;
  std::shared_ptr<const EncodedChunk> Find(const ChunkKey& key) override;
  void Keep(std::shared_ptr<const EncodedChunk> chunk) override;

  // Whether what was kept is found again.
  bool caches = false;
  // Reservations that succeed before one fails; below 0: all.
  int reservations_left = -1;
  uint64_t reserved_bytes = 0;

 private:
  std::map<ChunkKey, std::shared_ptr<const EncodedChunk>> kept_;
};

// A model of the family "bsbr": its own causal mechanism, positions counted
// over the whole document. Ids alone, below 300.
const std::shared_ptr<const Model>& BsbrModel();

// On TinyTextModel, with batches of a few chunks; one for the whole program.
Encoder& TextEncoder();

// What sessions make of these options.
std::shared_ptr<const DocumentEncoder> OpenEncoder(
    Encoder& encoder, const EncodeOptions& options);
SessionDocument MakeDocument(std::shared_ptr<const DocumentEncoder> encoder,
                             const std::string& salt = "");

// Fail the test on an error.
DocumentChange Append(SessionDocument& document, const Content& content);
DocumentChange Append(SessionDocument& document, const Content& content,
                      DocumentResources& resources);
DocumentChange Replace(SessionDocument& document, uint64_t begin, uint64_t end,
                       const Content& content);
DocumentChange Close(SessionDocument& document);

// Of all chunks, those of the tail included.
std::vector<ChunkResult> ResultsOf(SessionDocument& document);
// Of these records.
std::vector<ChunkResult> ResultsOf(const DocumentEncoder& encoder,
                                   const ChunkRecords& records);
// What the encoder gives for a whole document, without document_weight.
std::vector<ChunkResult> EncodeWhole(Encoder& encoder, const Content& content,
                                     EncodeOptions options);

// Whether all numbers are the same, bit for bit; says where they are not.
::testing::AssertionResult SameResults(const std::vector<ChunkResult>& a,
                                       const std::vector<ChunkResult>& b);

// Sentences in paragraphs, now and then with characters of several bytes.
std::string Prose(int words, uint32_t seed);

// What a store would hold of a document.
SessionHead HeadOf(const SessionDocument& document);

// The mechanisms and chunkers that a session can have on a model that knows
// them, with small chunks, each with a name.
struct NamedOptions {
  std::string name;
  EncodeOptions options;
};
std::vector<NamedOptions> StreamableOptions();

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_DOCUMENT_HARNESS_H_
