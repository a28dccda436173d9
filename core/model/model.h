// Model: the weights of one encoder in the form that the layers compute with,
// its tokenizer and its pooling. After construction all methods are const; safe
// from many threads with distinct ComputeContexts. Shared by shared_ptr.
#ifndef LONGHAND_CORE_MODEL_MODEL_H_
#define LONGHAND_CORE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/attention/adapter.h"
#include "core/attention/layer_extras.h"
#include "core/layers/embedding.h"
#include "core/layers/layer_norm.h"
#include "core/model/encoder_layer.h"
#include "core/model/model_config.h"
#include "core/text/tokenizer.h"

namespace longhand {

struct ModelOptions {
  // A Hugging Face directory: config.json, model.safetensors, tokenizer.json,
  // optionally modules.json and 1_Pooling/config.json (sentence-transformers).
  std::string directory = {};
  // The name that requests may give. Empty: the directory's last component.
  std::string name = {};
  // Of the linear layers: "fp32", "bf16" or "int8", see docs/precision.md.
  std::string precision = "fp32";
  // Load without tokenizer.json: token ids only.
  bool without_tokenizer = false;
  // An adapter for retrieval, see core/attention/adapter.h. Empty: none.
  std::string adapter_file = {};
};

// What was loaded; all of it printable.
struct ModelInfo {
  std::string name;
  std::string fingerprint;          // SHA-256, hexadecimal
  std::string requested_precision;  // as asked for
  std::string stored_precision;     // of the weights in the file
  std::string effective_precision;  // of the arithmetic on this machine
  std::string onednn_version;
  std::string isa;                           // that oneDNN dispatches to
  uint64_t weight_bytes = 0;                 // resident after packing
  std::vector<std::string> ignored_tensors;  // in the file, not in the encoder
  std::string adapter_fingerprint;  // SHA-256, hexadecimal; empty: none
};

class Model {
 public:
  // Errors say which file and what about it: NOT_FOUND (MODEL_MISSING,
  // TOKENIZER_MISSING, ADAPTER_MISSING), INVALID_ARGUMENT (WEIGHTS_INVALID,
  // TOKENIZER_INVALID, ADAPTER_INVALID, PRECISION_UNSUPPORTED), UNIMPLEMENTED
  // (MODEL_UNSUPPORTED).
  static absl::StatusOr<std::shared_ptr<const Model>> Load(
      const ModelOptions& options);

  const ModelConfig& config() const { return config_; }
  const ModelInfo& info() const { return info_; }
  // Null if loaded without one.
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }

  // Null if none was loaded.
  const Adapter* adapter() const { return adapter_.get(); }

  // The registered name and whether vectors are scaled to L2 norm 1.
  const std::string& pooling() const { return pooling_; }
  bool normalize() const { return normalize_; }

  const Embedding& embedding() const { return embedding_; }
  absl::Span<const EncoderLayer> layers() const { return layers_; }
  // Of the last layer's output; null: none.
  const LayerNorm* final_norm() const {
    return final_norm_ ? &*final_norm_ : nullptr;
  }
  // For AttentionOptions::extras: one per layer, or none.
  absl::Span<const LayerExtras* const> layer_extras() const {
    return layer_extras_;
  }
  // FAILED_PRECONDITION (MECHANISM_UNAVAILABLE), naming those that it can run,
  // for a mechanism that the model's weights are not made for. Whether a
  // mechanism finds the parameters that it needs is its factory's to say.
  absl::Status CheckMechanism(std::string_view mechanism) const;

  // Where the tokens of one sequence stand; [ids]. Depends on the ids alone,
  // not on any mask, as in the public implementations. first_token: the place
  // of ids.front() in its document, which matters to
  // ModelConfig::Positions::kDocument alone.
  std::vector<int32_t> PositionIds(absl::Span<const int32_t> ids,
                                   int64_t first_token = 0) const;

  // Special tokens around every chunk.
  absl::Span<const int32_t> prefix_ids() const { return prefix_ids_; }
  absl::Span<const int32_t> suffix_ids() const { return suffix_ids_; }

 private:
  friend class ModelLoader;
  Model() = default;

  ModelConfig config_;
  ModelInfo info_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::string pooling_;
  bool normalize_ = false;
  std::vector<int32_t> prefix_ids_;
  std::vector<int32_t> suffix_ids_;
  Embedding embedding_;
  std::vector<EncoderLayer> layers_;
  std::vector<const LayerExtras*> layer_extras_;
  std::optional<LayerNorm> final_norm_;
  std::shared_ptr<const Adapter> adapter_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_MODEL_H_
