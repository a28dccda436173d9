// Reformer (Kitaev et al. 2020, arXiv:2001.04451) as transformers has it, the
// encoder: reversible layers, each with local or with hashed attention, axial
// positions, an output of twice the hidden size.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {
namespace {

// The longest chunk that a request gets which leaves it open.
constexpr int kDefaultChunkRows = 4096;
// Bounds on what a config can make the attention allocate.
constexpr int kMaxChunkLength = 65536;
constexpr int kMaxNeighbors = 64;
constexpr int kMaxHashes = 64;
constexpr int kMaxBuckets = 1 << 30;
constexpr int64_t kMaxLengthMultiple = int64_t{1} << 20;
constexpr int64_t kMaxRotationFloats = int64_t{1} << 26;
// Of one row, for all hashes.
constexpr int64_t kMaxRotatedFloats = int64_t{1} << 16;

struct StretchNumbers {
  int64_t length = 0;
  int64_t before = 0;
  int64_t after = 0;
};

// What the attention mechanism reads.
struct ReformerNumbers {
  std::vector<bool> is_lsh;  // by layer
  StretchNumbers local, lsh;
  int64_t num_hashes = 1;
  std::vector<int64_t> bucket_factors;  // empty: from the length
  int64_t bucket_limit = 0;
  int64_t hash_seed = 0;
  // Of the lengths of the kinds of attention that there are.
  int64_t length_multiple = 1;
  int64_t shortest_length = kMaxChunkLength;

  const StretchNumbers& of_layer(size_t layer) const {
    return is_lsh[layer] ? lsh : local;
  }
  bool has_lsh() const {
    return std::find(is_lsh.begin(), is_lsh.end(), true) != is_lsh.end();
  }
};

absl::Status Invalid(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", what);
}

absl::StatusOr<std::vector<bool>> ReadLayers(const nlohmann::json& json) {
  if (!json.contains("attn_layers") || json["attn_layers"].is_null()) {
    return std::vector<bool>{false, true, false, true, false, true};
  }
  const nlohmann::json& names = json["attn_layers"];
  if (!names.is_array() || names.empty() || names.size() > 1024) {
    return Invalid(
        "\"attn_layers\" is not a list of 1 to 1024 names; give \"local\" or "
        "\"lsh\" for every layer");
  }
  std::vector<bool> is_lsh;
  for (const nlohmann::json& name : names) {
    if (name != "local" && name != "lsh") {
      return Invalid(absl::StrCat("\"attn_layers\" has ", name.dump(),
                                  "; give \"local\" or \"lsh\""));
    }
    is_lsh.push_back(name == "lsh");
  }
  return is_lsh;
}

absl::StatusOr<StretchNumbers> ReadStretch(const nlohmann::json& json,
                                           const std::string& kind) {
  StretchNumbers numbers;
  LH_ASSIGN_OR_RETURN(numbers.length, GetInt(json, kind + "_attn_chunk_length",
                                             1, kMaxChunkLength, 64));
  LH_ASSIGN_OR_RETURN(numbers.before, GetInt(json, kind + "_num_chunks_before",
                                             0, kMaxNeighbors, 1));
  LH_ASSIGN_OR_RETURN(numbers.after, GetInt(json, kind + "_num_chunks_after", 0,
                                            kMaxNeighbors, 0));
  return numbers;
}

absl::StatusOr<std::vector<int64_t>> ReadBucketFactors(
    const nlohmann::json& json) {
  std::vector<int64_t> factors;
  if (!json.contains("num_buckets") || json["num_buckets"].is_null()) {
    return factors;
  }
  const nlohmann::json& value = json["num_buckets"];
  const nlohmann::json list =
      value.is_array() ? value : nlohmann::json::array({value});
  int64_t product = 1;
  for (const nlohmann::json& factor : list) {
    const bool is_even = factor.is_number_integer() && factor >= 2 &&
                         factor <= kMaxBuckets &&
                         factor.get<int64_t>() % 2 == 0;
    product = is_even ? product * factor.get<int64_t>() : 0;
    if (product < 2 || product > kMaxBuckets) {
      product = 0;
      break;
    }
    factors.push_back(factor.get<int64_t>());
  }
  if (factors.empty() || product == 0) {
    return Invalid(absl::StrCat(
        "\"num_buckets\" is ", value.dump(),
        "; give an even number, a list of even numbers whose product is at "
        "most ",
        kMaxBuckets, ", or null"));
  }
  return factors;
}

// Two whole numbers.
absl::Status ReadPair(const nlohmann::json& json, const char* key,
                      const std::vector<int>& default_value, int* pair) {
  nlohmann::json value = default_value;
  if (json.contains(key) && !json[key].is_null()) value = json[key];
  const auto in_range = [](const nlohmann::json& number) {
    return number.is_number_integer() && number >= 1 && number <= (1 << 22);
  };
  if (!value.is_array() || value.size() != 2 || !in_range(value[0]) ||
      !in_range(value[1])) {
    return Invalid(absl::StrCat("\"", key, "\" is ", value.dump(),
                                "; give two whole numbers from 1 to ",
                                1 << 22));
  }
  pair[0] = value[0].get<int>();
  pair[1] = value[1].get<int>();
  return absl::OkStatus();
}

absl::Status ReadPositions(const nlohmann::json& json, ModelConfig* config) {
  LH_ASSIGN_OR_RETURN(
      config->position_rows,
      GetInt(json, "max_position_embeddings", 1, 1 << 22, 4096));
  LH_ASSIGN_OR_RETURN(const bool is_axial,
                      GetBool(json, "axial_pos_embds", true));
  if (!is_axial) return absl::OkStatus();
  config->positions = ModelConfig::Positions::kAxial;
  LH_RETURN_IF_ERROR(
      ReadPair(json, "axial_pos_shape", {64, 64}, config->axial_shape));
  LH_RETURN_IF_ERROR(
      ReadPair(json, "axial_pos_embds_dim", {64, 192}, config->axial_sizes));
  if (config->axial_sizes[0] + config->axial_sizes[1] != config->hidden_size) {
    return Invalid(absl::StrCat(
        "the sizes of \"axial_pos_embds_dim\" do not add up to the hidden "
        "size ",
        config->hidden_size));
  }
  const int64_t places =
      int64_t{config->axial_shape[0]} * config->axial_shape[1];
  config->position_rows =
      static_cast<int>(std::min<int64_t>(config->position_rows, places));
  return absl::OkStatus();
}

// The RotationSize of given factors.
int64_t GivenRotation(const ReformerNumbers& numbers) {
  return std::accumulate(numbers.bucket_factors.begin(),
                         numbers.bucket_factors.end(), int64_t{0}) /
         2;
}

// No less than the RotationSize that any sequence of the model needs.
int64_t LargestRotation(const ReformerNumbers& numbers, int64_t max_positions) {
  if (!numbers.bucket_factors.empty()) return GivenRotation(numbers);
  // About twice as many buckets as stretches, or two factors of those.
  const int64_t stretches =
      (max_positions + numbers.length_multiple) / numbers.lsh.length + 1;
  return std::max(numbers.bucket_limit, 4 * stretches);
}

absl::StatusOr<ReformerNumbers> ReadNumbers(const nlohmann::json& json,
                                            const ModelConfig& config) {
  ReformerNumbers numbers;
  LH_ASSIGN_OR_RETURN(numbers.is_lsh, ReadLayers(json));
  LH_ASSIGN_OR_RETURN(numbers.local, ReadStretch(json, "local"));
  LH_ASSIGN_OR_RETURN(numbers.lsh, ReadStretch(json, "lsh"));
  for (size_t i = 0; i < numbers.is_lsh.size(); ++i) {
    const int64_t length = numbers.of_layer(i).length;
    numbers.length_multiple = std::lcm(numbers.length_multiple, length);
    numbers.shortest_length = std::min(numbers.shortest_length, length);
  }
  if (numbers.length_multiple > kMaxLengthMultiple) {
    return Invalid(absl::StrCat(
        "\"local_attn_chunk_length\" and \"lsh_attn_chunk_length\" have no "
        "common multiple up to ",
        kMaxLengthMultiple, "; give lengths that do"));
  }
  LH_ASSIGN_OR_RETURN(numbers.num_hashes,
                      GetInt(json, "num_hashes", 1, kMaxHashes, 1));
  LH_ASSIGN_OR_RETURN(numbers.bucket_factors, ReadBucketFactors(json));
  // Without one the public implementation draws anew at every call.
  LH_ASSIGN_OR_RETURN(
      numbers.hash_seed,
      GetInt(json, "hash_seed", std::numeric_limits<int64_t>::min(),
             std::numeric_limits<int64_t>::max(), 0));
  LH_ASSIGN_OR_RETURN(
      const int64_t max_positions,
      GetInt(json, "max_position_embeddings", 1, 1 << 22, 4096));
  // Sequences are filled up to a multiple, and what fills them has places too.
  if (numbers.length_multiple >
      std::max<int64_t>(max_positions, numbers.shortest_length)) {
    return Invalid(absl::StrCat(
        "sequences are filled up to multiples of ", numbers.length_multiple,
        " tokens, the common multiple of \"local_attn_chunk_length\" and "
        "\"lsh_attn_chunk_length\", but there are only ",
        max_positions, " positions; give smaller lengths"));
  }
  const int64_t lsh_chunks = max_positions / numbers.lsh.length;
  numbers.bucket_limit =
      2 * std::max(int64_t(std::sqrt(double(lsh_chunks))), numbers.lsh.length);
  const int64_t rotated =
      numbers.num_hashes * LargestRotation(numbers, max_positions);
  if (numbers.has_lsh() &&
      (rotated > kMaxRotatedFloats ||
       int64_t{config.attention_size()} * rotated > kMaxRotationFloats)) {
    return Invalid(
        "\"num_hashes\" and \"num_buckets\" ask for more random numbers than "
        "memory is kept for; give smaller ones");
  }
  return numbers;
}

std::vector<ExtraNumber> ExtraNumbers(const ReformerNumbers& numbers) {
  const size_t layers = numbers.is_lsh.size();
  std::vector<ExtraNumber> all = {{"is_lsh", {}},
                                  {"chunk_length", {}},
                                  {"chunks_before", {}},
                                  {"chunks_after", {}}};
  for (size_t i = 0; i < layers; ++i) {
    const StretchNumbers& stretch = numbers.of_layer(i);
    all[0].by_layer.push_back(numbers.is_lsh[i] ? 1 : 0);
    all[1].by_layer.push_back(stretch.length);
    all[2].by_layer.push_back(stretch.before);
    all[3].by_layer.push_back(stretch.after);
  }
  const auto add = [&](const std::string& role, int64_t number) {
    all.push_back({role, std::vector<int64_t>(layers, number)});
  };
  add("length_multiple", numbers.length_multiple);
  add("unfilled_length", numbers.shortest_length);
  add("num_hashes", numbers.num_hashes);
  add("hash_seed", numbers.hash_seed);
  add("bucket_limit", numbers.bucket_limit);
  add("num_bucket_factors", int64_t(numbers.bucket_factors.size()));
  for (size_t i = 0; i < numbers.bucket_factors.size(); ++i) {
    add(absl::StrCat("bucket_factor_", i), numbers.bucket_factors[i]);
  }
  return all;
}

TensorNames MakeNames(const ModelConfig& config,
                      const ReformerNumbers& numbers) {
  const bool is_axial = config.positions == ModelConfig::Positions::kAxial;
  TensorNames names = {
      .checkpoint_prefix = "reformer",
      .token_embedding = "embeddings.word_embeddings",
      .position_embedding = is_axial
                                ? "embeddings.position_embeddings"
                                : "embeddings.position_embeddings.embedding",
      .segment_embedding = "",
      .embedding_norm = "",
      .layers = "encoder.layers",
      .final_norm = "encoder.layer_norm",
      .query = "",
      .key = "",
      .value = "",
      .attention_output = "attention.output.dense",
      .attention_norm = "attention.layer_norm",
      .feed_forward_in = "feed_forward.dense.dense",
      .feed_forward_out = "feed_forward.output.dense",
      .feed_forward_norm = "feed_forward.layer_norm",
      .projection_bias = false,
      .attention_output_bias = false,
      .extra_numbers = ExtraNumbers(numbers),
      .ignored = {},
      .ignored_heads = {"lm_head.", "classifier.", "qa_outputs."},
  };
  for (size_t i = 0; i < numbers.is_lsh.size(); ++i) {
    const std::string attention = "attention.self_attention.";
    auto& projections = names.projections.emplace_back();
    const std::vector<std::string> kinds =
        numbers.is_lsh[i] ? std::vector<std::string>{"query_key", "value"}
                          : std::vector<std::string>{"query", "key", "value"};
    for (const std::string& name : kinds) {
      projections.push_back({attention + name, config.attention_size()});
    }
    // Constants that older checkpoints carry.
    for (const char* name : {"mask_value_", "self_mask_value_"}) {
      names.ignored.push_back(
          absl::StrCat(names.layers, ".", i, ".", attention, name));
    }
  }
  // The random rotations, for files that carry them.
  if (numbers.has_lsh() && !numbers.bucket_factors.empty()) {
    names.extra_tensors.push_back(
        {.role = "lsh_rotations",
         .name = "lsh_rotations",
         .shape = {config.num_heads, config.head_dim(), numbers.num_hashes,
                   GivenRotation(numbers)},
         .in_layer = false,
         .is_optional = true});
  } else {
    // Their size would depend on the length.
    names.ignored_heads.push_back("lsh_rotations");
  }
  return names;
}

}  // namespace

absl::StatusOr<FamilyRecipe> MakeReformerFamily(const nlohmann::json& json) {
  LH_RETURN_IF_ERROR(CheckPlainEncoder(json));
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  config.family = "reformer";
  LH_ASSIGN_OR_RETURN(config.hidden_size,
                      GetInt(json, "hidden_size", 1, 65536, 256));
  LH_ASSIGN_OR_RETURN(config.num_heads,
                      GetInt(json, "num_attention_heads", 1, 1024, 12));
  LH_ASSIGN_OR_RETURN(config.head_size,
                      GetInt(json, "attention_head_size", 1, 65536, 64));
  LH_ASSIGN_OR_RETURN(config.intermediate_size,
                      GetInt(json, "feed_forward_size", 1, 1 << 20, 512));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24, 320));
  LH_ASSIGN_OR_RETURN(config.pad_token_id,
                      GetInt(json, "pad_token_id", 0, 1 << 24, 0));
  LH_ASSIGN_OR_RETURN(config.layer_norm_eps,
                      GetDouble(json, "layer_norm_eps", 0, 1, 1e-12));
  LH_ASSIGN_OR_RETURN(std::string activation,
                      GetString(json, "hidden_act", "relu"));
  LH_ASSIGN_OR_RETURN(config.activation, ActivationFromName(activation));
  LH_RETURN_IF_ERROR(ReadPositions(json, &config));
  LH_ASSIGN_OR_RETURN(const ReformerNumbers numbers, ReadNumbers(json, config));
  config.num_layers = static_cast<int>(numbers.is_lsh.size());
  config.pre_norm = true;
  config.reversible = true;
  config.default_chunk_rows =
      std::min(config.max_positions(), kDefaultChunkRows);
  config.default_mechanism = "reformer";
  config.mechanisms = {"reformer"};
  LH_RETURN_IF_ERROR(CheckSizes(config));
  recipe.names = MakeNames(config, numbers);
  return recipe;
}

}  // namespace longhand
