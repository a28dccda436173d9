#include "core/attention/adapter.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"
#include "core/weights/safetensors.h"

namespace longhand {
namespace {

// As many as the option random_features takes.
constexpr int64_t kMaxFeatures = 4096;

absl::Status Invalid(const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "ADAPTER_INVALID",
                   message);
}

absl::StatusOr<std::vector<float>> LoadVector(const WeightScope& scope,
                                              std::string_view name, int size) {
  if (!scope.Has(name)) return std::vector<float>();
  LH_ASSIGN_OR_RETURN(FloatBuffer values, scope.LoadF32(name, {size}));
  return std::vector<float>(values.span().begin(), values.span().end());
}

absl::StatusOr<std::optional<Adapter::LowRank>> LoadLowRank(
    const WeightScope& scope, int hidden) {
  const Shape* down = scope.FindShape("down.weight");
  const Shape* up = scope.FindShape("up.weight");
  if (down == nullptr && up == nullptr) return std::nullopt;
  if (down == nullptr || up == nullptr) {
    return Invalid(absl::StrCat(scope.FullName("down.weight"), " and ",
                                scope.FullName("up.weight"),
                                " only make sense together; give both"));
  }
  if (down->size() != 2 || (*down)[0] < 1 || (*down)[0] > hidden) {
    return Invalid(absl::StrCat(scope.FullName("down.weight"), " is ",
                                ShapeToString(*down), "; give [rank, ", hidden,
                                "] with a rank from 1 to ", hidden));
  }
  Adapter::LowRank result;
  result.rank = static_cast<int>((*down)[0]);
  LH_ASSIGN_OR_RETURN(result.down,
                      scope.LoadF32("down.weight", {result.rank, hidden}));
  LH_ASSIGN_OR_RETURN(result.up,
                      scope.LoadF32("up.weight", {hidden, result.rank}));
  return std::optional<Adapter::LowRank>(std::move(result));
}

absl::StatusOr<FloatBuffer> LoadProjection(const WeightScope& scope,
                                           const Adapter::Sizes& sizes) {
  constexpr std::string_view kName = "projection";
  const Shape* shape = scope.FindShape(kName);
  if (shape == nullptr) return FloatBuffer();
  const int64_t dim = sizes.hidden / sizes.heads;
  if (shape->size() != 2 || (*shape)[0] < 1 || (*shape)[0] > kMaxFeatures) {
    return Invalid(absl::StrCat(
        scope.FullName(kName), " is ", ShapeToString(*shape),
        "; give [features, ", dim, "] with 1 to ", kMaxFeatures, " features"));
  }
  return scope.LoadF32(kName, {(*shape)[0], dim});
}

absl::StatusOr<Adapter::Layer> LoadLayer(const WeightScope& scope,
                                         const Adapter::Sizes& sizes) {
  Adapter::Layer layer;
  LH_ASSIGN_OR_RETURN(layer.gate, LoadVector(scope, "gate", sizes.heads));
  for (float gate : layer.gate) {
    if (gate >= 0 && gate <= 1) continue;
    return Invalid(absl::StrCat(scope.FullName("gate"), " has the value ", gate,
                                "; gates lie between 0 and 1"));
  }
  LH_ASSIGN_OR_RETURN(layer.temperature,
                      LoadVector(scope, "temperature", sizes.heads));
  LH_ASSIGN_OR_RETURN(layer.meta_query,
                      LoadLowRank(scope.Scope("meta_query"), sizes.hidden));
  LH_ASSIGN_OR_RETURN(layer.meta_key,
                      LoadLowRank(scope.Scope("meta_key"), sizes.hidden));
  LH_ASSIGN_OR_RETURN(layer.query,
                      LoadLowRank(scope.Scope("query"), sizes.hidden));
  LH_ASSIGN_OR_RETURN(layer.performer_projection,
                      LoadProjection(scope.Scope("performer"), sizes));
  return layer;
}

absl::StatusOr<std::vector<Adapter::Layer>> LoadLayers(
    const SafetensorsFile& file, const Adapter::Sizes& sizes) {
  const WeightScope root(&file);
  std::vector<Adapter::Layer> layers;
  for (int i = 0; i < sizes.layers; ++i) {
    LH_ASSIGN_OR_RETURN(
        Adapter::Layer layer,
        LoadLayer(root.Scope(absl::StrCat("layers.", i)), sizes));
    if (i > 0 && layer.performer_projection.size() !=
                     layers[0].performer_projection.size()) {
      return Invalid(absl::StrCat(
          "layers 0 and ", i,
          " differ in the number of features of "
          "performer.projection; give it in all layers, as large in each"));
    }
    layers.push_back(std::move(layer));
  }
  LH_RETURN_IF_ERROR(root.CheckAllRead());
  return layers;
}

absl::Status WithFile(const absl::Status& status, const std::string& path) {
  return WithContext(
      status, absl::IsNotFound(status) ? "ADAPTER_MISSING" : "ADAPTER_INVALID",
      absl::StrCat("the adapter ", path));
}

uint64_t BytesOf(const std::optional<Adapter::LowRank>& matrix) {
  return matrix ? matrix->down.byte_size() + matrix->up.byte_size() : 0;
}

}  // namespace

void Adapter::LowRank::AddTo(const float* x, int rows, int64_t stride,
                             ComputeContext& compute, float* y) const {
  const int hidden = static_cast<int>(down.size()) / rank;
  float* inner =
      compute.workspace().Allocate<float>(size_t(rows) * size_t(rank));
  float* sum =
      compute.workspace().Allocate<float>(size_t(rows) * size_t(hidden));
  Gemm(rows, rank, hidden, 1.0f, {x, hidden},
       {down.data(), hidden, /*transposed=*/true}, inner, rank);
  Gemm(rows, hidden, rank, 1.0f, {inner, rank},
       {up.data(), rank, /*transposed=*/true}, sum, hidden);
  for (int r = 0; r < rows; ++r) {
    longhand::AddTo(sum + int64_t{r} * hidden, hidden, y + r * stride);
  }
}

absl::StatusOr<std::shared_ptr<const Adapter>> Adapter::Load(
    const std::string& path, const Sizes& sizes) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) return WithFile(file.status(), path);
  auto layers = LoadLayers(**file, sizes);
  if (!layers.ok()) return WithFile(layers.status(), path);
  auto adapter = std::make_shared<Adapter>();
  adapter->layers_ = *std::move(layers);
  Sha256 hash;
  hash.Update((*file)->bytes());
  adapter->fingerprint_ = hash.HexDigest();
  return adapter;
}

uint64_t Adapter::byte_size() const {
  uint64_t bytes = 0;
  for (const Layer& layer : layers_) {
    bytes += sizeof(float) * (layer.gate.size() + layer.temperature.size()) +
             BytesOf(layer.meta_query) + BytesOf(layer.meta_key) +
             BytesOf(layer.query) + layer.performer_projection.byte_size();
  }
  return bytes;
}

}  // namespace longhand
