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
#include "core/tensor/tensor.h"

namespace longhand {

// One chunk as the layers see it, special tokens included.
struct ChunkInput {
  std::vector<int32_t> ids;           // [rows], in the vocabulary
  std::vector<int32_t> position_ids;  // [rows], see Model::PositionIds
};

class ForwardPass {
 public:
  struct Options {
    StateFingerprint fingerprint{};
    bool retrieval_weights = false;
  };

  // `past`: the states of all chunks of the document before `chunks`, oldest
  // first. REQUIRES: they carry options.fingerprint; chunks are not empty and
  // none is longer than the model's positions.
  ForwardPass(std::shared_ptr<const Model> model, const Attention* attention,
              std::vector<ChunkInput> chunks,
              std::vector<std::shared_ptr<const ChunkState>> past,
              const Options& options);

  // Bytes that a pass holds for a chunk of `rows`, its state included.
  static uint64_t BytesPerChunk(const Model& model, const Attention& attention,
                                int rows);

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
  int rows(int chunk) const {
    return static_cast<int>(inputs_[chunk].ids.size());
  }
  // The last hidden states [rows, hidden].
  const float* hidden(int chunk) const { return chunks_[chunk].hidden.data(); }
  // [past + num_chunks()], see Chunk.retrieval_weights in the proto; empty
  // unless asked for.
  absl::Span<const float> retrieval_weights(int chunk) const {
    return chunks_[chunk].retrieval_weights.span();
  }
  // Null for a mechanism without states.
  std::shared_ptr<const ChunkState> state(int chunk) const {
    return chunks_[chunk].state;
  }

  // Runs everything on the calling thread.
  void RunAll(ComputeContext& compute);

 private:
  struct Activations {
    FloatBuffer hidden;   // [padded rows, hidden]
    FloatBuffer context;  // [padded rows, hidden]
    FloatBuffer scratch;
    FloatBuffer retrieval_weights;
    std::shared_ptr<ChunkState> state;
  };

  int num_layers() const { return static_cast<int>(model_->layers().size()); }
  // With exchange: [embed, Local 0], [Exchange 0], [Finish 0, Local 1], ...
  // Without: one phase in which a chunk goes through all layers.
  int num_phases() const { return exchanging_ ? 2 * num_layers() + 1 : 1; }
  bool in_exchange() const { return exchanging_ && phase_ % 2 == 1; }

  void Embed(int chunk);
  void Local(int chunk, int layer, ComputeContext& compute);
  void Complete(int chunk, int layer, ComputeContext& compute);
  void RunWholeChunk(int chunk, ComputeContext& compute);
  // Points view_ at the layer's states and activations.
  void BindLayer(int layer);
  ChunkSlot Slot(int chunk, int layer);

  const std::shared_ptr<const Model> model_;
  const Attention* const attention_;
  const std::vector<ChunkInput> inputs_;
  const std::vector<std::shared_ptr<const ChunkState>> past_;
  // Whether any chunk of the batch can see another one.
  const bool exchanging_;
  std::vector<Activations> chunks_;
  int phase_ = 0;

  // The current layer's batch, for Exchange and Finish.
  std::vector<const float*> past_layer_;
  std::vector<ChunkSlot> slots_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_FORWARD_PASS_H_
