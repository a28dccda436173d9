// Chunks that follow the form of the text: cut before headings, at paragraphs,
// ends of lines and sentences. Of the places between min_tokens and max_tokens
// after a chunk's begin it takes the one of the highest CutRank, and of several
// the latest: fewer chunks cost less and give each token more context.

#include <memory>
#include <utility>

#include "core/base/status_macros.h"
#include "core/chunking/chunker.h"
#include "core/chunking/cut_chooser.h"
#include "core/chunking/options.h"
#include "core/chunking/token_ranks.h"

namespace longhand {
namespace {

class StructuralChunker final : public Chunker {
 public:
  StructuralChunker(TokenRanks ranks, CutChooser chooser)
      : ranks_(std::move(ranks)), chooser_(std::move(chooser)) {}

  bool needs_text() const override { return true; }
  std::vector<std::string_view> unused_options() const override {
    return {"overlap_tokens"};
  }

  void Push(std::string_view text, const TokenSequence& tokens,
            std::vector<Chunk>* out) override {
    ranks_.Push(text, tokens, &decided_);
    TakeDecided(out);
  }

  void Flush(std::vector<Chunk>* out) override {
    ranks_.Finish(&decided_);
    TakeDecided(out);
    chooser_.Finish(out);
  }

  std::unique_ptr<Chunker> Clone() const override {
    return std::make_unique<StructuralChunker>(*this);
  }

 private:
  void TakeDecided(std::vector<Chunk>* out) {
    for (const CutRank rank : decided_) chooser_.Add(double(rank), out);
    decided_.clear();
  }

  TokenRanks ranks_;
  CutChooser chooser_;
  std::vector<CutRank> decided_;  // on their way to the chooser
};

}  // namespace

absl::StatusOr<std::unique_ptr<Chunker>> MakeStructuralChunker(
    const ChunkerOptions& options) {
  LH_ASSIGN_OR_RETURN(const int min_tokens, ResolveMinTokens(options));
  LH_ASSIGN_OR_RETURN(TokenRanks ranks, TokenRanks::Create());
  return std::make_unique<StructuralChunker>(
      std::move(ranks), CutChooser(min_tokens, options.max_tokens));
}

}  // namespace longhand
