// DepthScorer: how far the similarity of the text before and after a sentence
// end lies below that around it: the depth score of TextTiling (Hearst 1997,
// "TextTiling: Segmenting Text into Multi-paragraph Subtopic Passages",
// Computational Linguistics 23(1)), with a model's token vectors instead of
// word counts. One per document; not thread-safe.
//
// A unit is a sentence, or a part of it: a longer one is counted in parts of
// `max_unit_tokens`. The similarity of a gap between two units is the cosine of
// the mean token vector of the kBlockUnits units before it and that of the
// kBlockUnits units after it (fewer at the document's ends). Its depth is
// (peak before - similarity) + (peak after - similarity), where the peaks are
// reached by steps to neighbouring gaps, at most kClimbUnits, as long as the
// similarity doesn't fall. All sums are taken in the order of the tokens, so
// equal documents give equal bits.
#ifndef LONGHAND_CORE_CHUNKING_DEPTH_SCORER_H_
#define LONGHAND_CORE_CHUNKING_DEPTH_SCORER_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "core/chunking/chunker.h"
#include "core/chunking/cut_rank.h"

namespace longhand {

class DepthScorer {
 public:
  static constexpr int kBlockUnits = 3;
  static constexpr int kClimbUnits = 3;
  // The similarities around the open unit must be there.
  static_assert(kClimbUnits + 1 >= kBlockUnits);

  // REQUIRES: max_unit_tokens >= 1; `table` has rows.
  DepthScorer(const TokenTable& table, int max_unit_tokens)
      : table_(table), max_unit_tokens_(max_unit_tokens) {}

  // Takes the next token: its id and the rank of a cut before it. Appends the
  // scores of cuts before the next tokens, in their order, as far as they are
  // decided, which takes at most kBlockUnits + kClimbUnits more units. A score
  // is a rank below kSentence, or kSentence plus a depth of 0 to 4.
  void Add(int32_t id, CutRank rank, std::vector<double>* scores);

  // Ends the document: appends the scores of all other tokens.
  void Finish(std::vector<double>* scores);

 private:
  struct Token {
    CutRank rank;
    int64_t unit;  // that it is in
  };

  void AddToUnit(int32_t id);
  void CloseUnit();
  // Of the units before and after unit `gap`'s begin.
  double SimilarityAt(int64_t gap) const;
  // REQUIRES: the similarities that it depends on are known.
  double DepthAt(int64_t gap) const;
  // Hands out the scores that depend on `gaps` similarities at most.
  void Release(int64_t gaps, std::vector<double>* scores);

  const TokenTable table_;
  const int max_unit_tokens_;

  std::vector<float> open_;  // sum of the open unit's vectors, [size]
  int open_tokens_ = 0;
  std::deque<std::vector<float>> units_;  // such sums of closed ones
  int64_t first_unit_ = 0;                // the index of units_[0]
  std::deque<double> similarities_;       // of gaps
  int64_t first_gap_ = 0;                 // the index of similarities_[0]
  std::deque<Token> waiting_;             // tokens without a score
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_DEPTH_SCORER_H_
