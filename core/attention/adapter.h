// Adapter: a trained addition to a model for retrieval between chunks. The base
// weights stay as they are, so a chunk alone gives what the base model gives.
// Immutable once loaded; safe from many threads.
//
// The file is safetensors; every tensor is optional, N is a layer, H the number
// of heads, D the hidden size, r any rank from 1 to D:
//   layers.N.gate                      [H]     as head_gates, 0 to 1
//   layers.N.temperature               [H]     factor of the chunk scores
//   layers.N.meta_query.down.weight    [r, D]  R = mean(Q) + up down mean(X)
//   layers.N.meta_query.up.weight      [D, r]
//   layers.N.meta_key.{down,up}.weight         H = mean(K) + up down mean(X)
//   layers.N.query.{down,up}.weight            queries of the retrieval alone:
//                                              Q' = Q + up down X
//   layers.N.performer.projection      [m, D/H] the performer's directions, in
//                                              all layers or none and as many
//                                              in each, 1 to 4096
// X is the layer's input; means are over the chunk's own tokens.
#ifndef LONGHAND_CORE_ATTENTION_ADAPTER_H_
#define LONGHAND_CORE_ATTENTION_ADAPTER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/compute/compute_context.h"
#include "core/tensor/tensor.h"
#include "core/weights/weight_scope.h"

namespace longhand {

class Adapter {
 public:
  struct Sizes {
    int layers = 0;
    int heads = 0;
    int hidden = 0;
  };

  // up down, a matrix of low rank.
  struct LowRank {
    int rank = 0;
    FloatBuffer down;  // [rank, hidden]
    FloatBuffer up;    // [hidden, rank]

    // y[rows, hidden] += x[rows, hidden] down^T up^T, rows of y `stride` apart.
    void AddTo(const float* x, int rows, int64_t stride,
               ComputeContext& compute, float* y) const;
  };

  struct Layer {
    std::vector<float> gate;         // [heads], or empty
    std::vector<float> temperature;  // [heads], or empty
    std::optional<LowRank> meta_query;
    std::optional<LowRank> meta_key;
    std::optional<LowRank> query;
    FloatBuffer performer_projection;  // [features, hidden / heads], or empty
  };

  // NOT_FOUND (ADAPTER_MISSING); INVALID_ARGUMENT (ADAPTER_INVALID) for a file
  // that is broken or does not fit the sizes.
  static absl::StatusOr<std::shared_ptr<const Adapter>> Load(
      const std::string& path, const Sizes& sizes);

  const Layer& layer(int layer) const { return layers_[size_t(layer)]; }
  // SHA-256 of the file, hexadecimal.
  const std::string& fingerprint() const { return fingerprint_; }
  uint64_t byte_size() const;

 private:
  std::string fingerprint_;
  std::vector<Layer> layers_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_ADAPTER_H_
