// ChunkState: what one chunk leaves behind for the other chunks of its
// document, all layers that retrieve. Written by the forward pass that makes
// it; immutable once published as shared_ptr<const ChunkState>, then safe from
// many threads.
#ifndef LONGHAND_CORE_STATE_CHUNK_STATE_H_
#define LONGHAND_CORE_STATE_CHUNK_STATE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/state/state_codec.h"
#include "core/state/state_layout.h"
#include "core/tensor/tensor.h"

namespace longhand {

// SHA-256 over everything that the numbers in a state depend on besides the
// text: model, weights, mechanism and its options, numeric profile. States with
// different fingerprints must never meet.
using StateFingerprint = std::array<uint8_t, 32>;

class ChunkState {
 public:
  // `layers`: how many layers leave a part.
  ChunkState(const StateFingerprint& fingerprint, StateLayout layout,
             std::shared_ptr<const StateCodec> codec, int layers)
      : fingerprint_(fingerprint),
        layout_(std::move(layout)),
        codec_(std::move(codec)),
        head_bytes_(codec_->HeadBytes(layout_)),
        values_(FloatBuffer::Uninitialized(
            size_t(layers * LayerBytes(layout_, *codec_)) / sizeof(float))) {}

  // From what bytes() gave. REQUIRES: bytes.size() == ByteSize(layout, *codec,
  // layers).
  static std::shared_ptr<const ChunkState> FromBytes(
      const StateFingerprint& fingerprint, const StateLayout& layout,
      std::shared_ptr<const StateCodec> codec, int layers,
      absl::Span<const std::byte> bytes) {
    auto state = std::make_shared<ChunkState>(fingerprint, layout,
                                              std::move(codec), layers);
    LH_CHECK(bytes.size() == state->values_.byte_size());
    std::copy_n(bytes.data(), bytes.size(),
                reinterpret_cast<std::byte*>(state->values_.data()));
    return state;
  }

  const StateFingerprint& fingerprint() const { return fingerprint_; }
  const StateLayout& layout() const { return layout_; }
  const StateCodec& codec() const { return *codec_; }

  // The meta values of a layer, [layout().meta_floats]. Layers are counted
  // among those that leave a part.
  const float* meta(int layer) const {
    return reinterpret_cast<const float*>(layer_bytes(layer));
  }
  const std::byte* packed_head(int layer, int head) const {
    return layer_bytes(layer) + meta_bytes() + head * head_bytes_;
  }

  // The same while the state is being made.
  float* mutable_meta(int layer) {
    return reinterpret_cast<float*>(
        reinterpret_cast<std::byte*>(values_.data()) + layer * layer_stride());
  }

  // values: [layout().floats()], the layer's part as the mechanism made it.
  void SetLayer(int layer, const float* values) {
    auto* bytes =
        reinterpret_cast<std::byte*>(values_.data()) + layer * layer_stride();
    std::copy_n(values, layout_.meta_floats, reinterpret_cast<float*>(bytes));
    values += layout_.meta_floats;
    bytes += meta_bytes();
    for (int head = 0; head < layout_.heads; ++head) {
      codec_->Encode(layout_, values, bytes);
      values += layout_.head_floats();
      bytes += head_bytes_;
    }
  }

  // All layers' parts as they lie in memory; floats in the machine's order.
  absl::Span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(values_.data()),
            values_.byte_size()};
  }
  // Of bytes().
  static uint64_t ByteSize(const StateLayout& layout, const StateCodec& codec,
                           int layers) {
    return uint64_t(layers * LayerBytes(layout, codec));
  }

  // Its size in memory, in bytes.
  uint64_t charge() const {
    return sizeof(ChunkState) + values_.size() * sizeof(float);
  }
  static uint64_t Charge(const StateLayout& layout, const StateCodec& codec,
                         int layers) {
    return sizeof(ChunkState) + ByteSize(layout, codec, layers);
  }

 private:
  static int64_t LayerBytes(const StateLayout& layout,
                            const StateCodec& codec) {
    return layout.meta_floats * int64_t{sizeof(float)} +
           layout.heads * codec.HeadBytes(layout);
  }
  int64_t meta_bytes() const {
    return layout_.meta_floats * int64_t{sizeof(float)};
  }
  int64_t layer_stride() const {
    return meta_bytes() + layout_.heads * head_bytes_;
  }
  const std::byte* layer_bytes(int layer) const {
    return reinterpret_cast<const std::byte*>(values_.data()) +
           layer * layer_stride();
  }

  const StateFingerprint fingerprint_;
  const StateLayout layout_;
  const std::shared_ptr<const StateCodec> codec_;
  const int64_t head_bytes_;
  FloatBuffer values_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_CHUNK_STATE_H_
