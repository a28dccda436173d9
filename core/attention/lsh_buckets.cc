#include "core/attention/lsh_buckets.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/base/check.h"

namespace longhand {
namespace {

// The first place of the largest of [y, -y].
int LargestPlace(const float* y, int size) {
  int low = 0, high = 0;
  for (int i = 1; i < size; ++i) {
    if (y[i] < y[low]) low = i;
    if (y[i] > y[high]) high = i;
  }
  return -y[low] > y[high] ? size + low : high;
}

int32_t BucketOf(const float* y, const BucketFactors& factors) {
  int32_t bucket = 0, product = 1;
  for (int factor : factors) {
    bucket += product * LargestPlace(y, factor / 2);
    product *= factor;
    y += factor / 2;
  }
  return bucket;
}

}  // namespace

int RotationSize(const BucketFactors& factors) {
  return std::accumulate(factors.begin(), factors.end(), 0) / 2;
}

BucketFactors BucketFactorsFor(int64_t rows, int64_t chunk_length,
                               int64_t limit) {
  LH_CHECK(rows >= 2 * chunk_length);
  const int power = std::bit_width(uint64_t(2 * (rows / chunk_length))) - 1;
  if (int64_t{1} << power <= limit) return {1 << power};
  return {1 << (power / 2), 1 << (power - power / 2)};
}

void HashRows(const HashArgs& args, int32_t* buckets) {
  const int size = RotationSize(args.factors);
  const int columns = args.num_hashes * size;
  for (int begin = 0; begin < args.rows; begin += kHashTile) {
    const int rows = std::min(kHashTile, args.rows - begin);
    Gemm(rows, columns, args.head_dim, 1.0f,
         {args.x.data + begin * args.x.stride, args.x.stride},
         {args.rotations, columns}, args.turned, columns);
    for (int hash = 0; hash < args.num_hashes; ++hash) {
      int32_t* out = buckets + int64_t{hash} * args.rows + begin;
      for (int r = 0; r < rows; ++r) {
        out[r] =
            BucketOf(args.turned + int64_t{r} * columns + int64_t{hash} * size,
                     args.factors);
      }
    }
  }
}

void OrderByBucket(const int32_t* buckets, const uint8_t* mask, int rows,
                   uint64_t* keys, int64_t places, int32_t* order) {
  LH_CHECK(places >= rows);
  // Bucket and row in one number: no two are equal.
  uint64_t* end = keys;
  for (int r = 0; r < rows; ++r) {
    if (mask != nullptr && mask[r] == 0) continue;
    *end++ = (uint64_t(buckets[r]) << 32) | uint64_t(r);
  }
  std::sort(keys, end);
  order = std::transform(
      keys, end, order, [](uint64_t key) { return int32_t(key & 0xFFFFFFFF); });
  std::fill_n(order, places - (end - keys), -1);
}

}  // namespace longhand
