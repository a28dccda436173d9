// The performer's attention (FAVOR+, Choromanski et al. 2020,
// arXiv:2009.14794): kernel attention whose features approximate softmax
// attention. With x' = x d^(-1/4) and m random directions w_f,
//   phi_f(x) = exp(w_f . x' - |x'|^2 / 2)
// has the expectation phi(q) . phi(k) = m exp(q . k / sqrt(d)); the error falls
// as 1 / sqrt(m). The paper's epsilon is not needed here. Directions are the
// adapter's, if it has some, whatever random_features and seed say; otherwise
// those of DrawOrthogonalFeatures, one draw for all heads of a layer.

#include <cmath>
#include <mutex>

#include "core/attention/adapter.h"
#include "core/attention/kernel_attention.h"
#include "core/attention/random_features.h"
#include "core/base/status_macros.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

// The adapter's directions [features, head_dim] in a layer, or null.
const FloatBuffer* AdapterProjection(const AttentionOptions& options,
                                     int layer) {
  if (options.adapter == nullptr) return nullptr;
  const FloatBuffer& projection =
      options.adapter->layer(layer).performer_projection;
  return projection.empty() ? nullptr : &projection;
}

int NumFeatures(const AttentionOptions& options) {
  if (const FloatBuffer* projection = AdapterProjection(options, 0)) {
    return static_cast<int>(projection->size()) / options.head_dim;
  }
  const int wanted = *options.mechanism.random_features;
  return wanted > 0 ? wanted : DefaultRandomFeatures(options.head_dim);
}

class PerformerAttention final : public KernelAttention {
 public:
  explicit PerformerAttention(const AttentionOptions& options)
      : KernelAttention(options, NumFeatures(options)),
        scale_(1.0f / std::sqrt(std::sqrt(float(options.head_dim)))),
        drawn_(static_cast<size_t>(options.num_layers)) {}

  std::vector<std::string_view> mechanism_options() const override {
    // The adapter's directions are as they are.
    if (AdapterProjection(options(), 0) != nullptr) return {};
    return {"random_features", "seed"};
  }

 protected:
  void LogKeyFeatures(int layer, const HeadRows& keys,
                      float* y) const override {
    const int d = options().head_dim;
    float half_squares[kBlockRows];  // negative
    for (int r = 0; r < keys.rows; ++r) {
      const float* key = keys.data + r * keys.stride;
      Dots(key, {&key, 1}, d, -0.5f * scale_ * scale_, half_squares + r);
    }
    Gemm(features(), keys.rows, d, scale_, {Projection(layer), d},
         {keys.data, keys.stride, /*transposed=*/true}, y, keys.rows);
    for (int f = 0; f < features(); ++f) {
      AddTo(half_squares, keys.rows, y + int64_t{f} * keys.rows);
    }
  }

  void LogQueryFeatures(int layer, const HeadRows& queries,
                        float* y) const override {
    const int d = options().head_dim;
    Gemm(queries.rows, features(), d, scale_, {queries.data, queries.stride},
         {Projection(layer), d, /*transposed=*/true}, y, features());
  }

 private:
  struct Drawn {
    std::once_flag once;
    FloatBuffer projection;
  };

  // [features, head_dim]. Drawn when it is first needed: many an Attention is
  // only made to check options.
  const float* Projection(int layer) const {
    if (const FloatBuffer* projection = AdapterProjection(options(), layer)) {
      return projection->data();
    }
    Drawn& drawn = drawn_[size_t(layer)];
    std::call_once(drawn.once, [&] {
      drawn.projection =
          DrawOrthogonalFeatures({.seed = *options().mechanism.seed,
                                  .layer = layer,
                                  .features = features(),
                                  .dim = options().head_dim});
    });
    return drawn.projection.data();
  }

  const float scale_;
  mutable std::vector<Drawn> drawn_;  // by layer
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakePerformerAttention(
    const AttentionOptions& options) {
  LH_RETURN_IF_ERROR(CheckKernelVisibility(options, "performer"));
  return std::make_unique<const PerformerAttention>(options);
}

}  // namespace longhand
