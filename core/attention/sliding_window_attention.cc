// Sliding-window attention (Beltagy et al. 2020, arXiv:2004.05150, section
// 3.1): a token sees those at most window_tokens before or behind it, across
// the borders of chunks.

#include "core/attention/pattern_attention.h"

namespace longhand {
namespace {

class SlidingWindowPattern final : public TokenPattern {
 public:
  explicit SlidingWindowPattern(int64_t window) : window_(window) {}

  void AddGroups(PlaceRange queries, PlaceRange,
                 std::vector<QueryGroup>* groups) const override {
    AddBand(queries, window_, groups);
  }
  int64_t reach() const override { return window_; }

 private:
  const int64_t window_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeSlidingWindowAttention(
    const AttentionOptions& options) {
  return MakePatternAttention(options,
                              std::make_unique<const SlidingWindowPattern>(
                                  *options.mechanism.window_tokens),
                              {"window_tokens"});
}

}  // namespace longhand
