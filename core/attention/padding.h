// Padding inside a chunk (ChunkSlot::mask), for the mechanisms that take a
// mask. Plain functions; safe from any thread.
#ifndef LONGHAND_CORE_ATTENTION_PADDING_H_
#define LONGHAND_CORE_ATTENTION_PADDING_H_

#include <algorithm>

#include "core/attention/attention.h"

namespace longhand {

inline bool IsPadding(const ChunkSlot& chunk, int row) {
  return chunk.mask != nullptr && chunk.mask[row] == 0;
}

// Rows of padding have the context 0. `width`: floats of a row of context.
inline void ClearPaddingRows(const ChunkSlot& chunk, int width) {
  for (int row = 0; row < chunk.rows; ++row) {
    if (!IsPadding(chunk, row)) continue;
    std::fill_n(chunk.context + int64_t{row} * width, width, 0.0f);
  }
}

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_PADDING_H_
