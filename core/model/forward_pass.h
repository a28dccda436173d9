// ForwardPass: the computation of one batch of consecutive chunks of one
// document, through all layers, cut into phases of independent items so that
// several workers can share it and stop between items. Owns the activations;
// shares the model; borrows the attention. Run may be called from several
// threads at a time for different items of the current phase; everything else
// from one thread, while no item runs.
#ifndef LONGHAND_CORE_MODEL_FORWARD_PASS_H_
#define LONGHAND_CORE_MODEL_FORWARD_PASS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/attention.h"
#include "core/compute/compute_context.h"
#include "core/model/model.h"
#include "core/state/chunk_state.h"
#include "core/state/state_codec.h"
#include "core/state/state_index.h"
#include "core/tensor/tensor.h"

namespace longhand {

// One chunk as the layers see it, special tokens included.
struct ChunkInput {
  std::vector<int32_t> ids;           // [rows], in the vocabulary
  std::vector<int32_t> position_ids;  // [rows], see Model::PositionIds
  // The rows of the tokens that it answers for; not empty.
  int own_begin = 0;
  int own_end = 0;
  // The place of row own_begin in the document, special tokens not counted.
  int64_t first_token = 0;
  // [rows], 0 for padding, which nobody sees; empty: none. For mechanisms that
  // take one (Attention::takes_mask): served documents have no padding.
  std::vector<uint8_t> mask = {};

  int rows() const { return static_cast<int>(ids.size()); }
};

// What the chunks of a pass retrieve from.
enum class PassKind {
  // The chunks before them and, as far as they see them, their own batch. The
  // states that they leave come from what they retrieved.
  kWhole,
  // Nothing: the first pass, which only leaves states.
  kMakeStates,
  // The states of the first pass; they leave none.
  kRetrieve,
};

class ForwardPass {
 public:
  struct Options {
    PassKind kind = PassKind::kWhole;
    StateFingerprint fingerprint{};
    // What the states of the chunks are kept in; null: f32.
    std::shared_ptr<const StateCodec> codec;
    // In place of `states`, which must then be empty. Must outlive the pass and
    // stay as it is. Null: none.
    const StateIndex* index = nullptr;
    // kRetrieve: the number of the first chunk among `states`.
    int64_t first = 0;
    // Rows of a full chunk, which a model that pads its chunks fills all of
    // them up to; 0: the model's own (ModelConfig::default_chunk_rows).
    int chunk_rows = 0;
    // Threads that may run items. With fewer chunks than threads, chunks are
    // cut into tiles of rows, as long ones always are; results are the same.
    int threads = 1;
    // Rows that go through the linear layers at a time, a multiple of
    // kRowBlock; 0: those that suit the model's precision. Results may depend
    // on it in their last bits.
    int tile_rows = 0;
    bool retrieval_weights = false;
    bool head_weights = false;
  };

  // `states`: those of all chunks of the document before `chunks`, in order;
  // for kRetrieve, of all chunks of the document; for kMakeStates, none. Null
  // for those that lie out of the attention's reach.
  // REQUIRES: they carry options.fingerprint; chunks are not empty and none is
  // longer than the model's positions.
  ForwardPass(std::shared_ptr<const Model> model, const Attention* attention,
              std::vector<ChunkInput> chunks,
              std::vector<std::shared_ptr<const ChunkState>> states,
              const Options& options);

  // Bytes that a pass holds for a chunk of `rows`, and those of the state that
  // one with `own_rows` leaves. chunk_rows: as in Options.
  static uint64_t ActivationBytes(const Model& model,
                                  const Attention& attention, int rows,
                                  int chunk_rows = 0);
  // And what comes to it if the chunk is cut into tiles for want of other ones;
  // for a long chunk, which always is, that is counted already.
  static uint64_t TileBytes(const Model& model, int rows, int chunk_rows = 0);
  static uint64_t StateBytes(const Model& model, const Attention& attention,
                             const StateCodec& codec, int own_rows);

  // Items of the current phase. REQUIRES: !done().
  int items() const;
  // Computes one item. Each item of a phase is run exactly once.
  void Run(int item, ComputeContext& compute);
  // To the next phase, after every item of this one has run.
  void Advance();
  bool done() const { return phase_ == num_phases(); }
  // Share of the phases that are over, 0 to 1.
  double progress() const { return double(phase_) / num_phases(); }

  // Results, once done().
  int num_chunks() const { return static_cast<int>(chunks_.size()); }
  int rows(int chunk) const { return inputs_[chunk].rows(); }
  const ChunkInput& input(int chunk) const { return inputs_[chunk]; }
  // The last hidden states [rows, ModelConfig::output_size()].
  const float* hidden(int chunk) const { return chunks_[chunk].hidden.data(); }
  // Chunks of the document that the pass knows of.
  int64_t slots() const { return slots_count_; }
  // [slots], see Chunk.retrieval_weights in the proto; empty unless asked for.
  absl::Span<const float> retrieval_weights(int chunk) const {
    return chunks_[chunk].retrieval_weights.span();
  }
  // [layers, heads, slots]; empty unless asked for. 0 where a head retrieves
  // nothing.
  absl::Span<const float> head_weights(int chunk) const {
    return chunks_[chunk].head_weights.span();
  }
  // Null for a mechanism without states, and for kRetrieve.
  std::shared_ptr<const ChunkState> state(int chunk) const {
    return chunks_[chunk].state;
  }

  // Runs everything on the calling thread.
  void RunAll(ComputeContext& compute);

 private:
  struct Activations {
    int attention_rows = 0;  // those of the chunk and the zeros below them
    // [padded rows, hidden]; with two streams one after the other, and when
    // the pass is done side by side: [rows, output size].
    FloatBuffer hidden;
    FloatBuffer context;    // [padded attention rows, context width]
    FloatBuffer projected;  // [padded attention rows, widest], in tiles alone
    FloatBuffer scratch;
    FloatBuffer retrieval_weights;
    FloatBuffer head_weights;
    std::shared_ptr<ChunkState> state;
  };

  // What the items of a phase do; between them everybody waits.
  enum class Work {
    // A chunk: all layers.
    kAllLayers,
    // A chunk: the end of the layer before, and this one up to the exchange.
    kLayer,
    // One of the attention's items for the whole batch.
    kExchange,
    // A tile: the end of the layer before, and the projections of this one.
    kProjectTile,
    // A chunk, from the projections: this layer up to the exchange.
    kAttend,
    // A chunk: what it takes from the exchange.
    kFinish,
    // A chunk: what follows the last layer.
    kFinishHidden,
  };
  struct Phase {
    Work work;
    int layer;  // for kLayer and kProjectTile also the one after the last
  };
  // Rows [row, row + rows) of a chunk.
  struct Tile {
    int chunk, row, rows;
  };

  int num_layers() const { return static_cast<int>(model_->layers().size()); }
  int num_phases() const { return static_cast<int>(phases_.size()); }
  size_t num_past() const {
    return index_ != nullptr ? size_t(index_->size()) : states_.size();
  }
  bool exchanges_in(int layer) const {
    return exchanging_ && attention_->exchanges_in(layer);
  }
  bool has_exchange_items(int layer) const {
    return exchanges_in(layer) && attention_->exchange_items() > 0;
  }
  void PlanPhases(int threads);
  void PlanTiledPhases();
  void CutTiles();

  EncoderLayer::Streams StreamsOf(int chunk);
  // As StreamsOf, from row `row` on.
  EncoderLayer::Streams RowsOf(int chunk, int row);
  void Embed(const Tile& tile);
  void Embed(int chunk) { Embed({chunk, 0, rows(chunk)}); }
  // The attention of a layer from its projections of x, up to the exchange.
  void Attend(int chunk, int layer, const float* x, float* projected,
              ComputeContext& compute);
  void AttendProjected(int chunk, int layer, ComputeContext& compute);
  void Local(int chunk, int layer, ComputeContext& compute);
  void Complete(const Tile& tile, int layer, ComputeContext& compute);
  void Complete(int chunk, int layer, ComputeContext& compute);
  void RunLayers(int chunk, ComputeContext& compute);
  void RunLayer(int chunk, int layer, ComputeContext& compute);
  void RunTile(const Tile& tile, int layer, ComputeContext& compute);
  void FinishHidden(int chunk);
  // The batch in a layer that exchanges, for Exchange and Finish.
  void BindLayer(int layer);
  ChunkSlot Slot(int chunk, int layer);

  const std::shared_ptr<const Model> model_;
  const Attention* const attention_;
  const std::vector<ChunkInput> inputs_;
  const std::vector<std::shared_ptr<const ChunkState>> states_;
  const StateIndex* const index_;  // in place of states_, or null
  // Whether any chunk of the batch can see another one.
  const bool exchanging_;
  int tile_rows_;
  std::vector<Phase> phases_;
  std::vector<Tile> tiles_;  // if they are used
  // By layer: its place among the layers that exchange.
  std::vector<int> state_layer_;
  std::vector<Activations> chunks_;
  int phase_ = 0;
  int64_t slots_count_ = 0;

  std::vector<const ChunkState*> slots_states_;  // null: out of reach
  std::vector<const float*> slots_metas_;  // in the layer of view_; no index
  std::vector<ChunkSlot> slots_;
  BatchView view_{};
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_FORWARD_PASS_H_
