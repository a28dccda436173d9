// LoadRandom: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), so that a seed
// means the same documents and arrivals with every standard library. Internal
// to the load generator. Belongs to one thread.
#ifndef LONGHAND_CLIENT_LOAD_RANDOM_H_
#define LONGHAND_CLIENT_LOAD_RANDOM_H_

#include <cstdint>

namespace longhand::client {

class LoadRandom {
 public:
  explicit LoadRandom(uint64_t seed) : state_(seed) {}
  // A stream of its own for each `index`.
  LoadRandom(uint64_t seed, uint64_t index)
      : state_(LoadRandom(seed).Next() ^ LoadRandom(~index).Next()) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // In [0, 1).
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_RANDOM_H_
