// Chunker: cuts the tokens of one document into chunks as they arrive. Chunks
// tile the tokens: each begins where the one before ends. One per document; not
// thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_CHUNKER_H_
#define LONGHAND_CORE_CHUNKING_CHUNKER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/text/token_sequence.h"

namespace longhand {

// Token positions in the document, [begin, end), special tokens not counted.
struct Chunk {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

struct ChunkerOptions {
  // Tokens per chunk at most, special tokens not counted; at least 1.
  int max_tokens = 0;
};

class Chunker {
 public:
  virtual ~Chunker() = default;

  // Takes the next tokens; appends the chunks that are final: whatever comes,
  // they stay as they are, and the token after each is known.
  virtual void Push(const TokenSequence& tokens, std::vector<Chunk>* out) = 0;

  // Ends the document; appends the remaining chunks.
  virtual void Flush(std::vector<Chunk>* out) = 0;
};

// What a line of chunkers.def names.
using ChunkerFactory =
    absl::StatusOr<std::unique_ptr<Chunker>>(const ChunkerOptions&);

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_CHUNKER_H_
