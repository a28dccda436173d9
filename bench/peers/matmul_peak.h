// MatmulPeak: the rate at which this machine multiplies matrices of a model's
// own shapes with nothing else to do: what a forward pass is measured against.
// Owns weights of those shapes. Called from one thread, which starts threads of
// its own and waits for them.
#ifndef LONGHAND_BENCH_PEERS_MATMUL_PEAK_H_
#define LONGHAND_BENCH_PEERS_MATMUL_PEAK_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/compute/matmul.h"
#include "core/compute/precision.h"
#include "core/model/model_config.h"

namespace longhand::peers {

struct LinearShape {
  int inputs = 0;
  int outputs = 0;

  bool operator==(const LinearShape&) const = default;
};

// The linear layers of one encoder layer: queries, keys and values as one
// product, the attention's output, the two of the feed-forward part.
std::vector<LinearShape> LayerShapes(const ModelConfig& config);

// Of the linear layers of a whole forward pass, for one row: two for each
// weight.
int64_t FlopsPerRow(const ModelConfig& config);

// So many chunks of so many rows each.
struct RowCount {
  int rows = 0;
  int chunks = 1;
};

struct PeakRate {
  double flops_per_second = 0;  // of all workers together
  double rows_per_second = 0;   // that this rate would give
};

class MatmulPeak {
 public:
  // Packs random weights, without activation and without a sum, for the model's
  // shapes. PackedLinear::Pack's errors.
  static absl::StatusOr<MatmulPeak> Create(const ModelConfig& config,
                                           Precision precision);

  // Multiplies with `workers` threads at once, each on its own, about `seconds`
  // long. A product of each shape for each chunk counts, as often as a forward
  // pass computes it; a worker's time for a product is the median over equal
  // stretches of time. REQUIRES: chunks has an element, rows and chunks are
  // positive.
  PeakRate Measure(absl::Span<const RowCount> chunks, int workers,
                   double seconds) const;

 private:
  MatmulPeak() = default;

  int64_t flops_per_row_ = 0;
  int layers_ = 0;
  std::vector<PackedLinear> linears_;
};

}  // namespace longhand::peers

#endif  // LONGHAND_BENCH_PEERS_MATMUL_PEAK_H_
