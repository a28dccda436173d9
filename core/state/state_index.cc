#include "core/state/state_index.h"

#include <utility>

#include "core/base/check.h"

namespace longhand {

StateIndex::StateIndex(const StateFingerprint& fingerprint,
                       const StateLayout& layout, int layers)
    : fingerprint_(fingerprint),
      heads_(layout.heads),
      key_floats_(layout.meta_key_floats),
      layers_(layers) {
  LH_CHECK(key_floats_ > 0);
}

void StateIndex::Append(std::shared_ptr<const ChunkState> state) {
  LH_CHECK(state->fingerprint() == fingerprint_ &&
           state->layout().heads == heads_ &&
           state->layout().meta_key_floats == key_floats_);
  const int64_t slot = size();
  if (slot == int64_t(blocks_.size()) * kBlock) {
    blocks_.push_back(FloatBuffer::Zeroed(
        size_t(int64_t{layers_} * heads_ * kBlock * key_floats_)));
  }
  float* block = blocks_[size_t(slot / kBlock)].data();
  for (int layer = 0; layer < layers_; ++layer) {
    const float* keys = state->meta(layer);
    for (int head = 0; head < heads_; ++head) {
      float* column = block + Place(layer, head) + slot % kBlock;
      for (int64_t c = 0; c < key_floats_; ++c) column[c * kBlock] = *keys++;
    }
  }
  states_.push_back(state.get());
  owned_.push_back(std::move(state));
}

void StateIndex::Truncate(int64_t size) {
  LH_CHECK(0 <= size && size <= this->size());
  states_.resize(size_t(size));
  owned_.resize(size_t(size));
  const size_t blocks = size_t((size + kBlock - 1) / kBlock);
  while (blocks_.size() > blocks) blocks_.pop_back();
}

uint64_t StateIndex::bytes() const {
  uint64_t bytes = sizeof(*this) + states_.capacity() * sizeof(states_[0]) +
                   owned_.capacity() * sizeof(owned_[0]);
  for (const FloatBuffer& block : blocks_) bytes += block.byte_size();
  return bytes;
}

}  // namespace longhand
