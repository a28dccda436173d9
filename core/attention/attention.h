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
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/attention/layer_extras.h"
#include "core/attention/mechanism_options.h"
#include "core/attention/retrieval_options.h"
#include "core/compute/compute_context.h"
#include "core/state/layer_states.h"

namespace longhand {

class Adapter;

struct AttentionOptions {
  int num_heads = 0;
  int head_dim = 0;
  int num_layers = 0;
  RetrievalOptions retrieval;
  // Filled in: nothing is open.
  MechanismOptions mechanism = DefaultMechanismOptions();
  // Tokens of the document that see everything and that everything sees, for
  // mechanisms that know such; ascending, special tokens not counted.
  std::vector<int64_t> global_tokens;
  // Trained changes, or null. Borrowed.
  const Adapter* adapter = nullptr;
  // The model's own parameters for its mechanism, by layer; may be empty.
  // Borrowed.
  absl::Span<const LayerExtras* const> extras;

  // Width of the heads side by side.
  int hidden() const { return num_heads * head_dim; }
};

// The smallest reach_tokens that has no end.
inline constexpr int64_t kWholeDocument = std::numeric_limits<int64_t>::max();

// What a layer's attention is computed from.
struct LayerInput {
  int layer;
  const float* x;    // [rows, model's hidden size]: what was projected
  const float* qkv;  // [rows, stride]: the projections side by side
  // Floats of a row of qkv: 3 * hidden (query, key, value) unless the model's
  // family has other projections in this layer (TensorNames::projections).
  int64_t stride;
};

// One chunk of a batch, in one layer.
struct ChunkSlot {
  int rows;
  // The rows of the tokens that the chunk answers for: without special tokens
  // and without those that only give it context. Not empty.
  int own_begin, own_end;
  // The place of row own_begin in the document, special tokens not counted.
  int64_t first_token;
  // [rows], 0 for a row of padding, which nobody sees; null: none. Only for a
  // mechanism with takes_mask().
  const uint8_t* mask;
  // [rows, hidden], or as wide as the family's ModelConfig::context_width: the
  // attention's output.
  float* context;
  float* scratch;  // [scratch_floats(rows)]: between the steps of one layer
  // [slots], or null: Finish adds the chunk's retrieval weights, times
  // 1 / (retrieving layers * heads).
  float* retrieval_weights;
  // [heads, slots], or null: Finish writes this layer's retrieval weights.
  float* head_weights;
  // [state_layout().meta_floats]: the meta values that the chunk leaves in this
  // layer, which Exchange may complete; null: none are left. Set by the pass
  // for Exchange and Finish.
  float* meta;

  int own_rows() const { return own_end - own_begin; }
  bool wants_weights() const {
    return retrieval_weights != nullptr || head_weights != nullptr;
  }
};

// A batch of consecutive chunks of one document, in one layer.
struct BatchView {
  int layer;
  // The states that the chunks may see; slot j is chunk j of the document.
  LayerStates states;
  // The document's number of chunks.front().
  int64_t first;
  absl::Span<const ChunkSlot> chunks;

  int64_t slots() const { return states.size(); }
};

class Attention {
 public:
  virtual ~Attention() = default;

  // Whether chunks see each other. Without it Exchange and Finish are never
  // called and there are no states.
  virtual bool exchanges() const = 0;
  // Whether they do in this layer.
  virtual bool exchanges_in(int layer) const = 0;
  virtual const RetrievalOptions& retrieval() const = 0;
  // What a chunk leaves behind in each layer that exchanges.
  virtual StateLayout state_layout(int own_rows) const = 0;
  // Floats that a chunk of `rows` keeps between the steps of one layer.
  virtual int64_t scratch_floats(int rows) const = 0;
  // Whether every row of a context is a weighted mean of value rows, so that it
  // stays within their range.
  virtual bool is_convex() const { return false; }
  // Whether a document of one chunk gets exactly what the source model gives.
  virtual bool keeps_source_model() const { return true; }
  // Whether retrieval weights say anything here.
  virtual bool reports_weights() const { return exchanges(); }
  // Whether a chunk's results depend on where in the document it stands,
  // besides its own tokens and the chunks that it sees.
  virtual bool depends_on_place() const { return false; }
  // Whether it heeds ChunkSlot::mask.
  virtual bool takes_mask() const { return false; }
  // In a causal document a chunk that begins at token t looks at no state of
  // tokens before t - reach_tokens() alone: those may be dropped.
  virtual int64_t reach_tokens() const { return kWholeDocument; }
  // Retrieval and state options that this mechanism does not look at, by their
  // public names: who sets one of them is told so.
  virtual std::vector<std::string_view> unused_options() const = 0;
  // The fields of MechanismOptions, and "global_tokens", that it does look at.
  virtual std::vector<std::string_view> mechanism_options() const { return {}; }

  // Fills context and, in a layer that exchanges, scratch and state
  // [state_layout(own_rows).floats()]; `state` is null where none is wanted.
  virtual void Local(const LayerInput& input, const ChunkSlot& chunk,
                     float* state, ComputeContext& compute) const = 0;

  // Exchange(0 .. exchange_items() - 1) are independent of each other; each
  // needs Local done for every chunk of the batch. There may be none.
  virtual int exchange_items() const = 0;
  virtual void Exchange(int item, const BatchView& batch,
                        ComputeContext& compute) const = 0;

  // Needs every Exchange of the layer done. `chunk` indexes batch.chunks.
  virtual void Finish(int chunk, const BatchView& batch,
                      ComputeContext& compute) const = 0;

  // Whether the document must be one batch.
  bool needs_whole_document() const {
    return exchanges() && retrieval().visibility == Visibility::kBidirectional;
  }
  // Whether a first pass makes the states that a second one retrieves from.
  bool needs_two_passes() const {
    return exchanges() && retrieval().visibility == Visibility::kTwoPass;
  }
};

// What a line of attentions.def names. FAILED_PRECONDITION
// (MECHANISM_UNAVAILABLE) for a model that lacks what the mechanism needs.
using AttentionFactory =
    absl::StatusOr<std::unique_ptr<const Attention>>(const AttentionOptions&);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_ATTENTION_H_
