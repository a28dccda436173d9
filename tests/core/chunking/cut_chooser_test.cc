// The chooser against its definition: at each chunk, look at every cut.

#include "core/chunking/cut_chooser.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "rapidcheck.h"

namespace longhand {
namespace {

std::vector<int64_t> CutsByDefinition(int min_tokens, int max_tokens,
                                      const std::vector<int>& scores) {
  std::vector<int64_t> cuts;
  int64_t begin = 0;
  while (int64_t(scores.size()) - begin > max_tokens) {
    int64_t best = begin + min_tokens;
    for (int64_t at = best; at <= begin + max_tokens; ++at) {
      if (scores[at] >= scores[best]) best = at;
    }
    cuts.push_back(best);
    begin = best;
  }
  if (begin < int64_t(scores.size())) cuts.push_back(int64_t(scores.size()));
  return cuts;
}

TEST(CutChooser, TakesTheBestAndTheLatest) {
  EXPECT_TRUE(rc::check([] {
    const int max_tokens = *rc::gen::inRange(1, 30);
    const int min_tokens = *rc::gen::inRange(1, max_tokens + 1);
    const auto scores = *rc::gen::scale(
        4.0, rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5)));
    CutChooser chooser(min_tokens, max_tokens);
    std::vector<Chunk> chunks;
    for (int score : scores) chooser.Add(score, &chunks);
    chooser.Finish(&chunks);
    std::vector<int64_t> cuts;
    for (const Chunk& chunk : chunks) cuts.push_back(chunk.end);
    RC_ASSERT(cuts == CutsByDefinition(min_tokens, max_tokens, scores));
  }));
}

}  // namespace
}  // namespace longhand
