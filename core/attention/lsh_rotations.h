// LshRotations: the random matrices that a model's locality-sensitive hashing
// turns its vectors with. Constant to its users; those that are made from a
// seed are made when they are first asked for. Safe from many threads.
#ifndef LONGHAND_CORE_ATTENTION_LSH_ROTATIONS_H_
#define LONGHAND_CORE_ATTENTION_LSH_ROTATIONS_H_

#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/tensor/tensor.h"

namespace longhand {

class LshRotations {
 public:
  struct Options {
    int num_heads = 0;
    int head_dim = 0;
    int num_hashes = 0;
    int64_t seed = 0;
    // Those of the model, of whatever size is asked for, or null: from `seed`.
    // Borrowed.
    const FloatBuffer* stored = nullptr;
  };

  explicit LshRotations(const Options& options) : options_(options) {}

  // [head_dim, num_hashes, size] of one head. `size` is half the sum of the
  // bucket factors. REQUIRES: the size of the stored ones, if there are any.
  const float* OfHead(int head, int size) const;

 private:
  // [num_heads, head_dim, num_hashes, size]
  const FloatBuffer& OfSize(int size) const;
  int64_t head_floats(int size) const {
    return int64_t{options_.head_dim} * options_.num_hashes * size;
  }

  const Options options_;
  mutable absl::Mutex mutex_;
  // By size; what is in it stays.
  mutable std::map<int, FloatBuffer> made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_LSH_ROTATIONS_H_
