// Chunker: cuts the tokens of one document into chunks as they arrive. Chunks
// tile the tokens: each begins where the one before ends. How the content was
// cut into pieces has no influence on them. One per document; not thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_CHUNKER_H_
#define LONGHAND_CORE_CHUNKING_CHUNKER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/text/token_sequence.h"

namespace longhand {

// Token positions in the document, special tokens not counted.
struct Chunk {
  // The tokens that it answers for: [begin, end).
  int64_t begin = 0;
  int64_t end = 0;
  // The tokens that it is computed over, [window_begin, window_end): its own,
  // and those around them that only give context.
  int64_t window_begin = 0;
  int64_t window_end = 0;

  int64_t size() const { return end - begin; }
  int64_t window_size() const { return window_end - window_begin; }
};

// A model's vectors for its vocabulary. Borrowed.
struct TokenTable {
  absl::Span<const float> rows;  // [vocabulary, size]
  int size = 0;
};

struct ChunkerOptions {
  // Tokens per window at most, special tokens not counted; at least 1.
  int max_tokens = 0;
  // Tokens per chunk at least, where the content allows it (chunkers that look
  // for boundaries); below max_tokens. 0: a quarter of max_tokens.
  int min_tokens = 0;
  // Tokens that neighbouring windows share (chunkers whose windows overlap);
  // below max_tokens. 0: half of max_tokens.
  int overlap_tokens = 0;
  // For chunkers that compare what sentences say.
  TokenTable token_table;
};

class Chunker {
 public:
  virtual ~Chunker() = default;

  // Whether it looks at the text and not at the tokens alone. Such a chunker
  // can't take documents that are given as token ids.
  virtual bool needs_text() const = 0;
  // Options that it does not look at, by their public names: who sets one of
  // them is told so.
  virtual std::vector<std::string_view> unused_options() const = 0;

  // Takes the next bytes of the document, any cut, and the tokens that became
  // final with them (their offsets count from the document's first byte; they
  // may lie behind the text). `text` is empty for documents given as token ids.
  // Appends the chunks that are final: whatever comes, they stay as they are,
  // and the token after each one's window is known.
  virtual void Push(std::string_view text, const TokenSequence& tokens,
                    std::vector<Chunk>* out) = 0;

  // Ends the document; appends the remaining chunks.
  virtual void Flush(std::vector<Chunk>* out) = 0;

  // A chunker that goes on from here on its own.
  virtual std::unique_ptr<Chunker> Clone() const = 0;
};

// What a line of chunkers.def names. INVALID_ARGUMENT (CHUNKER_OPTIONS) for
// options that contradict each other.
using ChunkerFactory =
    absl::StatusOr<std::unique_ptr<Chunker>>(const ChunkerOptions&);

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_CHUNKER_H_
