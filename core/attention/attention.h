// Attention: one mechanism with its options, for all layers of a model.
// Immutable after construction; safe from many threads with distinct
// ComputeContexts.
//
// In each layer a batch of consecutive chunks of one document goes through
// three steps, so that chunks can be computed in parallel and still see each
// other:
//   Local     per chunk: attention inside it, and the state that it leaves
//   Exchange  per item:  what each chunk takes from the others' states
//   Finish    per chunk: what was taken joins the context
// A mechanism whose chunks do not see each other has no Exchange.
#ifndef LONGHAND_CORE_ATTENTION_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_ATTENTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/attention/visibility.h"
#include "core/compute/compute_context.h"

namespace longhand {

struct AttentionOptions {
  int num_heads = 0;
  int head_dim = 0;
  int num_layers = 0;
  Visibility visibility = Visibility::kCausal;
  // Share of the retrieved part, 0 to 1.
  float gate = 0;

  int hidden() const { return num_heads * head_dim; }
};

// One chunk of a batch, in one layer.
struct ChunkSlot {
  int rows;
  float* context;  // [rows, hidden]: the attention's output
  float* scratch;  // [scratch_floats(rows)]: between the steps of one layer
  float* state;    // [state_floats()]: this layer's part of the chunk's state
  // [past + chunks], or null: Finish adds the chunk's retrieval weights, times
  // 1 / (layers * heads).
  float* retrieval_weights;
};

// A batch of consecutive chunks of one document, in one layer.
struct BatchView {
  // This layer's states of the chunks before the batch, oldest first.
  absl::Span<const float* const> past;
  absl::Span<const ChunkSlot> chunks;

  int64_t num_visible_slots() const {
    return int64_t(past.size()) + int64_t(chunks.size());
  }
};

class Attention {
 public:
  virtual ~Attention() = default;

  // Whether chunks see each other. Without it Exchange and Finish are never
  // called and there are no states.
  virtual bool exchanges() const = 0;
  // Whether a chunk sees those after it: the document must then be one batch.
  virtual bool needs_whole_document() const = 0;
  // Floats that a chunk leaves behind in each layer.
  virtual int64_t state_floats() const = 0;
  // Floats that a chunk of `rows` keeps between the steps of one layer.
  virtual int64_t scratch_floats(int rows) const = 0;

  // qkv: [rows, 3 * hidden], the projections side by side. Fills context,
  // scratch and state.
  virtual void Local(const float* qkv, const ChunkSlot& chunk,
                     ComputeContext& context) const = 0;

  // Exchange(0 .. exchange_items() - 1) are independent of each other; each
  // needs Local done for every chunk of the batch.
  virtual int exchange_items() const = 0;
  virtual void Exchange(int item, const BatchView& batch,
                        ComputeContext& context) const = 0;

  // Needs every Exchange of the layer done. `chunk` indexes batch.chunks.
  virtual void Finish(int chunk, const BatchView& batch,
                      ComputeContext& context) const = 0;
};

// What a line of attentions.def names.
using AttentionFactory =
    absl::StatusOr<std::unique_ptr<const Attention>>(const AttentionOptions&);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_ATTENTION_H_
