#include "bench/gate/pass_work.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "bench/gate/made_attention.h"
#include "core/base/status_macros.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"

namespace longhand::gate {
namespace {

std::vector<ChunkInput> MakeChunks(const Model& model, const PassShape& shape) {
  std::vector<ChunkInput> chunks;
  for (int c = 0; c < shape.chunks; ++c) {
    ChunkInput& chunk = chunks.emplace_back();
    for (int r = 0; r < shape.rows; ++r) {
      chunk.ids.push_back((c * 1009 + r * 37) % model.config().vocab_size);
    }
    chunk.position_ids = model.PositionIds(chunk.ids);
    // The special tokens are nobody's own.
    chunk.own_begin = 1;
    chunk.own_end = shape.rows - 1;
    chunk.first_token = int64_t{shape.earlier + c} * (shape.rows - 2);
  }
  return chunks;
}

class PassWork final : public Work {
 public:
  PassWork(std::shared_ptr<const Model> model,
           std::unique_ptr<const Attention> attention, const PassShape& shape)
      : model_(std::move(model)),
        attention_(std::move(attention)),
        chunks_(MakeChunks(*model_, shape)),
        states_(MakeStates(*attention_, shape.rows - 2,
                           model_->config().num_layers, shape.earlier)) {}

  absl::Status Run(ComputeContext& compute) override {
    ForwardPass pass(model_, attention_.get(), chunks_, states_, {});
    pass.RunAll(compute);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<const Model> model_;
  const std::unique_ptr<const Attention> attention_;
  const std::vector<ChunkInput> chunks_;
  const std::vector<std::shared_ptr<const ChunkState>> states_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> MakePassWork(const PassShape& shape,
                                                   const std::string& model) {
  std::shared_ptr<const Model> loaded;
  LH_ASSIGN_OR_RETURN(loaded, Model::Load({.directory = model,
                                           .precision = shape.precision,
                                           .without_tokenizer = true}));
  const ModelConfig& config = loaded->config();
  std::unique_ptr<const Attention> attention;
  LH_ASSIGN_OR_RETURN(attention,
                      MakeAttention(shape.mechanism,
                                    {.num_heads = config.num_heads,
                                     .head_dim = config.head_dim(),
                                     .num_layers = config.num_layers},
                                    /*top_k=*/0));
  return std::make_unique<PassWork>(std::move(loaded), std::move(attention),
                                    shape);
}

}  // namespace longhand::gate
