#include "bench/gate/attention_work.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bench/gate/made_attention.h"
#include "core/base/status_macros.h"

namespace longhand::gate {
namespace {

constexpr int kHeads = 12;
constexpr int kHeadDim = 32;
constexpr int kHidden = kHeads * kHeadDim;

// A chunk with all that its layer reads and writes.
struct LayerChunk {
  std::vector<float> x;    // [rows, hidden]
  std::vector<float> qkv;  // [rows, 3 * hidden]
  std::vector<float> context;
  std::vector<float> scratch;
  std::vector<float> values;  // of the state
  std::shared_ptr<ChunkState> state;
};

class AttentionWork final : public Work {
 public:
  AttentionWork(std::unique_ptr<const Attention> attention,
                const AttentionShape& shape)
      : attention_(std::move(attention)),
        part_(shape.part),
        earlier_(MakeStates(*attention_, shape.rows - 2, /*layers=*/1,
                            shape.earlier)) {
    for (const auto& state : earlier_) seen_.push_back(state.get());
    Uniform uniform;
    const size_t size = size_t(shape.rows) * kHidden;
    for (int c = 0; c < shape.chunks; ++c) {
      auto state = MakeState(*attention_, shape.rows - 2, /*layers=*/1);
      chunks_.push_back(
          {.x = uniform(size),
           .qkv = uniform(3 * size),
           .context = std::vector<float>(size),
           .scratch = std::vector<float>(
               size_t(attention_->scratch_floats(shape.rows))),
           .values = std::vector<float>(size_t(state->layout().floats())),
           .state = std::move(state)});
    }
    for (LayerChunk& chunk : chunks_) {
      const auto place = int64_t(seen_.size());
      seen_.push_back(chunk.state.get());
      slots_.push_back({.rows = shape.rows,
                        .own_begin = 1,
                        .own_end = shape.rows - 1,
                        .first_token = place * (shape.rows - 2),
                        .context = chunk.context.data(),
                        .scratch = chunk.scratch.data(),
                        .meta = chunk.state->mutable_meta(0)});
    }
  }

  void Prepare(ComputeContext& compute) override {
    if (part_ == AttentionPart::kRetrieve) Local(compute);
  }

  absl::Status Run(ComputeContext& compute) override {
    if (part_ == AttentionPart::kRetrieve) {
      Retrieve(compute);
    } else {
      Local(compute);
    }
    return absl::OkStatus();
  }

 private:
  void Local(ComputeContext& compute) {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      LayerChunk& chunk = chunks_[i];
      compute.workspace().Reset();
      attention_->Local({0, chunk.x.data(), chunk.qkv.data(), 3 * kHidden},
                        slots_[i], chunk.values.data(), compute);
      chunk.state->SetLayer(0, chunk.values.data());
    }
  }

  void Retrieve(ComputeContext& compute) {
    const BatchView batch{.layer = 0,
                          .states = {seen_, 0},
                          .first = int64_t(earlier_.size()),
                          .chunks = slots_};
    for (int item = 0; item < attention_->exchange_items(); ++item) {
      compute.workspace().Reset();
      attention_->Exchange(item, batch, compute);
    }
    for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
      compute.workspace().Reset();
      attention_->Finish(i, batch, compute);
    }
  }

  const std::unique_ptr<const Attention> attention_;
  const AttentionPart part_;
  const std::vector<std::shared_ptr<const ChunkState>> earlier_;
  std::vector<LayerChunk> chunks_;
  std::vector<const ChunkState*> seen_;  // the earlier ones, then our own
  std::vector<ChunkSlot> slots_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> MakeAttentionWork(
    const AttentionShape& shape) {
  std::unique_ptr<const Attention> attention;
  LH_ASSIGN_OR_RETURN(attention, MakeAttention(shape.mechanism,
                                               {.num_heads = kHeads,
                                                .head_dim = kHeadDim,
                                                .num_layers = 1},
                                               shape.top_k));
  return std::make_unique<AttentionWork>(std::move(attention), shape);
}

}  // namespace longhand::gate
