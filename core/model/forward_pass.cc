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

// Rows of a long chunk that go through the linear layers at a time, so that
// their intermediate results stay small.
constexpr int kRowTile = 1024;
static_assert(kRowTile % kRowBlock == 0);

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
    LH_CHECK(state == nullptr || state->fingerprint() == options.fingerprint);
    slots_states_.push_back(state.get());
  }
  slots_count_ = int64_t(states_.size());
  if (options.kind != PassKind::kRetrieve) {
    slots_count_ += int64_t(inputs_.size());
  }
  const size_t slots = size_t(slots_count_);
  const size_t output = size_t(model_->config().output_size());
  const size_t context = size_t(model_->config().context_width());
  for (const ChunkInput& input : inputs_) {
    const int rows = input.rows();
    LH_CHECK(rows > 0 && rows <= model_->config().max_positions());
    LH_CHECK(0 <= input.own_begin && input.own_begin < input.own_end &&
             input.own_end <= rows);
    LH_CHECK(input.mask.empty() || (attention_->takes_mask() &&
                                    input.mask.size() == input.ids.size()));
    by_layer_ = by_layer_ || rows > kRowTile;
    Activations& chunk = chunks_.emplace_back();
    chunk.attention_rows =
        AttentionRows(model_->config(), rows, options.chunk_rows);
    chunk.hidden = FloatBuffer::Zeroed(size_t(PaddedRows(rows)) * output);
    chunk.context =
        FloatBuffer::Zeroed(size_t(PaddedRows(chunk.attention_rows)) * context);
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
  slots_.reserve(inputs_.size());
  view_.first = options.kind == PassKind::kRetrieve ? options.first
                                                    : int64_t(states_.size());
}

uint64_t ForwardPass::ActivationBytes(const Model& model,
                                      const Attention& attention, int rows,
                                      int chunk_rows) {
  const ModelConfig& config = model.config();
  const int attention_rows = AttentionRows(config, rows, chunk_rows);
  uint64_t floats =
      uint64_t(PaddedRows(rows)) * config.output_size() +
      uint64_t(PaddedRows(attention_rows)) * config.context_width() +
      attention.scratch_floats(attention_rows);
  // Joining two streams needs them a second time.
  if (config.reversible) floats += uint64_t(rows) * config.output_size();
  // What a worker holds for a chunk in work is small for an ordinary one, and
  // the operator's to plan for; not for a long one.
  if (rows > kRowTile) {
    int widest = 0;
    for (const EncoderLayer& layer : model.layers()) {
      widest = std::max(widest, layer.projected_size());
    }
    floats += uint64_t(rows) * uint64_t(widest + config.hidden_size);
  }
  return sizeof(float) * floats;
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
    const int begin = by_layer_ ? phase_ : 0;
    if (begin == 0) Embed(item);
    RunLayers(item, begin, by_layer_ ? begin + 1 : num_layers(), compute);
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
  const ChunkInput& input = inputs_[chunk];
  const EncoderLayer::Streams streams = StreamsOf(chunk);
  model_->embedding().Apply(input.ids, input.position_ids,
                            streams.attention_reads);
  if (streams.attention_reads == streams.attention_adds) return;
  std::copy_n(streams.attention_reads,
              input.ids.size() * size_t(model_->config().hidden_size),
              streams.attention_adds);
}

EncoderLayer::Streams ForwardPass::StreamsOf(int chunk) {
  float* first = chunks_[size_t(chunk)].hidden.data();
  if (!model_->config().reversible) return {first, first};
  const int64_t size =
      int64_t{PaddedRows(rows(chunk))} * model_->config().hidden_size;
  return {first + size, first};
}

void ForwardPass::FinishHidden(int chunk) {
  Activations& activations = chunks_[chunk];
  if (model_->config().reversible) {
    const size_t hidden = size_t(model_->config().hidden_size);
    const EncoderLayer::Streams streams = StreamsOf(chunk);
    FloatBuffer joined =
        FloatBuffer::Uninitialized(size_t(rows(chunk)) * 2 * hidden);
    float* out = joined.data();
    for (size_t r = 0; r < size_t(rows(chunk)); ++r) {
      out = std::copy_n(streams.attention_adds + r * hidden, hidden, out);
      out = std::copy_n(streams.attention_reads + r * hidden, hidden, out);
    }
    activations.hidden = std::move(joined);
  }
  if (model_->final_norm() != nullptr) {
    model_->final_norm()->Apply(rows(chunk), activations.hidden.data());
  }
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
          .first_token = input.first_token,
          .mask = input.mask.empty() ? nullptr : input.mask.data(),
          .context = activations.context.data(),
          .scratch = activations.scratch.data(),
          .retrieval_weights = activations.retrieval_weights.data(),
          .head_weights = head_weights,
          .meta = nullptr};
}

void ForwardPass::BindLayer(int layer) {
  slots_.clear();
  for (int i = 0; i < num_chunks(); ++i) {
    slots_.push_back(Slot(i, layer));
    if (ChunkState* state = chunks_[size_t(i)].state.get()) {
      slots_.back().meta = state->mutable_meta(state_layer_[size_t(layer)]);
    }
  }
  view_.layer = layer;
  view_.states = {slots_states_, state_layer_[size_t(layer)]};
  view_.chunks = slots_;
}

void ForwardPass::Local(int chunk, int layer, ComputeContext& compute) {
  const EncoderLayer& weights = model_->layers()[layer];
  const int64_t projected_size = weights.projected_size();
  const int64_t hidden_size = model_->config().hidden_size;
  Activations& activations = chunks_[chunk];
  const float* x = weights.AttentionInput(StreamsOf(chunk).attention_reads,
                                          rows(chunk), compute);
  float* projected = compute.workspace().Allocate<float>(
      size_t(PaddedRows(activations.attention_rows) * projected_size));
  for (int row = 0; row < rows(chunk); row += kRowTile) {
    weights.Project(x + row * hidden_size,
                    std::min(kRowTile, rows(chunk) - row), compute,
                    projected + row * projected_size);
  }
  std::fill(projected + rows(chunk) * projected_size,
            projected + activations.attention_rows * projected_size, 0.0f);
  ChunkState* state = activations.state.get();
  float* values = nullptr;
  if (state != nullptr && attention_->exchanges_in(layer)) {
    values =
        compute.workspace().Allocate<float>(size_t(state->layout().floats()));
  }
  attention_->Local({layer, x, projected, projected_size}, Slot(chunk, layer),
                    values, compute);
  if (values != nullptr) {
    state->SetLayer(state_layer_[size_t(layer)], values);
  }
}

void ForwardPass::Complete(int chunk, int layer, ComputeContext& compute) {
  const int64_t context_width = model_->config().context_width();
  const int64_t hidden_size = model_->config().hidden_size;
  const float* context = chunks_[size_t(chunk)].context.data();
  const EncoderLayer::Streams streams = StreamsOf(chunk);
  for (int row = 0; row < rows(chunk); row += kRowTile) {
    compute.workspace().Reset();
    model_->layers()[layer].Complete(
        context + row * context_width, std::min(kRowTile, rows(chunk) - row),
        compute,
        {streams.attention_reads + row * hidden_size,
         streams.attention_adds + row * hidden_size});
  }
  if (layer + 1 == num_layers()) FinishHidden(chunk);
}

void ForwardPass::RunLayers(int chunk, int begin, int end,
                            ComputeContext& compute) {
  for (int layer = begin; layer < end; ++layer) {
    Local(chunk, layer, compute);
    Complete(chunk, layer, compute);
    compute.workspace().Reset();
  }
}

}  // namespace longhand
