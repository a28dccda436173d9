// StateLayout: what one layer's part of a chunk state holds before a codec
// packs it: some meta values, then a block per head. A plain value.
#ifndef LONGHAND_CORE_STATE_STATE_LAYOUT_H_
#define LONGHAND_CORE_STATE_STATE_LAYOUT_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"

namespace longhand {

struct StateLayout {
  // A row-major matrix of a head's block.
  struct Part {
    int64_t rows = 0;
    int64_t columns = 0;

    int64_t floats() const { return rows * columns; }
  };

  int heads = 0;
  // Of each head, in order. Values of one part have a common scale.
  absl::InlinedVector<Part, 4> parts;
  // Before the heads' blocks; never packed, since choices between chunks are
  // made by them.
  int64_t meta_floats = 0;
  // At the front of the meta values each head may have a key of so many, side
  // by side, that queries are compared with; 0: there are none.
  int64_t meta_key_floats = 0;

  int64_t head_floats() const {
    int64_t floats = 0;
    for (const Part& part : parts) floats += part.floats();
    return floats;
  }
  int64_t floats() const { return meta_floats + heads * head_floats(); }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_STATE_LAYOUT_H_
