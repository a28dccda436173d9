// CutChooser: from a score for the cut before each token, chooses cuts so that
// every chunk has min_tokens to max_tokens tokens (the last may have fewer) and
// is cut at the best score within these limits, at the latest of several. Each
// window is its chunk. Constant time for each token on average. One per
// document; not thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_CUT_CHOOSER_H_
#define LONGHAND_CORE_CHUNKING_CUT_CHOOSER_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "core/chunking/chunker.h"

namespace longhand {

class CutChooser {
 public:
  // REQUIRES: 1 <= min_tokens <= max_tokens.
  CutChooser(int min_tokens, int max_tokens)
      : min_tokens_(min_tokens), max_tokens_(max_tokens) {}

  // Takes the next token: the score of a cut before it (the first token's has
  // no meaning). Appends the chunk that is decided by it, if there is one.
  void Add(double score, std::vector<Chunk>* out);

  // Ends the document: the rest is one chunk.
  void Finish(std::vector<Chunk>* out);

 private:
  struct Cut {
    int64_t at;  // tokens before it
    double score;
  };

  void EmitUntil(int64_t end, std::vector<Chunk>* out);

  const int64_t min_tokens_;
  const int64_t max_tokens_;
  int64_t received_ = 0;
  int64_t begin_ = 0;  // of the chunk that is filling up
  // The cuts that may still be chosen: ascending places, falling scores. The
  // front is the best.
  std::deque<Cut> cuts_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_CUT_CHOOSER_H_
