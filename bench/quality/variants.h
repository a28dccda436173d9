// The systems that the experiment compares, as variants.json names them.
// Values and pure functions.
#ifndef LONGHAND_BENCH_QUALITY_VARIANTS_H_
#define LONGHAND_BENCH_QUALITY_VARIANTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/encode_types.h"
#include "nlohmann/json.hpp"

namespace longhand::quality {

// How the vectors of a variant are made.
enum class VariantKind {
  kEncoded,   // by the encoder with the options
  kAdded,     // another variant's, plus a vector of the document
  kPrefixed,  // another variant's chunks, each encoded on its own with the
              // document's topic in front
};

// What kAdded adds, times the weight, before normalising.
enum class Addition { kFirstChunk, kDocumentMean };

struct Variant {
  std::string name;
  VariantKind kind = VariantKind::kEncoded;
  EncodeOptions options;      // kEncoded and kPrefixed
  nlohmann::json parameters;  // the options as given, for keys and reports
  std::string of;             // kAdded and kPrefixed: the other variant
  Addition addition = Addition::kFirstChunk;
  float weight = 0;
  bool on_request = false;  // too slow to run unless it is named
};

// The fields of EncodeOptions under their own names. INVALID_ARGUMENT
// (VARIANTS_INVALID) for unknown names and wrong types; the values themselves
// are the encoder's to check.
absl::StatusOr<EncodeOptions> ParseEncodeOptions(const nlohmann::json& object);

// {"variants": [..]}, each of
//   {"name", "options": {..}}
//   {"name", "of", "add": "first_chunk" | "document_mean", "weight"}
//   {"name", "of", "prefix": "topic", "options": {..}}
// each with "on_request": true or without. `of` names an earlier kEncoded
// variant. INVALID_ARGUMENT (VARIANTS_INVALID).
absl::StatusOr<std::vector<Variant>> ParseVariants(std::string_view text);

// Those with the given names, in the order of `all`, and those that they are
// made of; if there are no names, all that are not on request. NOT_FOUND
// (VARIANT_UNKNOWN).
absl::StatusOr<std::vector<Variant>> SelectVariants(
    const std::vector<Variant>& all, const std::vector<std::string>& names);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_VARIANTS_H_
