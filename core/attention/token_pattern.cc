#include "core/attention/token_pattern.h"

#include <algorithm>

#include "core/attention/split_mix.h"

namespace longhand {
namespace {

// The first tooth that does not end before `place`; may be past the last one.
int64_t FirstTooth(const KeyComb& comb, int64_t place) {
  const int64_t past = place - comb.begin - comb.length;
  return past < 0 ? 0 : past / comb.period + 1;
}

// Calls body(begin, end) for the parts of the teeth in `range`.
template <typename Body>
void ForEachTooth(const KeyComb& comb, PlaceRange range, Body&& body) {
  if (range.size() <= 0) return;
  for (int64_t i = FirstTooth(comb, range.begin); i < comb.count; ++i) {
    const int64_t begin = comb.begin + i * comb.period;
    if (begin >= range.end) return;
    body(std::max(begin, range.begin),
         std::min(begin + comb.length, range.end));
  }
}

int64_t CountPlaces(const KeyComb& comb, PlaceRange range) {
  int64_t count = 0;
  ForEachTooth(comb, range,
               [&](int64_t begin, int64_t end) { count += end - begin; });
  return count;
}

// The places of `range` less than `distance` from `place`.
PlaceRange Around(int64_t place, int64_t distance, PlaceRange range) {
  if (distance == kAnyDistance) return range;
  return {std::max(range.begin, place - distance + 1),
          std::min(range.end, place + distance)};
}

}  // namespace

bool Touches(const KeyComb& comb, PlaceRange range) {
  const int64_t tooth = FirstTooth(comb, range.begin);
  return range.size() > 0 && tooth < comb.count &&
         comb.begin + tooth * comb.period < range.end;
}

void AppendPlaces(const KeyComb& comb, PlaceRange range,
                  std::vector<int64_t>* places) {
  ForEachTooth(comb, range, [&](int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; ++place) places->push_back(place);
  });
}

bool CoversAll(absl::Span<const QueryGroup> groups, PlaceRange places) {
  // No pair is in two groups, so that counting them is enough.
  int64_t seen = 0;
  for (const QueryGroup& group : groups) {
    const bool is_bounded = group.nearest > 0 || group.farthest != kAnyDistance;
    for (const KeyComb& comb : group.keys) {
      if (!is_bounded) {
        seen += group.count * CountPlaces(comb, places);
        continue;
      }
      for (int i = 0; i < group.count; ++i) {
        const int64_t query = group.begin + i * group.step;
        const int64_t far =
            group.farthest == kAnyDistance ? kAnyDistance : group.farthest + 1;
        seen += CountPlaces(comb, Around(query, far, places)) -
                CountPlaces(comb, Around(query, group.nearest, places));
      }
    }
  }
  return seen == places.size() * places.size();
}

int64_t BandRun(int64_t window) {
  return std::clamp<int64_t>(window, 16, kQueryRun);
}

void AddBand(PlaceRange queries, int64_t window,
             std::vector<QueryGroup>* groups) {
  ForEachRun(queries, BandRun(window), [&](int64_t begin, int count) {
    groups->push_back(
        {.begin = begin,
         .count = count,
         .keys = {KeyComb::Run(begin - window, begin + count + window)},
         .farthest = window});
  });
}

std::vector<int64_t> DrawNumbers(uint64_t seed, uint64_t stream,
                                 int64_t population, int count) {
  std::vector<int64_t> drawn;
  const uint64_t state = SplitMix64(SplitMix64(seed) + stream);
  for (int64_t j = std::max<int64_t>(0, population - count); j < population;
       ++j) {
    const int64_t x =
        int64_t(SplitMix64(state + uint64_t(j)) % uint64_t(j + 1));
    const auto place = std::lower_bound(drawn.begin(), drawn.end(), x);
    if (place != drawn.end() && *place == x) {
      drawn.push_back(j);  // greater than all before
    } else {
      drawn.insert(place, x);
    }
  }
  return drawn;
}

}  // namespace longhand
