// Blocks chosen at random (BigBird, Zaheer et al. 2020, arXiv:2007.14062,
// section 2): the document is cut into blocks of block_tokens. A block sees
// itself, its neighbours, the first block, which sees everything, and
// random_blocks others. In causal documents these are chosen among the blocks
// before it, so that the choice does not depend on what follows; elsewhere
// among all blocks, and then the last block is global as the first is. Blocks
// that are seen anyway are not chosen; numbers of the others are drawn by
// DrawNumbers(seed, block, ...).

#include <algorithm>

#include "core/attention/pattern_attention.h"

namespace longhand {
namespace {

class RandomBlocksPattern final : public TokenPattern {
 public:
  explicit RandomBlocksPattern(const AttentionOptions& options)
      : block_(*options.mechanism.block_tokens),
        random_blocks_(*options.mechanism.random_blocks),
        seed_(uint64_t(*options.mechanism.seed)),
        has_end_(options.retrieval.visibility != Visibility::kCausal) {}

  void AddGroups(PlaceRange queries, PlaceRange document,
                 std::vector<QueryGroup>* groups) const override {
    const int64_t last = (document.end - 1) / block_;
    for (int64_t begin = queries.begin; begin < queries.end;) {
      const int64_t block = begin / block_;
      const int64_t end = std::min(queries.end, (block + 1) * block_);
      QueryGroup group = {};
      if (block == 0 || (has_end_ && block == last)) {
        group.keys.push_back(KeyComb::Run(document.begin, document.end));
      } else {
        AddSeen(block, last, &group);
      }
      ForEachRun({begin, end}, kQueryRun, [&](int64_t first, int count) {
        group.begin = first;
        group.count = count;
        groups->push_back(group);
      });
      begin = end;
    }
  }
  bool needs_document() const override { return has_end_; }

 private:
  // The keys of a block that is not global.
  void AddSeen(int64_t block, int64_t last, QueryGroup* group) const {
    std::vector<int64_t> seen = {0, block - 1, block, block + 1};
    if (has_end_) seen.push_back(last);
    // The blocks [1, block - 1) and, if the document has an end, [block + 2,
    // last), numbered together.
    const int64_t before = std::max<int64_t>(0, block - 2);
    const int64_t behind =
        has_end_ ? std::max<int64_t>(0, last - block - 2) : 0;
    for (int64_t number :
         DrawNumbers(seed_, uint64_t(block), before + behind, random_blocks_)) {
      seen.push_back(number < before ? 1 + number
                                     : block + 2 + (number - before));
    }
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (size_t i = 0; i < seen.size();) {
      size_t next = i + 1;
      while (next < seen.size() && seen[next] == seen[next - 1] + 1) ++next;
      group->keys.push_back(
          KeyComb::Run(seen[i] * block_, (seen[next - 1] + 1) * block_));
      i = next;
    }
  }

  const int64_t block_;
  const int random_blocks_;
  const uint64_t seed_;
  const bool has_end_;  // whether the end of the document matters
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeRandomBlocksAttention(
    const AttentionOptions& options) {
  return MakePatternAttention(
      options, std::make_unique<const RandomBlocksPattern>(options),
      {"block_tokens", "random_blocks", "seed"});
}

}  // namespace longhand
