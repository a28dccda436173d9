// Model: the weights of one encoder in the form that the layers compute with,
// its tokenizer and its pooling. After construction all methods are const; safe
// from many threads with distinct ComputeContexts. Shared by shared_ptr.
#ifndef LONGHAND_CORE_MODEL_MODEL_H_
#define LONGHAND_CORE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/layers/embedding.h"
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
  // "fp32".
  std::string precision = "fp32";
  // Load without tokenizer.json: token ids only.
  bool without_tokenizer = false;
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
};

class Model {
 public:
  // Errors say which file and what about it: NOT_FOUND (MODEL_MISSING,
  // TOKENIZER_MISSING), INVALID_ARGUMENT (MODEL_INVALID, WEIGHTS_INVALID,
  // TOKENIZER_INVALID), UNIMPLEMENTED (MODEL_UNSUPPORTED).
  static absl::StatusOr<std::shared_ptr<const Model>> Load(
      const ModelOptions& options);

  const ModelConfig& config() const { return config_; }
  const ModelInfo& info() const { return info_; }
  // Null if loaded without one.
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }

  // The registered name and whether vectors are scaled to L2 norm 1.
  const std::string& pooling() const { return pooling_; }
  bool normalize() const { return normalize_; }

  const Embedding& embedding() const { return embedding_; }
  absl::Span<const EncoderLayer> layers() const { return layers_; }

  // Where the tokens of one sequence stand; [ids]. Depends on the ids alone,
  // not on any mask, as in the public implementations.
  std::vector<int32_t> PositionIds(absl::Span<const int32_t> ids) const;

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
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_MODEL_H_
