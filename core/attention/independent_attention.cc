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
  bool exchanges_in(int) const override { return false; }
  const RetrievalOptions& retrieval() const override {
    return options_.retrieval;
  }
  StateLayout state_layout(int) const override { return {}; }
  int64_t scratch_floats(int) const override { return 0; }
  bool is_convex() const override { return true; }
  std::vector<std::string_view> unused_options() const override {
    return {"anchor_share", "anchors",    "features",  "gate",
            "head_gates",   "merge",      "neighbors", "retrieval_layers",
            "state_codec",  "state_rank", "top_k",     "visibility"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override {
    LocalSoftmaxAttention(options_, input.qkv, chunk.rows, compute,
                          chunk.context);
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
