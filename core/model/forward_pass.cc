#include "core/model/forward_pass.h"

#include <utility>

#include "core/base/check.h"
#include "core/compute/matmul.h"

namespace longhand {

ForwardPass::ForwardPass(std::shared_ptr<const Model> model,
                         const Attention* attention,
                         std::vector<ChunkInput> chunks,
                         std::vector<std::shared_ptr<const ChunkState>> past,
                         const Options& options)
    : model_(std::move(model)),
      attention_(attention),
      inputs_(std::move(chunks)),
      past_(std::move(past)),
      exchanging_(attention->exchanges() && inputs_.size() + past_.size() > 1) {
  LH_CHECK(!inputs_.empty());
  for (const auto& state : past_) {
    LH_CHECK(state->fingerprint() == options.fingerprint);
  }
  const size_t hidden = size_t(model_->config().hidden_size);
  for (const ChunkInput& input : inputs_) {
    const int rows = static_cast<int>(input.ids.size());
    LH_CHECK(rows > 0 && rows <= model_->config().max_positions());
    const size_t padded = size_t(PaddedRows(rows));
    Activations& chunk = chunks_.emplace_back();
    chunk.hidden = FloatBuffer::Zeroed(padded * hidden);
    chunk.context = FloatBuffer::Zeroed(padded * hidden);
    chunk.scratch =
        FloatBuffer::Uninitialized(size_t(attention_->scratch_floats(rows)));
    if (options.retrieval_weights) {
      chunk.retrieval_weights =
          FloatBuffer::Zeroed(past_.size() + inputs_.size());
    }
    if (attention_->state_floats() > 0) {
      chunk.state = std::make_shared<ChunkState>(
          options.fingerprint, num_layers(), attention_->state_floats());
    }
  }
}

uint64_t ForwardPass::BytesPerChunk(const Model& model,
                                    const Attention& attention, int rows) {
  const uint64_t activations =
      2 * uint64_t(PaddedRows(rows)) * model.config().hidden_size +
      attention.scratch_floats(rows);
  return activations * sizeof(float) +
         ChunkState::Charge(model.layers().size() * attention.state_floats());
}

int ForwardPass::items() const {
  LH_CHECK(!done());
  return in_exchange() ? attention_->exchange_items() : num_chunks();
}

void ForwardPass::Run(int item, ComputeContext& compute) {
  compute.workspace().Reset();
  if (!exchanging_) {
    RunWholeChunk(item, compute);
  } else if (in_exchange()) {
    attention_->Exchange(item, {past_layer_, slots_}, compute);
  } else {
    const int layer = phase_ / 2;
    if (layer == 0) {
      Embed(item);
    } else {
      attention_->Finish(item, {past_layer_, slots_}, compute);
      Complete(item, layer - 1, compute);
      compute.workspace().Reset();
    }
    if (layer < num_layers()) Local(item, layer, compute);
  }
}

void ForwardPass::Advance() {
  LH_CHECK(!done());
  ++phase_;
  // Finish of a layer still looks at that layer's states.
  if (in_exchange()) BindLayer(phase_ / 2);
}

void ForwardPass::RunAll(ComputeContext& compute) {
  while (!done()) {
    for (int item = 0; item < items(); ++item) Run(item, compute);
    Advance();
  }
}

void ForwardPass::Embed(int chunk) {
  model_->embedding().Apply(inputs_[chunk].ids, inputs_[chunk].position_ids,
                            chunks_[chunk].hidden.data());
}

ChunkSlot ForwardPass::Slot(int chunk, int layer) {
  Activations& activations = chunks_[chunk];
  return {
      .rows = rows(chunk),
      .context = activations.context.data(),
      .scratch = activations.scratch.data(),
      .state = activations.state ? activations.state->layer(layer) : nullptr,
      .retrieval_weights = activations.retrieval_weights.data()};
}

void ForwardPass::BindLayer(int layer) {
  past_layer_.clear();
  for (const auto& state : past_) past_layer_.push_back(state->layer(layer));
  slots_.clear();
  for (int i = 0; i < num_chunks(); ++i) slots_.push_back(Slot(i, layer));
}

void ForwardPass::Local(int chunk, int layer, ComputeContext& compute) {
  const size_t hidden = size_t(model_->config().hidden_size);
  float* qkv = compute.workspace().Allocate<float>(
      size_t(PaddedRows(rows(chunk))) * 3 * hidden);
  model_->layers()[layer].ProjectQkv(chunks_[chunk].hidden.data(), rows(chunk),
                                     compute, qkv);
  attention_->Local(qkv, Slot(chunk, layer), compute);
}

void ForwardPass::Complete(int chunk, int layer, ComputeContext& compute) {
  Activations& activations = chunks_[chunk];
  model_->layers()[layer].Complete(activations.context.data(), rows(chunk),
                                   compute, activations.hidden.data());
}

void ForwardPass::RunWholeChunk(int chunk, ComputeContext& compute) {
  Embed(chunk);
  for (int layer = 0; layer < num_layers(); ++layer) {
    Local(chunk, layer, compute);
    Complete(chunk, layer, compute);
    compute.workspace().Reset();
  }
}

}  // namespace longhand
