// Chunks of a fixed number of tokens; the last one takes what is left. Looks at
// the tokens alone, and every window is its chunk.

#include <memory>

#include "core/base/check.h"
#include "core/chunking/chunker.h"

namespace longhand {
namespace {

class FixedChunker final : public Chunker {
 public:
  explicit FixedChunker(int64_t max_tokens) : max_tokens_(max_tokens) {}

  bool needs_text() const override { return false; }
  std::vector<std::string_view> unused_options() const override {
    return {"min_chunk_tokens", "overlap_tokens"};
  }

  void Push(std::string_view, const TokenSequence& tokens,
            std::vector<Chunk>* out) override {
    received_ += int64_t(tokens.size());
    while (received_ - begin_ > max_tokens_) Emit(begin_ + max_tokens_, out);
  }

  void Flush(std::vector<Chunk>* out) override {
    if (received_ > begin_) Emit(received_, out);
  }

  std::unique_ptr<Chunker> Clone() const override {
    return std::make_unique<FixedChunker>(*this);
  }

 private:
  void Emit(int64_t end, std::vector<Chunk>* out) {
    out->push_back({begin_, end, begin_, end});
    begin_ = end;
  }

  const int64_t max_tokens_;
  int64_t received_ = 0;
  int64_t begin_ = 0;  // of the chunk that is filling up
};

}  // namespace

absl::StatusOr<std::unique_ptr<Chunker>> MakeFixedChunker(
    const ChunkerOptions& options) {
  LH_CHECK(options.max_tokens >= 1);
  return std::make_unique<FixedChunker>(options.max_tokens);
}

}  // namespace longhand
