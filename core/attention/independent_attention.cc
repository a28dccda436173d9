// Softmax attention inside each chunk and nothing across chunks: exactly the
// source model, chunk by chunk.

#include "core/attention/chunk_attention.h"
#include "core/attention/local_attention.h"

namespace longhand {
namespace {

class IndependentAttention final : public ChunkAttention {
 public:
  explicit IndependentAttention(const AttentionOptions& options)
      : ChunkAttention(options) {}

  bool is_convex() const override { return true; }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override {
    LocalSoftmaxAttention(options(), input.qkv, chunk.rows, compute,
                          chunk.context);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeIndependentAttention(
    const AttentionOptions& options) {
  return std::make_unique<const IndependentAttention>(options);
}

}  // namespace longhand
