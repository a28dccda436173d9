#include "core/model/model.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/compute/runtime.h"
#include "core/model/family.h"
#include "core/model/sentence_config.h"
#include "core/weights/safetensors.h"
#include "core/weights/weight_scope.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

// The directory's last component; "models/x/" and "." give a name too.
std::string DirectoryName(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path =
      std::filesystem::weakly_canonical(directory, error);
  if (error || path.filename().empty()) return "model";
  return path.filename().string();
}

}  // namespace

// Reads one model directory; used once.
class ModelLoader {
 public:
  explicit ModelLoader(const ModelOptions& options)
      : options_(options), model_(new Model) {}

  absl::StatusOr<std::shared_ptr<const Model>> Load() {
    LH_RETURN_IF_ERROR(CheckOptions());
    LH_RETURN_IF_ERROR(ReadConfig());
    LH_ASSIGN_OR_RETURN(SentenceConfig sentence,
                        ReadSentenceConfig(options_.directory));
    model_->pooling_ = sentence.pooling;
    model_->normalize_ = sentence.normalize;
    LH_RETURN_IF_ERROR(LoadTokenizer());
    LH_RETURN_IF_ERROR(LoadWeights());
    LH_RETURN_IF_ERROR(FillInfo());
    return std::shared_ptr<const Model>(std::move(model_));
  }

 private:
  std::string File(const std::string& name) const {
    return absl::StrCat(options_.directory, "/", name);
  }

  absl::Status CheckOptions() const {
    if (options_.precision != "fp32") {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       "PRECISION_UNSUPPORTED",
                       absl::StrCat("the precision \"", options_.precision,
                                    "\" is not supported; use fp32"));
    }
    std::error_code error;
    if (!std::filesystem::is_directory(options_.directory, error)) {
      return MakeError(
          absl::StatusCode::kNotFound, "MODEL_MISSING",
          absl::StrCat("the model directory ", options_.directory,
                       " does not exist; give the directory that holds "
                       "config.json, model.safetensors and tokenizer.json"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadConfig() {
    const std::string path = File("config.json");
    absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigBytes);
    if (absl::IsNotFound(text.status())) {
      return MakeError(absl::StatusCode::kNotFound, "MODEL_MISSING",
                       absl::StrCat(options_.directory,
                                    " is not a model directory: it has no "
                                    "config.json"));
    }
    if (!text.ok()) return text.status();
    config_text_ = *std::move(text);
    absl::StatusOr<nlohmann::json> json = ParseJson(config_text_);
    if (!json.ok()) return WithContext(json.status(), "CONFIG_INVALID", path);
    absl::StatusOr<std::string> family_name = GetString(*json, "model_type");
    if (!family_name.ok()) {
      return WithContext(family_name.status(), "CONFIG_INVALID", path);
    }
    const std::string& family = *family_name;
    absl::StatusOr<FamilyFactory*> make = FamilyRegistry().Find(family);
    if (!make.ok()) {
      return WithContext(make.status(), "MODEL_UNSUPPORTED",
                         absl::StrCat(path, ": model_type \"", family, "\""));
    }
    absl::StatusOr<FamilyRecipe> recipe = (**make)(*json);
    if (!recipe.ok()) {
      const auto detail = GetErrorDetail(recipe.status());
      return WithContext(recipe.status(),
                         detail ? detail->reason : "CONFIG_INVALID", path);
    }
    recipe_ = *std::move(recipe);
    model_->config_ = recipe_.config;
    return absl::OkStatus();
  }

  absl::Status LoadTokenizer() {
    if (options_.without_tokenizer) return absl::OkStatus();
    LH_ASSIGN_OR_RETURN(model_->tokenizer_,
                        Tokenizer::Load(File("tokenizer.json")));
    const Tokenizer& tokenizer = *model_->tokenizer_;
    if (tokenizer.vocab_size() > recipe_.config.vocab_size) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID",
          absl::StrCat(File("tokenizer.json"), " has ", tokenizer.vocab_size(),
                       " entries, but the model has vectors for ",
                       recipe_.config.vocab_size,
                       "; take both files from the same model"));
    }
    model_->prefix_ids_ = tokenizer.prefix_ids();
    model_->suffix_ids_ = tokenizer.suffix_ids();
    return absl::OkStatus();
  }

  absl::Status LoadWeights() {
    LH_ASSIGN_OR_RETURN(weights_file_,
                        SafetensorsFile::Open(File("model.safetensors")));
    WeightScope root(weights_file_.get());
    const TensorNames& names = recipe_.names;
    // A task checkpoint holds the encoder under the family's prefix.
    const bool prefixed = root.Has(absl::StrCat(
        names.checkpoint_prefix, ".", names.token_embedding, ".weight"));
    const WeightScope encoder =
        prefixed ? root.Scope(names.checkpoint_prefix) : root;
    for (const std::string& name : names.ignored) encoder.Ignore(name);
    for (const std::string& name : names.ignored_heads) root.Ignore(name);
    LH_RETURN_IF_ERROR(LoadEmbedding(encoder));
    const WeightScope layers = encoder.Scope(names.layers);
    for (int i = 0; i < recipe_.config.num_layers; ++i) {
      LH_ASSIGN_OR_RETURN(
          EncoderLayer layer,
          EncoderLayer::Load(layers.Scope(absl::StrCat(i)), recipe_));
      model_->layers_.push_back(std::move(layer));
    }
    LH_RETURN_IF_ERROR(root.CheckAllRead());
    model_->info_.ignored_tensors = root.IgnoredTensors();
    model_->info_.stored_precision = root.StoredPrecision();
    return absl::OkStatus();
  }

  absl::Status LoadEmbedding(const WeightScope& encoder) {
    const ModelConfig& config = recipe_.config;
    const TensorNames& names = recipe_.names;
    const int hidden = config.hidden_size;
    Embedding& embedding = model_->embedding_;
    embedding.hidden_size = hidden;
    LH_ASSIGN_OR_RETURN(embedding.tokens,
                        encoder.Scope(names.token_embedding)
                            .LoadF32("weight", {config.vocab_size, hidden}));
    LH_ASSIGN_OR_RETURN(embedding.positions,
                        encoder.Scope(names.position_embedding)
                            .LoadF32("weight", {config.position_rows, hidden}));
    if (!names.segment_embedding.empty()) {
      LH_ASSIGN_OR_RETURN(
          FloatBuffer segments,
          encoder.Scope(names.segment_embedding)
              .LoadF32("weight", {config.segment_types, hidden}));
      embedding.segment =
          FloatBuffer::CopyOf(segments.span().subspan(0, size_t(hidden)));
    }
    LH_ASSIGN_OR_RETURN(embedding.norm,
                        LayerNorm::Load(encoder.Scope(names.embedding_norm),
                                        hidden, config.layer_norm_eps));
    return absl::OkStatus();
  }

  absl::Status FillInfo() {
    ModelInfo& info = model_->info_;
    info.name = options_.name.empty() ? DirectoryName(options_.directory)
                                      : options_.name;
    info.requested_precision = options_.precision;
    info.effective_precision = "fp32";
    info.onednn_version = OnednnVersion();
    info.isa = EffectiveIsa();
    info.weight_bytes = model_->embedding_.byte_size();
    for (const EncoderLayer& layer : model_->layers_) {
      info.weight_bytes += layer.byte_size();
    }
    Sha256 hash;
    hash.UpdateField(config_text_);
    hash.UpdateField(weights_file_->bytes());
    hash.UpdateField(absl::StrCat(model_->pooling_, " ", model_->normalize_));
    if (model_->tokenizer_) {
      LH_ASSIGN_OR_RETURN(std::string tokenizer,
                          ReadFile(File("tokenizer.json"), kMaxTokenizerBytes));
      hash.UpdateField(tokenizer);
    }
    // Results differ in their last bits between these.
    hash.UpdateField(absl::StrCat(info.effective_precision, " ", info.isa, " ",
                                  VectorTarget(), " ", info.onednn_version));
    info.fingerprint = hash.HexDigest();
    weights_file_->DropPages();
    return absl::OkStatus();
  }

  static constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;

  const ModelOptions& options_;
  std::shared_ptr<Model> model_;
  std::string config_text_;
  FamilyRecipe recipe_;
  std::unique_ptr<const SafetensorsFile> weights_file_;
};

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(
    const ModelOptions& options) {
  return ModelLoader(options).Load();
}

std::vector<int32_t> Model::PositionIds(absl::Span<const int32_t> ids) const {
  std::vector<int32_t> positions(ids.size());
  int32_t next = config_.first_position;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool skipped =
        config_.first_position > 0 && ids[i] == config_.pad_token_id;
    positions[i] = skipped ? config_.pad_token_id : next++;
  }
  return positions;
}

}  // namespace longhand
