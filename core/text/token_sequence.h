// TokenSequence: consecutive tokens of one document with their places in the
// original text. A value; three parallel arrays of equal length.
#ifndef LONGHAND_CORE_TEXT_TOKEN_SEQUENCE_H_
#define LONGHAND_CORE_TEXT_TOKEN_SEQUENCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace longhand {

struct TokenSequence {
  std::vector<int32_t> ids;     // in the model's vocabulary
  std::vector<uint64_t> begin;  // first byte in the document
  std::vector<uint64_t> end;    // one past the last byte

  size_t size() const { return ids.size(); }
  bool empty() const { return ids.empty(); }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_TEXT_TOKEN_SEQUENCE_H_
