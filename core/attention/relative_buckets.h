// The buckets of relative positions of T5 (Raffel et al. 2020,
// arXiv:1910.10683, section 2.1), for both directions. Pure functions; safe
// from any thread.
#ifndef LONGHAND_CORE_ATTENTION_RELATIVE_BUCKETS_H_
#define LONGHAND_CORE_ATTENTION_RELATIVE_BUCKETS_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace longhand {

inline constexpr int kRelativeBuckets = 32;

// The bucket of a key that lies `distance` tokens behind its query (before it:
// negative), below kRelativeBuckets. Half of them are for each direction; half
// of those hold one distance each, the others ever more, up to 128. In floats,
// as the public implementations count.
inline int RelativeBucket(int distance) {
  constexpr int kOfDirection = kRelativeBuckets / 2;
  constexpr int kExact = kOfDirection / 2;
  constexpr int kFarthest = 128;
  const int begin = distance > 0 ? kOfDirection : 0;
  const int length = std::abs(distance);
  if (length < kExact) return begin + length;
  const float octaves = std::log(float(length) / kExact) /
                        float(std::log(double(kFarthest) / kExact));
  const int wide = kExact + int(octaves * (kOfDirection - kExact));
  return begin + std::min(wide, kOfDirection - 1);
}

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_RELATIVE_BUCKETS_H_
