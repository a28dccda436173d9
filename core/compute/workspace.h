// Workspace: a bump arena for what one step of one worker needs. Memory is kept
// from step to step, so that a warmed-up worker allocates nothing. One per
// worker; not thread-safe.
#ifndef LONGHAND_CORE_COMPUTE_WORKSPACE_H_
#define LONGHAND_CORE_COMPUTE_WORKSPACE_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/tensor/tensor.h"

namespace longhand {

class Workspace {
 public:
  // `size` values, undefined, aligned to kBufferAlignment; valid until Reset.
  template <typename T>
  T* Allocate(size_t size) {
    return reinterpret_cast<T*>(AllocateBytes(size * sizeof(T)));
  }

  // Takes everything back. Blocks that had to be added since the last Reset are
  // merged into one.
  void Reset() {
    if (blocks_.size() > 1) {
      size_t total = capacity();
      blocks_.clear();
      AddBlock(total);
    }
    used_ = 0;
  }

  // Bytes held.
  size_t capacity() const {
    size_t total = 0;
    for (const auto& block : blocks_) total += block.size();
    return total;
  }

 private:
  std::byte* AllocateBytes(size_t bytes) {
    bytes =
        (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size()) {
      AddBlock(std::max(bytes, kMinBlockBytes));
      used_ = 0;
    }
    std::byte* result = blocks_.back().data() + used_;
    used_ += bytes;
    return result;
  }

  void AddBlock(size_t bytes) {
    blocks_.push_back(AlignedBuffer<std::byte>::Uninitialized(bytes));
  }

  static constexpr size_t kMinBlockBytes = size_t{1} << 20;

  std::vector<AlignedBuffer<std::byte>> blocks_;
  size_t used_ = 0;  // of the last block
};

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_WORKSPACE_H_
