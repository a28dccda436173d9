// A model family: how its config.json reads and what its tensors are called.
// One file and one line in families.def per family. Pure functions; safe from
// any thread.
#ifndef LONGHAND_CORE_MODEL_FAMILY_H_
#define LONGHAND_CORE_MODEL_FAMILY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/registry.h"
#include "core/model/model_config.h"
#include "core/tensor/tensor.h"
#include "nlohmann/json.hpp"

namespace longhand {

// A linear layer that the attention mechanism asks for by its role, see
// LayerExtras.
struct ExtraLinear {
  std::string role;
  std::string name;  // inside a layer
  int inputs;
  int outputs;
  bool has_bias = true;
};

// A tensor that it asks for by its role.
struct ExtraTensor {
  std::string role;
  std::string name;
  Shape shape;
  // Whether it lies inside each layer, or once at the top of the file.
  bool in_layer = true;
  bool is_optional = false;
};

// A number that it asks for by its role, for every layer.
struct ExtraNumber {
  std::string role;
  std::vector<int64_t> by_layer;  // [layers]
};

// One of the linear layers whose outputs, side by side, the attention is
// computed from.
struct Projection {
  std::string name;  // inside a layer
  int outputs;
};

// Names below the checkpoint's prefix, without ".weight" and ".bias".
struct TensorNames {
  // What task checkpoints put before every name ("bert"); base checkpoints
  // have no prefix.
  std::string checkpoint_prefix;
  std::string token_embedding;
  // Empty: none, see ModelConfig::positions. Axial positions have
  // ".weights.0" and ".weights.1" behind it.
  std::string position_embedding;
  // The sinusoids [1, any, hidden] as some files carry them: checked against
  // ours, not used.
  std::string position_buffer = {};
  std::string segment_embedding;  // empty: none
  std::string embedding_norm;     // empty: none
  std::string layers;             // followed by ".N"
  std::string final_norm = {};    // after the last layer; empty: none
  // Inside a layer.
  std::string query, key, value;
  // By layer, in place of query, key and value; empty: those.
  std::vector<std::vector<Projection>> projections = {};
  std::string attention_output, attention_norm;
  // Empty: the layers have none.
  std::string feed_forward_in, feed_forward_out, feed_forward_norm;
  // Its product multiplies that of feed_forward_in, which is not activated
  // then; empty: none.
  std::string feed_forward_gate = {};
  // Whether these linear layers have a bias.
  bool projection_bias = true;
  bool attention_output_bias = true;
  bool feed_forward_bias = true;
  std::vector<ExtraLinear> extras = {};
  std::vector<ExtraTensor> extra_tensors = {};
  std::vector<ExtraNumber> extra_numbers = {};
  // Prefixes of tensors that an encoder does not need: below the checkpoint
  // prefix, and outside of it (heads of tasks).
  std::vector<std::string> ignored;
  std::vector<std::string> ignored_heads;
};

struct FamilyRecipe {
  ModelConfig config;
  TensorNames names;
};

// Reads and validates config.json. INVALID_ARGUMENT (CONFIG_INVALID) or
// UNIMPLEMENTED (MODEL_UNSUPPORTED), naming the key.
using FamilyFactory = absl::StatusOr<FamilyRecipe>(const nlohmann::json&);

const Registry<FamilyFactory>& FamilyRegistry();

// Shared by the families with BERT's config keys and tensor names: everything
// but the family's own. Leaves config.family, first_position and the checkpoint
// prefix to the caller.
absl::StatusOr<FamilyRecipe> ReadBertLike(const nlohmann::json& json);

// Refuses a config that asks for what no family here computes: a decoder,
// cross-attention, relative positions, quantised weights.
absl::Status CheckPlainEncoder(const nlohmann::json& json);

// Refuses sizes that do not fit each other.
absl::Status CheckSizes(const ModelConfig& config);

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_FAMILY_H_
