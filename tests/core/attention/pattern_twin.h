// PatternTwin: the slow twin, in double precision, of the mechanisms that are
// patterns over exact softmax attention and of hopfield, straight from who sees
// whom; and the settings that their tests loop over. Plain functions and
// values.
#ifndef LONGHAND_TESTS_CORE_ATTENTION_PATTERN_TWIN_H_
#define LONGHAND_TESTS_CORE_ATTENTION_PATTERN_TWIN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/attention/attention.h"
#include "tests/core/attention/layer_harness.h"

namespace longhand::testing {

struct PatternDocument {
  int64_t tokens;
  Visibility visibility;
};
// Whether the token at place q sees the one at place k, if it is visible.
using Sees = std::function<bool(const PatternDocument&, int64_t q, int64_t k)>;

struct PatternSetting {
  std::string name = "";
  std::string mechanism;
  MechanismOptions options = {};
  std::vector<int64_t> global_tokens = {};
  Sees sees = {};
  bool special_sees = false;  // special tokens see other chunks
  int update_steps = 0;       // of hopfield
};

// Every pattern with small, ordinary and huge options.
std::vector<PatternSetting> PatternSettings();

// The setting's options with those of a model of these sizes.
AttentionOptions WithSetting(AttentionOptions sizes,
                             const PatternSetting& setting,
                             Visibility visibility);

struct PatternTwin {
  std::vector<std::vector<double>> contexts;  // [chunks][rows * hidden]
  std::vector<std::vector<double>> weights;   // [chunks][heads * chunks]
};
// Of the chunks from `first` on; the others are empty.
PatternTwin MakePatternTwin(const LayerHarness& harness,
                            const PatternSetting& setting,
                            Visibility visibility, size_t first = 0);

struct TwinKey {
  std::vector<double> k, v;
  int chunk = 0;
};
// softmax(q . k / sqrt(d)).
std::vector<double> TwinWeights(const std::vector<double>& q,
                                const std::vector<TwinKey>& keys);
// sum of weights times k or v.
std::vector<double> TwinMix(const std::vector<double>& weights,
                            const std::vector<TwinKey>& keys,
                            std::vector<double> TwinKey::*part);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ATTENTION_PATTERN_TWIN_H_
