// SplitMix64: the hash behind random choices that must be the same everywhere.
// A pure function; safe from any thread.
#ifndef LONGHAND_CORE_ATTENTION_SPLIT_MIX_H_
#define LONGHAND_CORE_ATTENTION_SPLIT_MIX_H_

#include <cstdint>

namespace longhand {

// What splitmix64 gives in state x (Steele et al. 2014,
// doi:10.1145/2660193.2660195).
constexpr uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_SPLIT_MIX_H_
