// TokenPattern: which tokens of a document see which, by their places in it
// (own tokens, counted from 0), told as groups of queries and the keys that
// they see, so that nothing has to be asked pair by pair.
// Immutable; safe from many threads.
#ifndef LONGHAND_CORE_ATTENTION_TOKEN_PATTERN_H_
#define LONGHAND_CORE_ATTENTION_TOKEN_PATTERN_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace longhand {

// The places [begin, end).
struct PlaceRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

// Teeth of `length` places, the first at `begin`, each `period` after the one
// before. REQUIRES: period >= length >= 1.
struct KeyComb {
  int64_t begin;
  int64_t length;
  int64_t period;
  int64_t count;  // of teeth

  int64_t end() const { return begin + (count - 1) * period + length; }
  static KeyComb Run(int64_t begin, int64_t end) {
    return {begin, end - begin, end - begin, 1};
  }
};

// Whether a place of the comb lies in `range`.
bool Touches(const KeyComb& comb, PlaceRange range);
// Appends the places of the comb in `range`, ascending.
void AppendPlaces(const KeyComb& comb, PlaceRange range,
                  std::vector<int64_t>* places);

inline constexpr int64_t kAnyDistance = std::numeric_limits<int64_t>::max();

// Some queries and what they see.
struct QueryGroup {
  // The places begin, begin + step, ...
  int64_t begin;
  int count;
  int64_t step = 1;
  // Disjoint, ascending, each behind the one before. What lies outside of the
  // document does no harm.
  absl::InlinedVector<KeyComb, 4> keys;
  // Of these keys a query sees those with nearest <= |query - key| <= farthest.
  int64_t nearest = 0;
  int64_t farthest = kAnyDistance;
};

class TokenPattern {
 public:
  // Queries of a group, at most.
  static constexpr int kMaxQueries = 256;

  virtual ~TokenPattern() = default;

  // Appends groups such that each pair of a place in `queries` and one in
  // `document` that it sees is in exactly one of them. Only a pattern with
  // needs_document() heeds where the document ends. REQUIRES: `queries` lies in
  // `document`.
  virtual void AddGroups(PlaceRange queries, PlaceRange document,
                         std::vector<QueryGroup>* groups) const = 0;

  // No token sees one that is farther away.
  virtual int64_t reach() const { return kAnyDistance; }
  // Whether everything sees everything, special tokens included.
  virtual bool is_full() const { return false; }
  // Whether it depends on where the document ends.
  virtual bool needs_document() const { return false; }
  // Keys of other chunks that are worth taking together: many where each query
  // sees few of them.
  virtual int tile_keys() const { return 256; }
};

// Whether the groups, made for the queries `places`, say that all of these see
// each other.
bool CoversAll(absl::Span<const QueryGroup> groups, PlaceRange places);

// Calls body(begin, count) for the runs of at most `most` places of `range`.
template <typename Body>
void ForEachRun(PlaceRange range, int64_t most, Body&& body) {
  for (int64_t begin = range.begin; begin < range.end; begin += most) {
    body(begin, static_cast<int>(std::min(most, range.end - begin)));
  }
}

// Queries of a group that see the same keys.
inline constexpr int kQueryRun = 64;

// Appends groups in which each of `queries` sees the keys at most `window`
// away.
void AddBand(PlaceRange queries, int64_t window,
             std::vector<QueryGroup>* groups);
// The length of AddBand's groups: so that no more is computed in vain than is
// seen.
int64_t BandRun(int64_t window);

// min(count, population) different numbers of [0, population), ascending, drawn
// by Floyd's algorithm (Bentley and Floyd 1987, CACM 30(9)): for j from
// population - count up, the draw is x = h(seed, stream, j) mod (j + 1), or j
// where x was drawn before. h is m(m(m(seed) + stream) + j), where m(x) is what
// splitmix64 gives in state x (Steele et al. 2014,
// doi:10.1145/2660193.2660195).
std::vector<int64_t> DrawNumbers(uint64_t seed, uint64_t stream,
                                 int64_t population, int count);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_TOKEN_PATTERN_H_
