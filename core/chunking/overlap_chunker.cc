// Sliding windows of max_tokens that share overlap_tokens. A token belongs to
// the window in whose middle it lies best: the one with the largest
// min(tokens before it, tokens after it), the earlier one of two equals. For
// windows of one size this puts the border between neighbours into the middle
// of what they share. Looks at the tokens alone.
//
// The last window ends with the document and is as full as the others: it
// starts earlier and shares more with its neighbour. Which window is the last
// is known once the tokens of a whole further window are there or the document
// has ended, so a chunk is handed out `max - overlap` tokens after its window.

#include <memory>

#include "core/base/status_macros.h"
#include "core/chunking/chunker.h"
#include "core/chunking/options.h"

namespace longhand {
namespace {

class OverlapChunker final : public Chunker {
 public:
  OverlapChunker(int64_t max_tokens, int64_t overlap_tokens)
      : max_tokens_(max_tokens), stride_(max_tokens - overlap_tokens) {}

  bool needs_text() const override { return false; }
  std::vector<std::string_view> unused_options() const override {
    return {"min_chunk_tokens"};
  }

  void Push(std::string_view, const TokenSequence& tokens,
            std::vector<Chunk>* out) override {
    received_ += int64_t(tokens.size());
    while (received_ >= window_begin_ + stride_ + max_tokens_) {
      MoveTo(window_begin_ + stride_, out);
    }
  }

  void Flush(std::vector<Chunk>* out) override {
    if (received_ == 0) return;
    if (received_ > window_begin_ + max_tokens_) {
      MoveTo(received_ - max_tokens_, out);
    }
    out->push_back({begin_, received_, window_begin_, received_});
    begin_ = window_begin_ = received_;
  }

  std::unique_ptr<Chunker> Clone() const override {
    return std::make_unique<OverlapChunker>(*this);
  }

 private:
  // Emits the chunk of the present window; the next window begins at `next`.
  void MoveTo(int64_t next, std::vector<Chunk>* out) {
    const int64_t window_end = window_begin_ + max_tokens_;
    // The first token t with t - next > window_end - 1 - t.
    const int64_t border = (next + window_end + 1) / 2;
    out->push_back({begin_, border, window_begin_, window_end});
    begin_ = border;
    window_begin_ = next;
  }

  const int64_t max_tokens_;
  const int64_t stride_;
  int64_t received_ = 0;
  int64_t window_begin_ = 0;  // of the window that is filling up
  int64_t begin_ = 0;         // of its own tokens
};

}  // namespace

absl::StatusOr<std::unique_ptr<Chunker>> MakeOverlapChunker(
    const ChunkerOptions& options) {
  LH_ASSIGN_OR_RETURN(const int overlap_tokens, ResolveOverlapTokens(options));
  return std::make_unique<OverlapChunker>(options.max_tokens, overlap_tokens);
}

}  // namespace longhand
