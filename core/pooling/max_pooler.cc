// The largest value of each dimension, over the rows of a chunk and over the
// chunks of a document.

#include <algorithm>

#include "core/pooling/pooler.h"

namespace longhand {
namespace {

class MaxPooler final : public Pooler {
 public:
  void PoolChunk(const float* hidden_states, int rows,
                 absl::Span<float> pooled) const override {
    std::copy_n(hidden_states, pooled.size(), pooled.begin());
    for (int r = 1; r < rows; ++r) {
      const float* row = hidden_states + r * pooled.size();
      for (size_t i = 0; i < pooled.size(); ++i) {
        pooled[i] = std::max(pooled[i], row[i]);
      }
    }
  }

  void AddChunk(absl::Span<const float> pooled, int,
                PoolState* state) const override {
    if (state->values.empty()) {
      state->values.assign(pooled.begin(), pooled.end());
      return;
    }
    for (size_t i = 0; i < pooled.size(); ++i) {
      state->values[i] = std::max(state->values[i], double{pooled[i]});
    }
  }

  void Finish(const PoolState& state,
              absl::Span<float> document) const override {
    for (size_t i = 0; i < document.size(); ++i) {
      document[i] = static_cast<float>(state.values[i]);
    }
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Pooler>> MakeMaxPooler() {
  return std::make_unique<const MaxPooler>();
}

}  // namespace longhand
