#include "core/model/forward_pass.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/compute/matmul.h"

namespace longhand {

namespace {

std::shared_ptr<const StateCodec> DefaultCodec() {
  return std::shared_ptr<const StateCodec>(
      *(**StateCodecRegistry().Find("f32"))({}));
}

int AttentionRows(const ModelConfig& config, int rows, int chunk_rows) {
  if (!config.pads_chunks) return rows;
  return std::max(rows,
                  chunk_rows > 0 ? chunk_rows : config.default_chunk_rows);
}

}  // namespace

ForwardPass::ForwardPass(std::shared_ptr<const Model> model,
                         const Attention* attention,
                         std::vector<ChunkInput> chunks,
                         std::vector<std::shared_ptr<const ChunkState>> states,
                         const Options& options)
    : model_(std::move(model)),
      attention_(attention),
      inputs_(std::move(chunks)),
      states_(std::move(states)),
      exchanging_(attention->exchanges() &&
                  options.kind != PassKind::kMakeStates &&
                  // One that needs the whole document may also retrieve from
                  // the chunk itself.
                  (attention->needs_whole_document() ||
                   (options.kind == PassKind::kRetrieve
                        ? states_.size()
                        : inputs_.size() + states_.size()) > 1)) {
  LH_CHECK(!inputs_.empty());
  const bool leaves_states =
      attention->exchanges() && options.kind != PassKind::kRetrieve;
  const std::shared_ptr<const StateCodec> codec =
      options.codec ? options.codec : DefaultCodec();
  int state_layers = 0;
  for (int layer = 0; layer < num_layers(); ++layer) {
    state_layer_.push_back(state_layers);
    if (attention->exchanges_in(layer)) ++state_layers;
  }
  for (const auto& state : states_) {
    LH_CHECK(state->fingerprint() == options.fingerprint);
    slots_states_.push_back(state.get());
  }
  slots_count_ = int64_t(states_.size());
  if (options.kind != PassKind::kRetrieve) {
    slots_count_ += int64_t(inputs_.size());
  }
  const size_t slots = size_t(slots_count_);
  const size_t hidden = size_t(model_->config().hidden_size);
  for (const ChunkInput& input : inputs_) {
    const int rows = input.rows();
    LH_CHECK(rows > 0 && rows <= model_->config().max_positions());
    LH_CHECK(0 <= input.own_begin && input.own_begin < input.own_end &&
             input.own_end <= rows);
    Activations& chunk = chunks_.emplace_back();
    chunk.attention_rows =
        AttentionRows(model_->config(), rows, options.chunk_rows);
    chunk.hidden = FloatBuffer::Zeroed(size_t(PaddedRows(rows)) * hidden);
    chunk.context =
        FloatBuffer::Zeroed(size_t(PaddedRows(chunk.attention_rows)) * hidden);
    chunk.scratch = FloatBuffer::Uninitialized(
        size_t(attention_->scratch_floats(chunk.attention_rows)));
    if (options.retrieval_weights) {
      chunk.retrieval_weights = FloatBuffer::Zeroed(slots);
    }
    if (options.head_weights) {
      chunk.head_weights = FloatBuffer::Zeroed(
          size_t(num_layers() * model_->config().num_heads) * slots);
    }
    if (leaves_states) {
      chunk.state = std::make_shared<ChunkState>(
          options.fingerprint,
          attention_->state_layout(input.own_end - input.own_begin), codec,
          state_layers);
      slots_states_.push_back(chunk.state.get());
    }
  }
  view_.first = options.kind == PassKind::kRetrieve ? options.first
                                                    : int64_t(states_.size());
}

uint64_t ForwardPass::ActivationBytes(const Model& model,
                                      const Attention& attention, int rows,
                                      int chunk_rows) {
  const int attention_rows = AttentionRows(model.config(), rows, chunk_rows);
  return sizeof(float) *
         (uint64_t(PaddedRows(rows) + PaddedRows(attention_rows)) *
              model.config().hidden_size +
          attention.scratch_floats(attention_rows));
}

uint64_t ForwardPass::StateBytes(const Model& model, const Attention& attention,
                                 const StateCodec& codec, int own_rows) {
  if (!attention.exchanges()) return 0;
  int layers = 0;
  for (int layer = 0; layer < model.config().num_layers; ++layer) {
    layers += attention.exchanges_in(layer) ? 1 : 0;
  }
  return ChunkState::Charge(attention.state_layout(own_rows), codec, layers);
}

int ForwardPass::items() const {
  LH_CHECK(!done());
  return in_exchange() ? exchange_items(phase_ / 2) : num_chunks();
}

void ForwardPass::Run(int item, ComputeContext& compute) {
  compute.workspace().Reset();
  if (!exchanging_) {
    RunWholeChunk(item, compute);
  } else if (in_exchange()) {
    attention_->Exchange(item, view_, compute);
  } else {
    const int layer = phase_ / 2;
    if (layer == 0) {
      Embed(item);
    } else {
      if (attention_->exchanges_in(layer - 1)) {
        attention_->Finish(item, view_, compute);
      }
      Complete(item, layer - 1, compute);
      compute.workspace().Reset();
    }
    if (layer < num_layers()) Local(item, layer, compute);
  }
}

void ForwardPass::Advance() {
  LH_CHECK(!done());
  ++phase_;
  if (done() || !in_exchange()) return;
  const int layer = phase_ / 2;
  // Finish of a layer still looks at that layer's states.
  if (attention_->exchanges_in(layer)) BindLayer(layer);
  if (exchange_items(layer) == 0) ++phase_;
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
  const ChunkInput& input = inputs_[chunk];
  float* head_weights = nullptr;
  if (!activations.head_weights.span().empty()) {
    head_weights = activations.head_weights.data() +
                   size_t(layer) *
                       (activations.head_weights.size() / size_t(num_layers()));
  }
  return {.rows = activations.attention_rows,
          .own_begin = input.own_begin,
          .own_end = input.own_end,
          .context = activations.context.data(),
          .scratch = activations.scratch.data(),
          .retrieval_weights = activations.retrieval_weights.data(),
          .head_weights = head_weights};
}

void ForwardPass::BindLayer(int layer) {
  slots_.clear();
  for (int i = 0; i < num_chunks(); ++i) slots_.push_back(Slot(i, layer));
  view_.layer = layer;
  view_.states = {slots_states_, state_layer_[size_t(layer)]};
  view_.chunks = slots_;
}

void ForwardPass::Local(int chunk, int layer, ComputeContext& compute) {
  const int64_t qkv_size = 3 * int64_t{model_->config().hidden_size};
  const EncoderLayer& weights = model_->layers()[layer];
  Activations& activations = chunks_[chunk];
  const float* x =
      weights.AttentionInput(activations.hidden.data(), rows(chunk), compute);
  float* qkv = compute.workspace().Allocate<float>(
      size_t(PaddedRows(activations.attention_rows) * qkv_size));
  weights.ProjectQkv(x, rows(chunk), compute, qkv);
  std::fill(qkv + rows(chunk) * qkv_size,
            qkv + activations.attention_rows * qkv_size, 0.0f);
  ChunkState* state = activations.state.get();
  float* values = nullptr;
  if (state != nullptr && attention_->exchanges_in(layer)) {
    values =
        compute.workspace().Allocate<float>(size_t(state->layout().floats()));
  }
  attention_->Local({layer, x, qkv}, Slot(chunk, layer), values, compute);
  if (values != nullptr) {
    state->SetLayer(state_layer_[size_t(layer)], values);
  }
}

void ForwardPass::Complete(int chunk, int layer, ComputeContext& compute) {
  Activations& activations = chunks_[chunk];
  model_->layers()[layer].Complete(activations.context.data(), rows(chunk),
                                   compute, activations.hidden.data());
  if (layer + 1 == num_layers() && model_->final_norm() != nullptr) {
    model_->final_norm()->Apply(rows(chunk), activations.hidden.data());
  }
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
