// StateIndex: the states of a document's first chunks, with their meta keys
// side by side, layer by layer and head by head: who scores thousands of chunks
// then reads memory in order, where the states themselves lie far apart.
// Changed by one thread while nobody reads, read by many.
#ifndef LONGHAND_CORE_STATE_STATE_INDEX_H_
#define LONGHAND_CORE_STATE_STATE_INDEX_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/state/chunk_state.h"
#include "core/tensor/tensor.h"

namespace longhand {

class StateIndex {
 public:
  // Chunks whose meta keys lie together. Fewer are not worth an index.
  static constexpr int64_t kBlock = 256;

  // `layers`: how many leave a part. REQUIRES: layout.meta_key_floats > 0.
  StateIndex(const StateFingerprint& fingerprint, const StateLayout& layout,
             int layers);

  // REQUIRES: the fingerprint and as many heads, layers and meta key floats as
  // given above.
  void Append(std::shared_ptr<const ChunkState> state);
  // Forgets all but the first `size`. REQUIRES: size <= this->size().
  void Truncate(int64_t size);

  const StateFingerprint& fingerprint() const { return fingerprint_; }
  int64_t size() const { return int64_t(states_.size()); }
  absl::Span<const ChunkState* const> states() const { return states_; }

  // The meta keys of the chunks [block * kBlock, + kBlock) as far as they are
  // there, by component: [meta_key_floats, kBlock]. Layers are counted among
  // those that leave a part.
  const float* meta_keys(int64_t block, int layer, int head) const {
    return blocks_[size_t(block)].data() + Place(layer, head);
  }

  // In memory, besides the states.
  uint64_t bytes() const;

 private:
  // In a block [layers, heads, meta_key_floats, kBlock].
  int64_t Place(int layer, int head) const {
    return (int64_t{layer} * heads_ + head) * key_floats_ * kBlock;
  }

  const StateFingerprint fingerprint_;
  const int heads_;
  const int64_t key_floats_;
  const int layers_;
  std::vector<std::shared_ptr<const ChunkState>> owned_;
  std::vector<const ChunkState*> states_;  // of owned_
  std::vector<FloatBuffer> blocks_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_STATE_INDEX_H_
