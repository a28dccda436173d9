// Strided attention (Sparse Transformer, Child et al. 2019, arXiv:1904.10509,
// section 4.3) as one softmax over both of its parts and without the paper's
// k <= q: a token sees those less than stride_tokens away, and those at a
// distance that is a multiple of it.

#include <algorithm>

#include "core/attention/pattern_attention.h"

namespace longhand {
namespace {

class StridedPattern final : public TokenPattern {
 public:
  explicit StridedPattern(int64_t stride) : stride_(stride) {}

  void AddGroups(PlaceRange queries, PlaceRange document,
                 std::vector<QueryGroup>* groups) const override {
    AddBand(queries, stride_ - 1, groups);
    const int64_t columns = std::min(stride_, queries.size());
    for (int64_t column = 0; column < columns; ++column) {
      AddColumn({queries.begin + column, queries.end}, document, groups);
    }
  }
  // A query sees one key in stride_.
  int tile_keys() const override { return 8192; }

 private:
  // The queries at range.begin, range.begin + stride, ... see each other and
  // what lies between and beyond in the same steps; the band has themselves.
  void AddColumn(PlaceRange range, PlaceRange document,
                 std::vector<QueryGroup>* groups) const {
    const int64_t before = (range.begin - document.begin) / stride_;
    const int64_t behind = (document.end - 1 - range.begin) / stride_;
    const KeyComb keys = {range.begin - before * stride_, 1, stride_,
                          before + 1 + behind};
    const int64_t queries = (range.size() - 1) / stride_ + 1;
    ForEachRun({0, queries}, kQueryRun, [&](int64_t first, int count) {
      groups->push_back({.begin = range.begin + first * stride_,
                         .count = count,
                         .step = stride_,
                         .keys = {keys},
                         .nearest = 1});
    });
  }

  const int64_t stride_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeStridedAttention(
    const AttentionOptions& options) {
  return MakePatternAttention(
      options,
      std::make_unique<const StridedPattern>(*options.mechanism.stride_tokens),
      {"stride_tokens"});
}

}  // namespace longhand
