// ChunkState: what one chunk leaves behind for the other chunks of its
// document, all layers. Written by the forward pass that makes it; immutable
// once published as shared_ptr<const ChunkState>, then safe from many threads.
#ifndef LONGHAND_CORE_STATE_CHUNK_STATE_H_
#define LONGHAND_CORE_STATE_CHUNK_STATE_H_

#include <array>
#include <cstdint>

#include "core/tensor/tensor.h"

namespace longhand {

// SHA-256 over everything that the numbers in a state depend on besides the
// text: model, weights, mechanism and its options, numeric profile. States with
// different fingerprints must never meet.
using StateFingerprint = std::array<uint8_t, 32>;

class ChunkState {
 public:
  // `floats_per_layer` as Attention::state_floats says; may be 0.
  ChunkState(const StateFingerprint& fingerprint, int layers,
             int64_t floats_per_layer)
      : fingerprint_(fingerprint),
        floats_per_layer_(floats_per_layer),
        values_(FloatBuffer::Uninitialized(size_t(layers * floats_per_layer))) {
  }

  // This layer's part, laid out as the mechanism defines.
  float* layer(int layer) { return values_.data() + layer * floats_per_layer_; }
  const float* layer(int layer) const {
    return values_.data() + layer * floats_per_layer_;
  }

  const StateFingerprint& fingerprint() const { return fingerprint_; }

  // Its size in memory, in bytes.
  uint64_t charge() const { return Charge(values_.size()); }
  static uint64_t Charge(uint64_t floats) {
    return sizeof(ChunkState) + floats * sizeof(float);
  }

 private:
  const StateFingerprint fingerprint_;
  const int64_t floats_per_layer_;
  FloatBuffer values_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_CHUNK_STATE_H_
