#include "core/chunking/token_ranks.h"

#include <algorithm>
#include <limits>

#include "core/base/status_macros.h"

namespace longhand {
namespace {

// Boundaries are joined with tokens after so many bytes of text.
constexpr size_t kPieceBytes = 4096;

}  // namespace

absl::StatusOr<TokenRanks> TokenRanks::Create() {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<TextBoundaries> text,
                      TextBoundaries::Create());
  return TokenRanks(std::move(text));
}

TokenRanks::TokenRanks(const TokenRanks& other)
    : text_(other.text_->Clone()),
      boundaries_(other.boundaries_),
      waiting_(other.waiting_),
      last_begin_(other.last_begin_),
      last_end_(other.last_end_) {}

void TokenRanks::Push(std::string_view text, const TokenSequence& tokens,
                      std::vector<CutRank>* out) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const uint64_t begin = tokens.begin[i];
    waiting_.push_back({begin, begin == last_begin_ || begin < last_end_});
    last_begin_ = begin;
    last_end_ = tokens.end[i];
  }
  do {
    const std::string_view piece = text.substr(0, kPieceBytes);
    text.remove_prefix(piece.size());
    text_->Append(piece, &boundaries_);
    RankTokens(text_->decided(), out);
  } while (!text.empty());
}

void TokenRanks::Finish(std::vector<CutRank>* out) {
  text_->Finish(&boundaries_);
  RankTokens(std::numeric_limits<uint64_t>::max(), out);
}

void TokenRanks::RankTokens(uint64_t decided, std::vector<CutRank>* out) {
  while (!waiting_.empty() && waiting_.front().begin <= decided) {
    const Token token = waiting_.front();
    waiting_.pop_front();
    while (!boundaries_.empty() && boundaries_.front().end < token.begin) {
      boundaries_.pop_front();
    }
    CutRank rank = CutRank::kInWord;
    if (token.shares_character) {
      rank = CutRank::kInCharacter;
    } else if (!boundaries_.empty() &&
               boundaries_.front().begin <= token.begin) {
      rank = boundaries_.front().rank;
    }
    out->push_back(rank);
  }
}

}  // namespace longhand
