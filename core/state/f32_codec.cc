// States as they were computed.

#include <algorithm>

#include "core/state/state_codec.h"

namespace longhand {
namespace {

class F32Codec final : public StateCodec {
 public:
  int64_t HeadBytes(const StateLayout& layout) const override {
    return layout.head_floats() * int64_t{sizeof(float)};
  }
  void Encode(const StateLayout& layout, const float* block,
              std::byte* packed) const override {
    std::copy_n(reinterpret_cast<const std::byte*>(block), HeadBytes(layout),
                packed);
  }
  void Decode(const StateLayout& layout, const std::byte* packed,
              float* block) const override {
    std::copy_n(packed, HeadBytes(layout), reinterpret_cast<std::byte*>(block));
  }
  bool is_identity() const override { return true; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const StateCodec>> MakeF32StateCodec(
    const StateCodecOptions&) {
  return std::make_unique<const F32Codec>();
}

}  // namespace longhand
