// Chunks that follow the topic: of the sentence ends between min_tokens and
// max_tokens after a chunk's begin it takes the one of the largest depth score
// (see depth_scorer.h), and of several the latest. Without a sentence end there
// it cuts as the structural chunker does: at the best rank.

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/chunking/chunker.h"
#include "core/chunking/cut_chooser.h"
#include "core/chunking/depth_scorer.h"
#include "core/chunking/options.h"
#include "core/chunking/token_ranks.h"

namespace longhand {
namespace {

class SemanticChunker final : public Chunker {
 public:
  SemanticChunker(TokenRanks ranks, DepthScorer scorer, CutChooser chooser)
      : ranks_(std::move(ranks)),
        scorer_(std::move(scorer)),
        chooser_(std::move(chooser)) {}

  bool needs_text() const override { return true; }
  std::vector<std::string_view> unused_options() const override {
    return {"overlap_tokens"};
  }

  void Push(std::string_view text, const TokenSequence& tokens,
            std::vector<Chunk>* out) override {
    ids_.insert(ids_.end(), tokens.ids.begin(), tokens.ids.end());
    ranks_.Push(text, tokens, &decided_);
    TakeDecided(out);
  }

  void Flush(std::vector<Chunk>* out) override {
    ranks_.Finish(&decided_);
    TakeDecided(out);
    scorer_.Finish(&scores_);
    TakeScores(out);
    chooser_.Finish(out);
  }

  std::unique_ptr<Chunker> Clone() const override {
    return std::make_unique<SemanticChunker>(*this);
  }

 private:
  void TakeDecided(std::vector<Chunk>* out) {
    for (const CutRank rank : decided_) {
      scorer_.Add(ids_.front(), rank, &scores_);
      ids_.pop_front();
    }
    decided_.clear();
    TakeScores(out);
  }

  void TakeScores(std::vector<Chunk>* out) {
    for (const double score : scores_) chooser_.Add(score, out);
    scores_.clear();
  }

  TokenRanks ranks_;
  DepthScorer scorer_;
  CutChooser chooser_;
  std::deque<int32_t> ids_;       // of tokens without a rank
  std::vector<CutRank> decided_;  // on their way to the scorer
  std::vector<double> scores_;    // on their way to the chooser
};

absl::Status CheckTable(const TokenTable& table) {
  if (table.size >= 1 && !table.rows.empty() &&
      table.rows.size() % size_t(table.size) == 0) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "CHUNKER_OPTIONS",
                   "the chunker semantic compares token vectors, and this "
                   "model gives none; use another chunker",
                   {{"option", "token_table"}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Chunker>> MakeSemanticChunker(
    const ChunkerOptions& options) {
  LH_ASSIGN_OR_RETURN(const int min_tokens, ResolveMinTokens(options));
  LH_RETURN_IF_ERROR(CheckTable(options.token_table));
  LH_ASSIGN_OR_RETURN(TokenRanks ranks, TokenRanks::Create());
  const int max_unit_tokens = std::max(1, options.max_tokens / 4);
  return std::make_unique<SemanticChunker>(
      std::move(ranks), DepthScorer(options.token_table, max_unit_tokens),
      CutChooser(min_tokens, options.max_tokens));
}

}  // namespace longhand
