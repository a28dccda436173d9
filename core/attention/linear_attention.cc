// Linear attention (Katharopoulos et al. 2020, arXiv:2006.16236): kernel
// attention with phi(x) = elu(x) + 1 on queries and keys that are not scaled.
// A chunk on its own gets the paper's form without a mask over all of its rows.

#include "core/attention/kernel_attention.h"
#include "core/base/status_macros.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

class LinearAttention final : public KernelAttention {
 public:
  explicit LinearAttention(const AttentionOptions& options)
      : KernelAttention(options, options.head_dim) {}

 protected:
  void LogKeyFeatures(int, const HeadRows& keys, float* y) const override {
    for (int r = 0; r < keys.rows; ++r) {
      const float* key = keys.data + r * keys.stride;
      for (int f = 0; f < features(); ++f) {
        y[int64_t{f} * keys.rows + r] = key[f];
      }
    }
    LogEluPlusOne(y, int64_t{keys.rows} * features(), y);
  }

  void LogQueryFeatures(int, const HeadRows& queries, float* y) const override {
    for (int r = 0; r < queries.rows; ++r) {
      LogEluPlusOne(queries.data + r * queries.stride, features(),
                    y + int64_t{r} * features());
    }
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeLinearAttention(
    const AttentionOptions& options) {
  LH_RETURN_IF_ERROR(CheckKernelVisibility(options, "linear"));
  return std::make_unique<const LinearAttention>(options);
}

}  // namespace longhand
