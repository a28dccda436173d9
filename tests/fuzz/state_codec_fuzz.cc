// State codecs: blocks of any floats go in and out without touching a byte
// outside; the error is what each codec promises; any packed bytes decode.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/state/state_codec.h"
#include "tests/fuzz/fuzz_input.h"

namespace longhand::testing {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};

// Codecs work on whole floats.
std::vector<float> PackedBuffer(int64_t bytes) {
  LH_CHECK(bytes >= 0 && bytes % int64_t{sizeof(float)} == 0);
  std::vector<float> buffer((size_t(bytes) + kGuardBytes) / sizeof(float));
  std::memset(buffer.data(), int(kGuard), buffer.size() * sizeof(float));
  return buffer;
}

void CheckGuard(const std::vector<float>& buffer, int64_t bytes) {
  const auto* place = reinterpret_cast<const std::byte*>(buffer.data()) + bytes;
  LH_CHECK(std::all_of(place, place + kGuardBytes,
                       [](std::byte b) { return b == kGuard; }));
}

struct Codec {
  std::string name;
  std::unique_ptr<const StateCodec> codec;
};

void CheckPart(const std::string& codec, const float* before,
               const float* after, int64_t count) {
  if (codec == "low_rank") return;  // its error has no bound per value
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(before[i]));
    finite = finite && std::isfinite(before[i]);
  }
  for (int64_t i = 0; i < count; ++i) {
    if (codec == "f32") {
      LH_CHECK(std::memcmp(&before[i], &after[i], sizeof(float)) == 0);
    } else if (codec == "bf16") {
      const double limit = std::abs(double{before[i]}) / 256 + 1e-40;
      LH_CHECK(std::isnan(before[i]) == std::isnan(after[i]));
      LH_CHECK(!std::isfinite(after[i]) ||
               std::abs(double{before[i]} - after[i]) <= limit);
    } else if (finite) {  // int8
      const double limit = double{largest} / 254 * 1.0001 +
                           double{std::numeric_limits<float>::min()} * 127;
      LH_CHECK(std::abs(double{before[i]} - after[i]) <= limit);
    } else {
      LH_CHECK(!std::isfinite(after[i]));
    }
  }
}

void Run(const Codec& codec, const StateLayout& layout,
         const std::vector<float>& block, std::string_view packed_bytes) {
  const int64_t bytes = codec.codec->HeadBytes(layout);
  std::vector<float> packed = PackedBuffer(bytes);
  auto* out = reinterpret_cast<std::byte*>(packed.data());
  codec.codec->Encode(layout, block.data(), out);
  CheckGuard(packed, bytes);
  // Twice: the same bits.
  std::vector<float> twice = PackedBuffer(bytes);
  codec.codec->Encode(layout, block.data(),
                      reinterpret_cast<std::byte*>(twice.data()));
  LH_CHECK(std::memcmp(packed.data(), twice.data(), size_t(bytes)) == 0);

  const int64_t floats = layout.head_floats();
  std::vector<float> decoded = PackedBuffer(floats * int64_t{sizeof(float)});
  codec.codec->Decode(layout, out, decoded.data());
  CheckGuard(decoded, floats * int64_t{sizeof(float)});
  int64_t place = 0;
  for (const StateLayout::Part& part : layout.parts) {
    CheckPart(codec.name, block.data() + place, decoded.data() + place,
              part.floats());
    place += part.floats();
  }
  // What a store gives is not always what was put there.
  std::memcpy(packed.data(), packed_bytes.data(),
              std::min(size_t(bytes), packed_bytes.size()));
  codec.codec->Decode(layout, out, decoded.data());
  CheckGuard(decoded, floats * int64_t{sizeof(float)});
}

}  // namespace
}  // namespace longhand::testing

// A byte each for codec, rank, parts and their sides; then the floats.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  FuzzInput input(data, size);
  static const auto* const names =
      new std::vector<std::string>(StateCodecRegistry().Names());
  const std::string& name = (*names)[input.Choose(names->size())];
  const int rank = int(input.Choose(8));
  auto made = (**StateCodecRegistry().Find(name))({.rank = rank});
  if (!made.ok()) {
    LH_CHECK(rank < 1);
    CheckRefusal(made.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  const Codec codec{name, *std::move(made)};
  StateLayout layout{.heads = 1, .parts = {}, .meta_floats = 0};
  for (size_t parts = input.Choose(5); parts > 0; --parts) {
    const auto rows = int64_t(input.Choose(13));
    layout.parts.push_back({rows, int64_t(input.Choose(13))});
  }
  std::vector<float> block(size_t(layout.head_floats()));
  for (float& value : block) value = input.Number<float>();
  Run(codec, layout, block, input.Rest());
  return 0;
}
