// Which documents a load is made of. A mix names classes of documents; a
// LoadPlan says, for a seed, which document each request has, so that two
// programs, or two runs, send the same ones. Immutable; thread-safe.
#ifndef LONGHAND_CLIENT_LOAD_PLAN_H_
#define LONGHAND_CLIENT_LOAD_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace longhand::client {

// Documents that are reported together.
struct MixClass {
  std::string name;
  double share = 0;  // of the requests; those of a mix sum to 1
  // Length of a document, evenly between the two.
  uint64_t min_tokens = 0, max_tokens = 0;
};

// "short:0.8:128,long:0.2:10000-20000": NAME:SHARE:TOKENS, where TOKENS may be
// a range. Shares are relative to their sum. MIX_INVALID otherwise.
absl::StatusOr<std::vector<MixClass>> ParseMix(absl::string_view text);

// One document of a load.
struct PlannedDocument {
  size_t class_index = 0;
  uint64_t tokens = 0;
  uint64_t place = 0;  // where in the source it begins, evenly in all of 2^64
};

class LoadPlan {
 public:
  LoadPlan(std::vector<MixClass> mix, uint64_t seed);

  // The document of request `index`.
  PlannedDocument Get(uint64_t index) const;

  const std::vector<MixClass>& mix() const { return mix_; }

 private:
  const std::vector<MixClass> mix_;
  const uint64_t seed_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_PLAN_H_
