// TokenRanks: for each token of a document, how good a place the text before it
// is for a cut. Joins the text with the tokens, whichever comes first. Holds
// the boundaries of text whose tokens have not come (24 bytes for each
// word) and the offsets of tokens whose text is not decided. One per document;
// not thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_TOKEN_RANKS_H_
#define LONGHAND_CORE_CHUNKING_TOKEN_RANKS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/chunking/cut_rank.h"
#include "core/chunking/text_boundaries.h"
#include "core/text/token_sequence.h"

namespace longhand {

class TokenRanks {
 public:
  // INTERNAL (ICU_DATA), see BreakFinder.
  static absl::StatusOr<TokenRanks> Create();

  // The copy goes on from here on its own.
  TokenRanks(const TokenRanks& other);
  TokenRanks(TokenRanks&&) = default;

  // Takes text and tokens as Chunker::Push does; appends the ranks of cuts
  // before the next tokens, in their order, as far as they are decided.
  void Push(std::string_view text, const TokenSequence& tokens,
            std::vector<CutRank>* out);

  // Ends the document: appends the ranks of all other tokens.
  void Finish(std::vector<CutRank>* out);

 private:
  struct Token {
    uint64_t begin;
    bool shares_character;  // with the token before it
  };

  explicit TokenRanks(std::unique_ptr<TextBoundaries> text)
      : text_(std::move(text)) {}

  // Ranks the waiting tokens that begin at `decided` or before.
  void RankTokens(uint64_t decided, std::vector<CutRank>* out);

  std::unique_ptr<TextBoundaries> text_;
  std::deque<TextBoundary> boundaries_;  // from the first waiting token on
  std::deque<Token> waiting_;
  uint64_t last_begin_ = 0;  // of the last token that came
  uint64_t last_end_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_TOKEN_RANKS_H_
