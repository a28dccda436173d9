// StateCodec: how the heads' blocks of a chunk state lie in memory. What a
// chunk retrieves is always computed from decoded blocks, its own batch's
// included, so that a result does not depend on which chunks were computed
// together. Immutable; safe from many threads.
#ifndef LONGHAND_CORE_STATE_STATE_CODEC_H_
#define LONGHAND_CORE_STATE_STATE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/base/registry.h"
#include "core/state/state_layout.h"

namespace longhand {

struct StateCodecOptions {
  // For codecs that keep a number of directions per matrix; at least 1.
  int rank = 8;
};

class StateCodec {
 public:
  virtual ~StateCodec() = default;

  // Bytes of one head's block, a multiple of sizeof(float).
  virtual int64_t HeadBytes(const StateLayout& layout) const = 0;
  // block: [layout.head_floats()]; packed: [HeadBytes(layout)], aligned to
  // float.
  virtual void Encode(const StateLayout& layout, const float* block,
                      std::byte* packed) const = 0;
  virtual void Decode(const StateLayout& layout, const std::byte* packed,
                      float* block) const = 0;
  // Whether packed blocks are the floats themselves.
  virtual bool is_identity() const { return false; }
};

// What a line of state_codecs.def names. INVALID_ARGUMENT (STATE_RANK) for a
// rank below 1.
using StateCodecFactory =
    absl::StatusOr<std::unique_ptr<const StateCodec>>(const StateCodecOptions&);

const Registry<StateCodecFactory>& StateCodecRegistry();

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_STATE_CODEC_H_
