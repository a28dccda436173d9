#include "core/attention/random_features.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <random>
#include <vector>

namespace longhand {
namespace {

// As many as may be asked for.
constexpr int kMaxDefaultFeatures = 4096;

// std::normal_distribution is another one in every standard library.
class GaussianSource {
 public:
  explicit GaussianSource(std::seed_seq& seed) : random_(seed) {}

  double Next() {
    if (has_second_) {
      has_second_ = false;
      return second_;
    }
    const double radius = std::sqrt(-2 * std::log(Uniform()));
    const double angle = 2 * std::numbers::pi * Uniform();
    second_ = radius * std::sin(angle);
    has_second_ = true;
    return radius * std::cos(angle);
  }

 private:
  // Between 0 and 1, neither of them.
  double Uniform() { return (double(random_() >> 11) + 0.5) * 0x1p-53; }

  std::mt19937_64 random_;
  double second_ = 0;
  bool has_second_ = false;
};

double Norm(const double* x, int dim) {
  return std::sqrt(std::inner_product(x, x + dim, x, 0.0));
}

// rows[dim, dim] in place. Twice is enough (Giraud et al. 2005).
void Orthonormalize(int dim, double* rows) {
  for (int r = 0; r < dim; ++r) {
    double* row = rows + int64_t{r} * dim;
    for (int pass = 0; pass < 2; ++pass) {
      for (int other = 0; other < r; ++other) {
        const double* against = rows + int64_t{other} * dim;
        const double along = std::inner_product(row, row + dim, against, 0.0);
        for (int i = 0; i < dim; ++i) row[i] -= along * against[i];
      }
      const double norm = Norm(row, dim);
      for (int i = 0; i < dim; ++i) row[i] /= norm;
    }
  }
}

}  // namespace

FloatBuffer DrawOrthogonalFeatures(const RandomFeaturesSpec& spec) {
  const int dim = spec.dim;
  std::seed_seq seed{spec.seed, spec.layer, spec.features, dim};
  GaussianSource source(seed);
  FloatBuffer result =
      FloatBuffer::Uninitialized(size_t(spec.features) * size_t(dim));
  std::vector<double> block(size_t(dim) * size_t(dim));
  for (int begin = 0; begin < spec.features; begin += dim) {
    for (double& value : block) value = source.Next();
    Orthonormalize(dim, block.data());
    const int count = std::min(dim, spec.features - begin);
    std::transform(block.begin(), block.begin() + int64_t{count} * dim,
                   result.data() + int64_t{begin} * dim,
                   [](double value) { return static_cast<float>(value); });
  }
  std::vector<double> row(static_cast<size_t>(dim));
  for (int f = 0; f < spec.features; ++f) {
    for (double& value : row) value = source.Next();
    const double norm = Norm(row.data(), dim);
    float* direction = result.data() + int64_t{f} * dim;
    for (int i = 0; i < dim; ++i) direction[i] *= static_cast<float>(norm);
  }
  return result;
}

int DefaultRandomFeatures(int dim) {
  return std::clamp(static_cast<int>(dim * std::log(double(dim))), 1,
                    kMaxDefaultFeatures);
}

}  // namespace longhand
