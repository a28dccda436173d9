// Fixed attention (Sparse Transformer, Child et al. 2019, arXiv:1904.10509,
// section 4.3) as one softmax over both of its parts and without the paper's
// k <= q: the document is cut into stretches of stride_tokens; a token sees its
// own stretch, and the last summary_tokens places of every stretch.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/attention/pattern_attention.h"
#include "core/base/error.h"

namespace longhand {
namespace {

class FixedPattern final : public TokenPattern {
 public:
  FixedPattern(int64_t stretch, int64_t summary)
      : stretch_(stretch), summary_(summary) {}

  void AddGroups(PlaceRange queries, PlaceRange document,
                 std::vector<QueryGroup>* groups) const override {
    const int64_t plain = stretch_ - summary_;
    for (int64_t begin = queries.begin; begin < queries.end && plain > 0;) {
      const int64_t first = begin - begin % stretch_;
      const int64_t end = std::min(queries.end, first + stretch_);
      ForEachRun({begin, end}, kQueryRun, [&](int64_t run, int count) {
        groups->push_back({.begin = run,
                           .count = count,
                           .keys = {KeyComb::Run(first, first + plain)}});
      });
      begin = end;
    }
    const KeyComb summaries = {plain, summary_, stretch_,
                               (document.end - 1) / stretch_ + 1};
    ForEachRun(queries, kQueryRun, [&](int64_t begin, int count) {
      groups->push_back({.begin = begin, .count = count, .keys = {summaries}});
    });
  }
  // A query sees few keys of other stretches.
  int tile_keys() const override { return 8192; }

 private:
  const int64_t stretch_, summary_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeFixedAttention(
    const AttentionOptions& options) {
  const int stretch = *options.mechanism.stride_tokens;
  const int summary = *options.mechanism.summary_tokens;
  if (summary > stretch) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "MECHANISM_OPTIONS",
        absl::StrCat("summary_tokens is ", summary, ", more than the ", stretch,
                     " stride_tokens of a stretch; give at most that many"));
  }
  return MakePatternAttention(
      options, std::make_unique<const FixedPattern>(stretch, summary),
      {"stride_tokens", "summary_tokens"});
}

}  // namespace longhand
