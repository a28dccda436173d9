// States as 8-bit integers with one scale for each part of each head: a quarter
// of the bytes. The error of a value is at most half a step, its part's largest
// value / 254; a part whose largest value is below 1.5e-36 becomes zeros.
//
// A block: a scale per part, then the values of all parts, padded to whole
// floats.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/state/state_codec.h"

namespace longhand {
namespace {

constexpr float kLargest = 127;

// Below this a step would be no normal number, and its inverse infinite.
constexpr float kSmallest = kLargest * std::numeric_limits<float>::min();

class Int8Codec final : public StateCodec {
 public:
  int64_t HeadBytes(const StateLayout& layout) const override {
    const int64_t values = (layout.head_floats() + 3) / 4 * 4;
    return ScaleBytes(layout) + values;
  }

  void Encode(const StateLayout& layout, const float* block,
              std::byte* packed) const override {
    std::memset(packed, 0, size_t(HeadBytes(layout)));
    auto* scales = reinterpret_cast<float*>(packed);
    auto* values = reinterpret_cast<int8_t*>(packed + ScaleBytes(layout));
    for (const StateLayout::Part& part : layout.parts) {
      const int64_t count = part.floats();
      float largest = 0;
      bool finite = true;
      for (int64_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(block[i]));
        finite = finite && std::isfinite(block[i]);
      }
      // What is not finite must not come back as a number.
      if (largest < kSmallest) largest = 0;
      float scale =
          finite ? largest / kLargest : std::numeric_limits<float>::quiet_NaN();
      // Rounded up it could lead back to infinity.
      if (std::isinf(scale * kLargest)) scale = std::nextafter(scale, 0.0f);
      *scales++ = scale;
      const float inverse = finite && largest > 0 ? kLargest / largest : 0;
      for (int64_t i = 0; inverse > 0 && i < count; ++i) {
        values[i] = static_cast<int8_t>(std::lrint(block[i] * inverse));
      }
      values += count;
      block += count;
    }
  }

  void Decode(const StateLayout& layout, const std::byte* packed,
              float* block) const override {
    const auto* scales = reinterpret_cast<const float*>(packed);
    const auto* values =
        reinterpret_cast<const int8_t*>(packed + ScaleBytes(layout));
    for (const StateLayout::Part& part : layout.parts) {
      const float scale = *scales++;
      const int64_t count = part.floats();
      for (int64_t i = 0; i < count; ++i) {
        block[i] = scale * static_cast<float>(values[i]);
      }
      values += count;
      block += count;
    }
  }

 private:
  static int64_t ScaleBytes(const StateLayout& layout) {
    return int64_t(layout.parts.size() * sizeof(float));
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const StateCodec>> MakeInt8StateCodec(
    const StateCodecOptions&) {
  return std::make_unique<const Int8Codec>();
}

}  // namespace longhand
