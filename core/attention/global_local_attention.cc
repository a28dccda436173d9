// Local attention with global tokens (Beltagy et al. 2020, arXiv:2004.05150,
// section 3.1, with the same projections for both): a token sees those at most
// window_tokens away and the global ones, which see everything. Without
// global_tokens the document's first token is global.

#include <algorithm>
#include <utility>

#include "core/attention/pattern_attention.h"

namespace longhand {
namespace {

class GlobalLocalPattern final : public TokenPattern {
 public:
  // global_tokens: ascending.
  GlobalLocalPattern(int64_t window, absl::Span<const int64_t> global_tokens)
      : window_(window) {
    for (int64_t token : global_tokens) {
      if (globals_.empty() || globals_.back().end < token) {
        globals_.push_back({token, token});
      }
      globals_.back().end = token + 1;
    }
  }

  void AddGroups(PlaceRange queries, PlaceRange document,
                 std::vector<QueryGroup>* groups) const override {
    int64_t begin = queries.begin;
    for (auto run = FirstBehind(begin); begin < queries.end; ++run) {
      const bool is_last = run == globals_.end() || run->begin >= queries.end;
      const int64_t end = is_last ? queries.end : run->begin;
      if (begin < end) AddLocal({begin, end}, groups);
      if (is_last) return;
      begin = std::min(run->end, queries.end);
      ForEachRun({std::max(run->begin, queries.begin), begin}, kQueryRun,
                 [&](int64_t first, int count) {
                   groups->push_back(
                       {.begin = first,
                        .count = count,
                        .keys = {KeyComb::Run(document.begin, document.end)}});
                 });
    }
  }

 private:
  using Runs = std::vector<PlaceRange>;

  // The first run of global tokens that ends behind `place`.
  Runs::const_iterator FirstBehind(int64_t place) const {
    return std::partition_point(
        globals_.begin(), globals_.end(),
        [place](const PlaceRange& run) { return run.end <= place; });
  }

  // Queries that are not global see their window without the global tokens,
  // and these.
  void AddLocal(PlaceRange queries, std::vector<QueryGroup>* groups) const {
    QueryGroup global = {};
    for (const PlaceRange& run : globals_) {
      global.keys.push_back(KeyComb::Run(run.begin, run.end));
    }
    ForEachRun(queries, BandRun(window_), [&](int64_t begin, int count) {
      QueryGroup local = {.begin = begin, .count = count, .farthest = window_};
      int64_t from = begin - window_;
      const int64_t end = begin + count + window_;
      for (auto run = FirstBehind(from); from < end; ++run) {
        const int64_t to = run == globals_.end() ? end : run->begin;
        if (from < to)
          local.keys.push_back(KeyComb::Run(from, std::min(to, end)));
        if (run == globals_.end()) break;
        from = run->end;
      }
      groups->push_back(std::move(local));
      global.begin = begin;
      global.count = count;
      groups->push_back(global);
    });
  }

  const int64_t window_;
  Runs globals_;  // runs of global tokens, ascending, not touching
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeGlobalLocalAttention(
    const AttentionOptions& options) {
  const std::vector<int64_t> first = {0};
  return MakePatternAttention(
      options,
      std::make_unique<const GlobalLocalPattern>(
          *options.mechanism.window_tokens,
          options.global_tokens.empty() ? first : options.global_tokens),
      {"window_tokens", "global_tokens"});
}

}  // namespace longhand
