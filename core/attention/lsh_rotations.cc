#include "core/attention/lsh_rotations.h"

#include "core/attention/torch_normal.h"
#include "core/base/check.h"

namespace longhand {

const float* LshRotations::OfHead(int head, int size) const {
  const FloatBuffer& all =
      options_.stored != nullptr ? *options_.stored : OfSize(size);
  LH_CHECK(all.size() == size_t(options_.num_heads * head_floats(size)));
  return all.data() + head * head_floats(size);
}

const FloatBuffer& LshRotations::OfSize(int size) const {
  absl::MutexLock lock(&mutex_);
  FloatBuffer& made = made_[size];
  if (made.empty()) {
    made = FloatBuffer::Uninitialized(
        size_t(options_.num_heads * head_floats(size)));
    FillTorchNormals(options_.seed, made.span());
  }
  return made;
}

}  // namespace longhand
