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

// Longer chunks are shared by all threads and can be stopped on the way.
constexpr int kLongChunkRows = 1024;

// Rows that go through the linear layers at a time, always, so that results do
// not depend on who computes which tile. Few, so that what comes out of one
// layer is in the second-level cache for the next; more for the precisions
// whose products are so fast that reading the weights would take longer.
int TileRows(const Model& model) {
  return model.layers().front().precision() == Precision::kFp32 ? 64 : 128;
}

int WidestProjection(const Model& model) {
  int widest = 0;
  for (const EncoderLayer& layer : model.layers()) {
    widest = std::max(widest, layer.projected_size());
  }
  return widest;
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
      index_(options.index),
      exchanging_(attention->exchanges() &&
                  options.kind != PassKind::kMakeStates &&
                  // One that needs the whole document may also retrieve from
                  // the chunk itself.
                  (attention->needs_whole_document() ||
                   (options.kind == PassKind::kRetrieve
                        ? num_past()
                        : inputs_.size() + num_past()) > 1)) {
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
  slots_states_.reserve(num_past() + inputs_.size());
  if (index_ != nullptr) {
    LH_CHECK(states_.empty() && index_->fingerprint() == options.fingerprint);
    slots_states_.assign(index_->states().begin(), index_->states().end());
  }
  for (const auto& state : states_) {
    LH_CHECK(state == nullptr || state->fingerprint() == options.fingerprint);
    slots_states_.push_back(state.get());
  }
  slots_count_ = int64_t(num_past());
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
  if (index_ == nullptr) slots_metas_.reserve(slots_states_.size());
  view_.first =
      options.kind == PassKind::kRetrieve ? options.first : int64_t(num_past());
  tile_rows_ = options.tile_rows > 0 ? options.tile_rows : TileRows(*model_);
  LH_CHECK(tile_rows_ % kRowBlock == 0);
  PlanPhases(options.threads);
}

void ForwardPass::PlanPhases(int threads) {
  bool splits = num_chunks() < threads;
  for (const ChunkInput& input : inputs_) {
    splits = splits || input.rows() > kLongChunkRows;
  }
  if (splits) {
    CutTiles();
    // A tile a chunk would only be more to wait for.
    splits = tiles_.size() > inputs_.size();
  }
  if (splits) {
    PlanTiledPhases();
  } else if (exchanging_) {
    for (int layer = 0; layer < num_layers(); ++layer) {
      phases_.push_back({Work::kLayer, layer});
      if (has_exchange_items(layer)) {
        phases_.push_back({Work::kExchange, layer});
      }
    }
    phases_.push_back({Work::kLayer, num_layers()});
  } else {
    phases_.push_back({Work::kAllLayers, 0});
  }
}

void ForwardPass::CutTiles() {
  for (int chunk = 0; chunk < num_chunks(); ++chunk) {
    for (int row = 0; row < rows(chunk); row += tile_rows_) {
      tiles_.push_back({chunk, row, std::min(tile_rows_, rows(chunk) - row)});
    }
  }
}

void ForwardPass::PlanTiledPhases() {
  const size_t widest = size_t(WidestProjection(*model_));
  for (Activations& chunk : chunks_) {
    chunk.projected = FloatBuffer::Uninitialized(
        size_t(PaddedRows(chunk.attention_rows)) * widest);
  }
  for (int layer = 0; layer < num_layers(); ++layer) {
    phases_.push_back({Work::kProjectTile, layer});
    phases_.push_back({Work::kAttend, layer});
    if (has_exchange_items(layer)) {
      phases_.push_back({Work::kExchange, layer});
    }
    if (exchanges_in(layer)) phases_.push_back({Work::kFinish, layer});
  }
  phases_.push_back({Work::kProjectTile, num_layers()});
  phases_.push_back({Work::kFinishHidden, num_layers()});
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
  uint64_t bytes = sizeof(float) * floats;
  if (rows > kLongChunkRows) {
    bytes += sizeof(float) * uint64_t(PaddedRows(attention_rows)) *
             uint64_t(WidestProjection(model) + config.hidden_size);
  }
  return bytes;
}

uint64_t ForwardPass::TileBytes(const Model& model, int rows, int chunk_rows) {
  if (rows > kLongChunkRows) return 0;
  const int attention_rows = AttentionRows(model.config(), rows, chunk_rows);
  return sizeof(float) * uint64_t(PaddedRows(attention_rows)) *
         uint64_t(WidestProjection(model));
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
  switch (phases_[size_t(phase_)].work) {
    case Work::kExchange:
      return attention_->exchange_items();
    case Work::kProjectTile:
      return static_cast<int>(tiles_.size());
    default:
      return num_chunks();
  }
}

void ForwardPass::Run(int item, ComputeContext& compute) {
  compute.workspace().Reset();
  const Phase& phase = phases_[size_t(phase_)];
  switch (phase.work) {
    case Work::kAllLayers:
      return RunLayers(item, compute);
    case Work::kLayer:
      return RunLayer(item, phase.layer, compute);
    case Work::kExchange:
      return attention_->Exchange(item, view_, compute);
    case Work::kProjectTile:
      return RunTile(tiles_[size_t(item)], phase.layer, compute);
    case Work::kAttend:
      return AttendProjected(item, phase.layer, compute);
    case Work::kFinish:
      return attention_->Finish(item, view_, compute);
    case Work::kFinishHidden:
      return FinishHidden(item);
  }
}

void ForwardPass::RunLayers(int chunk, ComputeContext& compute) {
  Embed(chunk);
  for (int layer = 0; layer < num_layers(); ++layer) {
    Local(chunk, layer, compute);
    Complete(chunk, layer, compute);
    compute.workspace().Reset();
  }
  FinishHidden(chunk);
}

void ForwardPass::RunLayer(int chunk, int layer, ComputeContext& compute) {
  if (layer == 0) {
    Embed(chunk);
  } else {
    if (exchanges_in(layer - 1)) attention_->Finish(chunk, view_, compute);
    Complete(chunk, layer - 1, compute);
    compute.workspace().Reset();
  }
  if (layer < num_layers()) {
    Local(chunk, layer, compute);
  } else {
    FinishHidden(chunk);
  }
}

void ForwardPass::RunTile(const Tile& tile, int layer,
                          ComputeContext& compute) {
  if (layer == 0) {
    Embed(tile);
  } else {
    Complete(tile, layer - 1, compute);
    compute.workspace().Reset();
  }
  if (layer == num_layers()) return;
  const EncoderLayer& weights = model_->layers()[layer];
  const float* x = weights.AttentionInput(
      RowsOf(tile.chunk, tile.row).attention_reads, tile.rows, compute);
  weights.Project(x, tile.rows, compute,
                  chunks_[size_t(tile.chunk)].projected.data() +
                      int64_t{tile.row} * weights.projected_size());
}

void ForwardPass::Advance() {
  LH_CHECK(!done());
  const Phase before = phases_[size_t(phase_)];
  ++phase_;
  // Until here an earlier layer's Finish looked at that layer's states.
  if ((before.work == Work::kLayer || before.work == Work::kAttend) &&
      before.layer < num_layers() && exchanges_in(before.layer)) {
    BindLayer(before.layer);
  }
}

void ForwardPass::RunAll(ComputeContext& compute) {
  while (!done()) {
    for (int item = 0; item < items(); ++item) Run(item, compute);
    Advance();
  }
}

void ForwardPass::Embed(const Tile& tile) {
  const ChunkInput& input = inputs_[size_t(tile.chunk)];
  const EncoderLayer::Streams streams = RowsOf(tile.chunk, tile.row);
  model_->embedding().Apply(
      absl::MakeConstSpan(input.ids).subspan(tile.row, tile.rows),
      absl::MakeConstSpan(input.position_ids).subspan(tile.row, tile.rows),
      streams.attention_reads);
  if (streams.attention_reads == streams.attention_adds) return;
  std::copy_n(streams.attention_reads,
              size_t(tile.rows) * size_t(model_->config().hidden_size),
              streams.attention_adds);
}

EncoderLayer::Streams ForwardPass::RowsOf(int chunk, int row) {
  const EncoderLayer::Streams streams = StreamsOf(chunk);
  const int64_t offset = int64_t{row} * model_->config().hidden_size;
  return {streams.attention_reads + offset, streams.attention_adds + offset};
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
  const int state_layer = state_layer_[size_t(layer)];
  slots_metas_.clear();
  if (index_ == nullptr) {
    for (const ChunkState* state : slots_states_) {
      slots_metas_.push_back(state == nullptr ? nullptr
                                              : state->meta(state_layer));
    }
  }
  view_.states = {slots_states_, state_layer, slots_metas_, index_};
  view_.chunks = slots_;
}

void ForwardPass::Local(int chunk, int layer, ComputeContext& compute) {
  const EncoderLayer& weights = model_->layers()[layer];
  const int64_t projected_size = weights.projected_size();
  const int64_t hidden_size = model_->config().hidden_size;
  const float* x = weights.AttentionInput(StreamsOf(chunk).attention_reads,
                                          rows(chunk), compute);
  float* projected = compute.workspace().Allocate<float>(
      size_t(PaddedRows(chunks_[chunk].attention_rows) * projected_size));
  for (int row = 0; row < rows(chunk); row += tile_rows_) {
    weights.Project(x + row * hidden_size,
                    std::min(tile_rows_, rows(chunk) - row), compute,
                    projected + row * projected_size);
  }
  Attend(chunk, layer, x, projected, compute);
}

void ForwardPass::AttendProjected(int chunk, int layer,
                                  ComputeContext& compute) {
  const float* x = model_->layers()[layer].AttentionInput(
      StreamsOf(chunk).attention_reads, rows(chunk), compute);
  Attend(chunk, layer, x, chunks_[size_t(chunk)].projected.data(), compute);
}

void ForwardPass::Attend(int chunk, int layer, const float* x, float* projected,
                         ComputeContext& compute) {
  const int64_t projected_size = model_->layers()[layer].projected_size();
  Activations& activations = chunks_[chunk];
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

void ForwardPass::Complete(const Tile& tile, int layer,
                           ComputeContext& compute) {
  model_->layers()[layer].Complete(
      chunks_[size_t(tile.chunk)].context.data() +
          int64_t{tile.row} * model_->config().context_width(),
      tile.rows, compute, RowsOf(tile.chunk, tile.row));
}

void ForwardPass::Complete(int chunk, int layer, ComputeContext& compute) {
  for (int row = 0; row < rows(chunk); row += tile_rows_) {
    compute.workspace().Reset();
    Complete({chunk, row, std::min(tile_rows_, rows(chunk) - row)}, layer,
             compute);
  }
}

}  // namespace longhand
