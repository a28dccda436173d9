// The mean over all rows, special tokens included, as sentence-transformers has
// it. A document's vector is the mean over the rows of all its chunks.

#include <algorithm>

#include "core/compute/vector_ops.h"
#include "core/pooling/weighted_mean.h"

namespace longhand {
namespace {

class MeanPooler final : public Pooler {
 public:
  void PoolChunk(const float* hidden_states, int rows,
                 absl::Span<float> pooled) const override {
    const int64_t hidden = int64_t(pooled.size());
    std::fill(pooled.begin(), pooled.end(), 0.0f);
    for (int r = 0; r < rows; ++r) {
      AddTo(hidden_states + r * hidden, hidden, pooled.data());
    }
    Scale(1.0f / rows, hidden, pooled.data());
  }

  void AddChunk(absl::Span<const float> pooled, int rows,
                PoolState* state) const override {
    AddWeighted(pooled, rows, state);
  }

  void Finish(const PoolState& state,
              absl::Span<float> document) const override {
    FinishWeighted(state, document);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Pooler>> MakeMeanPooler() {
  return std::make_unique<const MeanPooler>();
}

}  // namespace longhand
