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
#include "nlohmann/json.hpp"

namespace longhand {

// A linear layer that the attention mechanism asks for by its role, see
// LayerExtras.
struct ExtraLinear {
  std::string role;
  std::string name;  // inside a layer
  int inputs;
  int outputs;
};

// Names below the checkpoint's prefix, without ".weight" and ".bias".
struct TensorNames {
  // What task checkpoints put before every name ("bert"); base checkpoints
  // have no prefix.
  std::string checkpoint_prefix;
  std::string token_embedding;
  std::string position_embedding;  // empty: none, positions are sinusoids
  // The sinusoids [1, any, hidden] as some files carry them: checked against
  // ours, not used.
  std::string position_buffer = {};
  std::string segment_embedding;  // empty: none
  std::string embedding_norm;     // empty: none
  std::string layers;             // followed by ".N"
  std::string final_norm = {};    // after the last layer; empty: none
  // Inside a layer.
  std::string query, key, value;
  std::string attention_output, attention_norm;
  std::string feed_forward_in, feed_forward_out, feed_forward_norm;
  std::vector<ExtraLinear> extras = {};
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
