#include "bench/peers/matmul_peak.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <numeric>
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

// Products of one worker's per second; all begin at the barrier.
double WorkerRate(const PackedLinear& linear, int rows, double seconds,
                  std::barrier<>* begin) {
  ComputeContext context;
  const size_t padded = size_t(PaddedRows(rows));
  const FloatBuffer src = RandomValues(padded * size_t(linear.inputs()), 1);
  FloatBuffer dst = FloatBuffer::Zeroed(padded * size_t(linear.outputs()));
  const auto multiply = [&](int count) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < count; ++i) {
      linear.Apply(src.data(), rows, context, dst.data());
    }
    return SecondsSince(start);
  };
  multiply(1);  // Makes the kernel and touches every page.
  begin->arrive_and_wait();
  const int products = std::max(1, int(seconds / kStretches / multiply(1)));
  std::vector<double> times;
  for (int stretch = 0; stretch < kStretches; ++stretch) {
    times.push_back(multiply(products) / products);
  }
  return 1 / documents::Median(std::move(times));
}

// Of all workers together. The sum of their rates, not the slowest one's: a
// forward pass leaves a worker that is held up behind, too.
double ProductsPerSecond(const PackedLinear& linear, int rows, int workers,
                         double seconds) {
  std::barrier<> begin(workers);
  std::vector<double> rates(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (double& rate : rates) {
    threads.emplace_back(
        [&] { rate = WorkerRate(linear, rows, seconds, &begin); });
  }
  for (std::thread& thread : threads) thread.join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
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
  double rows = 0, time = 0;
  for (const RowCount& chunk : chunks) {
    rows += double(chunk.rows) * chunk.chunks;
    for (const PackedLinear& linear : linears_) {
      time += layers_ * chunk.chunks /
              ProductsPerSecond(linear, chunk.rows, workers, share);
    }
  }
  const double rows_per_second = rows / time;
  return {.flops_per_second = rows_per_second * double(flops_per_row_),
          .rows_per_second = rows_per_second};
}

}  // namespace longhand::peers
