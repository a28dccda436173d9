// Softmax attention inside each chunk and nothing across chunks: exactly the
// source model, chunk by chunk.

#include "core/attention/attention.h"
#include "core/attention/local_attention.h"
#include "core/base/check.h"

namespace longhand {
namespace {

class IndependentAttention final : public Attention {
 public:
  explicit IndependentAttention(const AttentionOptions& options)
      : options_(options) {}

  bool exchanges() const override { return false; }
  bool needs_whole_document() const override { return false; }
  int64_t state_floats() const override { return 0; }
  int64_t scratch_floats(int) const override { return 0; }

  void Local(const float* qkv, const ChunkSlot& chunk,
             ComputeContext& context) const override {
    LocalSoftmaxAttention(options_, qkv, chunk.rows, context, chunk.context);
  }

  int exchange_items() const override { return 0; }
  void Exchange(int, const BatchView&, ComputeContext&) const override {
    LH_CHECK(exchanges());
  }
  void Finish(int, const BatchView&, ComputeContext&) const override {
    LH_CHECK(exchanges());
  }

 private:
  const AttentionOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeIndependentAttention(
    const AttentionOptions& options) {
  return std::make_unique<const IndependentAttention>(options);
}

}  // namespace longhand
