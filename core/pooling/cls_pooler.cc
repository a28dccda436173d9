// The first row of a chunk. A document's vector is the mean of its chunks'.

#include <algorithm>

#include "core/pooling/weighted_mean.h"

namespace longhand {
namespace {

class ClsPooler final : public Pooler {
 public:
  void PoolChunk(const float* hidden_states, int,
                 absl::Span<float> pooled) const override {
    std::copy_n(hidden_states, pooled.size(), pooled.begin());
  }

  void AddChunk(absl::Span<const float> pooled, int,
                PoolState* state) const override {
    AddWeighted(pooled, 1, state);
  }

  void Finish(const PoolState& state,
              absl::Span<float> document) const override {
    FinishWeighted(state, document);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Pooler>> MakeClsPooler() {
  return std::make_unique<const ClsPooler>();
}

}  // namespace longhand
