#include "core/model/model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/compute/precision.h"
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
    LH_RETURN_IF_ERROR(LoadAdapter());
    LH_RETURN_IF_ERROR(FillInfo());
    return std::shared_ptr<const Model>(std::move(model_));
  }

 private:
  std::string File(const std::string& name) const {
    return absl::StrCat(options_.directory, "/", name);
  }

  absl::Status CheckOptions() {
    LH_ASSIGN_OR_RETURN(Precision requested,
                        PrecisionFromName(options_.precision));
    precision_ = EffectivePrecision(requested);
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
    if (recipe_.config.special_tokens) {
      model_->prefix_ids_ = tokenizer.prefix_ids();
      model_->suffix_ids_ = tokenizer.suffix_ids();
    }
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
      LH_ASSIGN_OR_RETURN(EncoderLayer layer,
                          EncoderLayer::Load(layers.Scope(absl::StrCat(i)),
                                             root, i, recipe_, precision_));
      model_->layers_.push_back(std::move(layer));
    }
    if (!names.extras.empty() || !names.extra_tensors.empty() ||
        !names.extra_numbers.empty()) {
      for (const EncoderLayer& layer : model_->layers_) {
        model_->layer_extras_.push_back(&layer.extras());
      }
    }
    if (!names.final_norm.empty()) {
      LH_ASSIGN_OR_RETURN(
          model_->final_norm_,
          LayerNorm::Load(encoder.Scope(names.final_norm),
                          recipe_.config.output_size(),
                          recipe_.config.layer_norm_eps, recipe_.config.norm));
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
    embedding.scale = config.embedding_scale;
    LH_RETURN_IF_ERROR(LoadPositions(encoder));
    if (!names.segment_embedding.empty()) {
      LH_ASSIGN_OR_RETURN(
          FloatBuffer segments,
          encoder.Scope(names.segment_embedding)
              .LoadF32("weight", {config.segment_types, hidden}));
      embedding.segment =
          FloatBuffer::CopyOf(segments.span().subspan(0, size_t(hidden)));
    }
    if (!names.embedding_norm.empty()) {
      LH_ASSIGN_OR_RETURN(embedding.norm,
                          LayerNorm::Load(encoder.Scope(names.embedding_norm),
                                          hidden, config.layer_norm_eps));
    }
    return absl::OkStatus();
  }

  absl::Status LoadPositions(const WeightScope& encoder) {
    const ModelConfig& config = recipe_.config;
    Embedding& embedding = model_->embedding_;
    const WeightScope scope = encoder.Scope(recipe_.names.position_embedding);
    switch (config.positions) {
      case ModelConfig::Positions::kTable: {
        LH_ASSIGN_OR_RETURN(embedding.positions,
                            scope.LoadF32("weight", {config.position_rows,
                                                     config.hidden_size}));
        break;
      }
      case ModelConfig::Positions::kAxial:
        return LoadAxial(scope);
      case ModelConfig::Positions::kDocument:
        embedding.frequencies =
            Embedding::SinusoidFrequencies(config.hidden_size);
        return CheckPositionBuffer(encoder);
      case ModelConfig::Positions::kNone:
        break;
    }
    return absl::OkStatus();
  }

  absl::Status LoadAxial(const WeightScope& scope) {
    const ModelConfig& config = recipe_.config;
    Embedding::Axial& axial = model_->embedding_.axial;
    axial.rows = config.axial_shape[0];
    axial.columns = config.axial_shape[1];
    axial.row_size = config.axial_sizes[0];
    axial.column_size = config.axial_sizes[1];
    LH_ASSIGN_OR_RETURN(
        axial.row_table,
        scope.LoadF32("weights.0", {axial.rows, 1, axial.row_size}));
    LH_ASSIGN_OR_RETURN(
        axial.column_table,
        scope.LoadF32("weights.1", {1, axial.columns, axial.column_size}));
    return absl::OkStatus();
  }

  // Sinusoids that the file carries are those that are computed here.
  absl::Status CheckPositionBuffer(const WeightScope& encoder) const {
    const std::string& name = recipe_.names.position_buffer;
    const Shape* shape = encoder.FindShape(name);
    if (shape == nullptr) return absl::OkStatus();
    const int64_t hidden = recipe_.config.hidden_size;
    const int64_t rows = shape->size() == 3 ? (*shape)[1] : 0;
    LH_ASSIGN_OR_RETURN(FloatBuffer stored,
                        encoder.LoadF32(name, {1, rows, hidden}));
    std::vector<float> row(static_cast<size_t>(hidden));
    for (int64_t r = 0; r < rows; ++r) {
      std::fill(row.begin(), row.end(), 0.0f);
      model_->embedding_.AddSinusoids(static_cast<int32_t>(r), row.data());
      for (int64_t i = 0; i < hidden; ++i) {
        if (std::abs(stored.data()[r * hidden + i] - row[size_t(i)]) <=
            kPositionTolerance) {
          continue;
        }
        return MakeError(
            absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
            absl::StrCat("the tensor ", encoder.FullName(name), " gives ",
                         stored.data()[r * hidden + i], " for position ", r,
                         ", dimension ", i, "; the sinusoids of this family ",
                         "have ", row[size_t(i)],
                         " there, so this is not a model that can be served"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status LoadAdapter() {
    const std::string& path = options_.adapter_file;
    if (path.empty()) return absl::OkStatus();
    const ModelConfig& config = model_->config_;
    if (!config.mechanisms.empty()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "ADAPTER_INVALID",
          absl::StrCat(path, ": the mechanisms of the family \"", config.family,
                       "\" take no adapter; load the model without one"));
    }
    LH_ASSIGN_OR_RETURN(model_->adapter_,
                        Adapter::Load(path, {.layers = config.num_layers,
                                             .heads = config.num_heads,
                                             .hidden = config.hidden_size}));
    model_->info_.adapter_fingerprint = model_->adapter_->fingerprint();
    return absl::OkStatus();
  }

  absl::Status FillInfo() {
    ModelInfo& info = model_->info_;
    info.name = options_.name.empty() ? DirectoryName(options_.directory)
                                      : options_.name;
    info.requested_precision = options_.precision;
    info.effective_precision = std::string(PrecisionName(precision_));
    info.onednn_version = OnednnVersion();
    info.isa = EffectiveIsa();
    info.weight_bytes = model_->embedding_.byte_size();
    if (model_->final_norm_) {
      info.weight_bytes += model_->final_norm_->byte_size();
    }
    for (const EncoderLayer& layer : model_->layers_) {
      info.weight_bytes += layer.byte_size();
    }
    if (model_->adapter_) info.weight_bytes += model_->adapter_->byte_size();
    Sha256 hash;
    hash.UpdateField(config_text_);
    hash.UpdateField(weights_file_->bytes());
    hash.UpdateField(absl::StrCat(model_->pooling_, " ", model_->normalize_));
    if (model_->tokenizer_) {
      LH_ASSIGN_OR_RETURN(std::string tokenizer,
                          ReadFile(File("tokenizer.json"), kMaxTokenizerBytes));
      hash.UpdateField(tokenizer);
    }
    if (model_->adapter_) hash.UpdateField(info.adapter_fingerprint);
    // Results differ in their last bits between these.
    hash.UpdateField(absl::StrCat(info.effective_precision, " ", info.isa, " ",
                                  VectorTarget(), " ", info.onednn_version));
    info.fingerprint = hash.HexDigest();
    weights_file_->DropPages();
    return absl::OkStatus();
  }

  static constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
  // Room for a buffer that was stored in bf16.
  static constexpr float kPositionTolerance = 5e-3f;

  const ModelOptions& options_;
  std::shared_ptr<Model> model_;
  Precision precision_ = Precision::kFp32;  // effective
  std::string config_text_;
  FamilyRecipe recipe_;
  std::unique_ptr<const SafetensorsFile> weights_file_;
};

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(
    const ModelOptions& options) {
  return ModelLoader(options).Load();
}

absl::Status Model::CheckMechanism(std::string_view mechanism) const {
  const std::vector<std::string>& known = config_.mechanisms;
  if (known.empty() ||
      std::find(known.begin(), known.end(), mechanism) != known.end()) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   "MECHANISM_UNAVAILABLE",
                   absl::StrCat("a model of the family \"", config_.family,
                                "\" is made for its own mechanisms, not for \"",
                                ToAbsl(mechanism), "\"; use ",
                                absl::StrJoin(known, " or ")));
}

std::vector<int32_t> Model::PositionIds(absl::Span<const int32_t> ids,
                                        int64_t first_token) const {
  std::vector<int32_t> positions(ids.size());
  if (config_.positions == ModelConfig::Positions::kDocument) {
    constexpr int64_t kLast = std::numeric_limits<int32_t>::max();
    for (size_t i = 0; i < ids.size(); ++i) {
      positions[i] =
          static_cast<int32_t>(std::min(first_token + int64_t(i), kLast));
    }
    return positions;
  }
  int32_t next = config_.first_position;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool skipped =
        config_.first_position > 0 && ids[i] == config_.pad_token_id;
    positions[i] = skipped ? config_.pad_token_id : next++;
  }
  return positions;
}

}  // namespace longhand
