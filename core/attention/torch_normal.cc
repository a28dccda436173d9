#include "core/attention/torch_normal.h"

#include <cmath>
#include <random>

namespace longhand {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// PyTorch makes pairs eight apart in blocks of this size, and single pairs
// where there are fewer numbers.
constexpr size_t kBlock = 16;

// Uniform in [0, 1), as floats have it.
float Uniform24(std::mt19937& engine) {
  return float(engine() & 0xFFFFFF) * 0x1p-24f;
}

// Uniform in [0, 1), as doubles have it.
double Uniform53(std::mt19937& engine) {
  const uint64_t high = engine();
  const uint64_t bits = (high << 32) | engine();
  return double(bits & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

// Uniform numbers to normal ones, in place. PyTorch rounds radius and angle to
// floats.
void TransformBlock(float* block) {
  for (size_t i = 0; i < kBlock / 2; ++i) {
    const float radius = std::sqrt(-2 * std::log(1 - block[i]));
    const float angle = float(kTwoPi) * block[i + kBlock / 2];
    block[i] = radius * std::cos(angle);
    block[i + kBlock / 2] = radius * std::sin(angle);
  }
}

void FillPairs(std::mt19937& engine, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); i += 2) {
    const double angle = kTwoPi * Uniform53(engine);
    const double radius = std::sqrt(-2 * std::log1p(-Uniform53(engine)));
    out[i] = float(radius * std::cos(angle));
    if (i + 1 < out.size()) out[i + 1] = float(radius * std::sin(angle));
  }
}

}  // namespace

void FillTorchNormals(int64_t seed, absl::Span<float> out) {
  std::mt19937 engine(static_cast<uint32_t>(seed));
  if (out.size() < kBlock) {
    FillPairs(engine, out);
    return;
  }
  for (float& value : out) value = Uniform24(engine);
  for (size_t i = 0; i + kBlock <= out.size(); i += kBlock) {
    TransformBlock(&out[i]);
  }
  if (out.size() % kBlock == 0) return;
  // An incomplete last block is one of fresh numbers that overlaps the one
  // before.
  float* last = out.data() + (out.size() - kBlock);
  for (size_t i = 0; i < kBlock; ++i) last[i] = Uniform24(engine);
  TransformBlock(last);
}

}  // namespace longhand
