// Encoding in one call for tests: models, encoders, and documents fed whole or
// in pieces. Functions; safe from the thread of one test.
#ifndef LONGHAND_TESTS_CORE_ENGINE_ENCODE_HARNESS_H_
#define LONGHAND_TESTS_CORE_ENGINE_ENCODE_HARNESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "tests/testing/collecting_sink.h"

namespace longhand::testing {

struct Encoded {
  std::shared_ptr<CollectingSink> sink = std::make_shared<CollectingSink>();
  absl::StatusOr<EncodeSummary> summary = absl::UnknownError("");

  std::vector<ChunkResult> chunks() const { return sink->chunks(); }
};

std::shared_ptr<const Model> LoadModel(const std::string& directory,
                                       bool without_tokenizer);

// all-MiniLM-L6-v2.
const std::shared_ptr<const Model>& MiniLm();

// Two layers of 64, random weights. One takes ids below 300 alone; the other
// text, with a WordPiece vocabulary of single characters.
const std::shared_ptr<const Model>& TinyModel();
const std::shared_ptr<const Model>& TinyTextModel();

std::unique_ptr<Encoder> MakeEncoder(std::shared_ptr<const Model> model,
                                     EncoderOptions options = {});

// Feeds the text in the given pieces. A document that is not even opened has
// its error as summary.
Encoded EncodePieces(Encoder& encoder, const std::vector<std::string>& pieces,
                     const EncodeOptions& options = {});
Encoded EncodeIds(Encoder& encoder, std::vector<int32_t> ids,
                  const EncodeOptions& options = {});

// Ids of TinyModel, special ones left out.
std::vector<int32_t> RandomIds(int count, uint32_t seed);

// The text in pieces of random sizes, cut anywhere.
std::vector<std::string> CutRandomly(const std::string& text, uint32_t seed);

// "" for an error without one.
std::string ReasonOf(const absl::Status& status);

// Fails the test where spans differ, or vectors by more than `tolerance`.
void ExpectSame(const Encoded& a, const Encoded& b, double tolerance);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ENGINE_ENCODE_HARNESS_H_
