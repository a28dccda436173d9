#include "bench/peers/matmul_peak.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <random>
#include <thread>
#include <utility>

#include "bench/documents/median.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/compute/compute_context.h"
#include "core/tensor/tensor.h"

namespace longhand::peers {
namespace {

using Clock = std::chrono::steady_clock;

// Stretches of time that the median is taken of.
constexpr int kStretches = 9;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

FloatBuffer RandomValues(size_t size, float scale) {
  std::minstd_rand generator(1);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  FloatBuffer values = FloatBuffer::Uninitialized(size);
  for (float& value : values.span()) value = uniform(generator);
  return values;
}

absl::StatusOr<PackedLinear> PackRandom(const LinearShape& shape,
                                        Precision precision) {
  const FloatBuffer weights =
      RandomValues(size_t(shape.inputs) * size_t(shape.outputs),
                   1 / std::sqrt(float(shape.inputs)));
  const std::vector<float> bias(size_t(shape.outputs), 0.5f);
  return PackedLinear::Pack(weights.span(), bias, shape.inputs, shape.outputs,
                            {.precision = precision});
}

// Seconds of one product while `workers` threads compute it.
double TimeProduct(const PackedLinear& linear, int rows, int workers,
                   double seconds) {
  int products = 1;  // of a stretch; set by worker 0 between the barriers
  std::vector<double> times;
  std::barrier barrier(workers);
  const auto work = [&](int worker) {
    ComputeContext context;
    const size_t padded = size_t(PaddedRows(rows));
    const FloatBuffer src = RandomValues(padded * size_t(linear.inputs()), 1);
    FloatBuffer dst = FloatBuffer::Zeroed(padded * size_t(linear.outputs()));
    const auto multiply = [&](int count) {
      barrier.arrive_and_wait();
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < count; ++i) {
        linear.Apply(src.data(), rows, context, dst.data());
      }
      barrier.arrive_and_wait();
      return SecondsSince(start);
    };
    multiply(1);  // Makes the kernel and touches every page.
    const double once = multiply(1);
    if (worker == 0) {
      products = std::max(1, int(seconds / kStretches / once));
    }
    barrier.arrive_and_wait();
    for (int stretch = 0; stretch < kStretches; ++stretch) {
      const double time = multiply(products);
      if (worker == 0) times.push_back(time / products);
    }
  };
  std::vector<std::thread> threads;
  for (int worker = 0; worker < workers; ++worker) {
    threads.emplace_back(work, worker);
  }
  for (std::thread& thread : threads) thread.join();
  return documents::Median(std::move(times));
}

}  // namespace

std::vector<LinearShape> LayerShapes(const ModelConfig& config) {
  return {{config.hidden_size, 3 * config.attention_size()},
          {config.context_width(), config.hidden_size},
          {config.hidden_size, config.intermediate_size},
          {config.intermediate_size, config.hidden_size}};
}

int64_t FlopsPerRow(const ModelConfig& config) {
  int64_t weights = 0;
  for (const LinearShape& shape : LayerShapes(config)) {
    weights += int64_t{shape.inputs} * shape.outputs;
  }
  return 2 * weights * config.num_layers;
}

absl::StatusOr<MatmulPeak> MatmulPeak::Create(const ModelConfig& config,
                                              Precision precision) {
  MatmulPeak peak;
  peak.layers_ = config.num_layers;
  peak.flops_per_row_ = FlopsPerRow(config);
  for (const LinearShape& shape : LayerShapes(config)) {
    LH_ASSIGN_OR_RETURN(PackedLinear linear, PackRandom(shape, precision));
    peak.linears_.push_back(std::move(linear));
  }
  return peak;
}

PeakRate MatmulPeak::Measure(absl::Span<const RowCount> chunks, int workers,
                             double seconds) const {
  LH_CHECK(!chunks.empty() && workers > 0);
  const double share =
      seconds / (double(chunks.size()) * double(linears_.size()));
  double rows = 0, time = 0;  // of one worker
  for (const RowCount& chunk : chunks) {
    rows += double(chunk.rows) * chunk.chunks;
    for (const PackedLinear& linear : linears_) {
      time += TimeProduct(linear, chunk.rows, workers, share) * layers_ *
              chunk.chunks;
    }
  }
  const double rows_per_second = workers * rows / time;
  return {.flops_per_second = rows_per_second * double(flops_per_row_),
          .rows_per_second = rows_per_second};
}

}  // namespace longhand::peers
