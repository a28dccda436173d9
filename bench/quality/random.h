// SplitMix64 and a shuffle whose results are the same with every standard
// library, which std::shuffle does not promise. One thread at a time.
#ifndef LONGHAND_BENCH_QUALITY_RANDOM_H_
#define LONGHAND_BENCH_QUALITY_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace longhand::quality {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // From 0 to `bound` - 1; `bound` is positive and far below 2^64.
  size_t Below(size_t bound) { return Next() % bound; }

  template <typename T>
  void Shuffle(std::vector<T>* values) {
    for (size_t i = values->size(); i > 1; --i) {
      std::swap((*values)[i - 1], (*values)[Below(i)]);
    }
  }

 private:
  uint64_t state_;
};

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_RANDOM_H_
