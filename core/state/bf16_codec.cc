// States rounded to bfloat16: half the bytes, 8 bits of mantissa.

#include <bit>

#include "core/compute/quantize.h"
#include "core/state/state_codec.h"

namespace longhand {
namespace {

class Bf16Codec final : public StateCodec {
 public:
  int64_t HeadBytes(const StateLayout& layout) const override {
    // Whole floats: an odd count is padded.
    return (layout.head_floats() + 1) / 2 * int64_t{sizeof(float)};
  }
  void Encode(const StateLayout& layout, const float* block,
              std::byte* packed) const override {
    auto* out = reinterpret_cast<uint16_t*>(packed);
    const int64_t count = layout.head_floats();
    RoundToBf16(block, count, out);
    if (count % 2 == 1) out[count] = 0;
  }
  void Decode(const StateLayout& layout, const std::byte* packed,
              float* block) const override {
    const auto* in = reinterpret_cast<const uint16_t*>(packed);
    const int64_t count = layout.head_floats();
    for (int64_t i = 0; i < count; ++i) {
      block[i] = std::bit_cast<float>(uint32_t{in[i]} << 16);
    }
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const StateCodec>> MakeBf16StateCodec(
    const StateCodecOptions&) {
  return std::make_unique<const Bf16Codec>();
}

}  // namespace longhand
