// Locality-sensitive hashing of vectors into buckets by random rotations
// (Andoni et al. 2015, arXiv:1509.02897), as Reformer attention uses it. Pure
// functions on the calling thread, whose ComputeContext must exist.
#ifndef LONGHAND_CORE_ATTENTION_LSH_BUCKETS_H_
#define LONGHAND_CORE_ATTENTION_LSH_BUCKETS_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "core/compute/matmul.h"

namespace longhand {

// Even numbers whose product is the number of buckets: a bucket is the mixed
// radix number of one hash per factor, the first factor's digit lowest.
using BucketFactors = absl::InlinedVector<int, 4>;

// Half the sum of the factors: the numbers that a vector is turned into.
int RotationSize(const BucketFactors& factors);

// What a sequence of `rows` gets where the model leaves it open: two buckets
// for every chunk, down to a power of two; two factors above `limit`.
// REQUIRES: rows >= 2 * chunk_length.
BucketFactors BucketFactorsFor(int64_t rows, int64_t chunk_length,
                               int64_t limit);

// Rows that are turned at a time.
inline constexpr int kHashTile = 256;

struct HashArgs {
  MatrixView x;  // [rows, head_dim]
  int rows;
  int head_dim;
  const float* rotations;  // [head_dim, num_hashes, RotationSize(factors)]
  int num_hashes;
  const BucketFactors& factors;
  float* turned;  // [kHashTile, num_hashes * RotationSize(factors)]: scratch
};

// buckets [num_hashes, rows]. The digit of a factor f is the first place of the
// largest of [y, -y], y being the f / 2 numbers of that factor in x *
// rotations.
void HashRows(const HashArgs& args, int32_t* buckets);

// order[places] = the rows in the order of their buckets [rows], equal ones as
// they came, without those whose mask [rows] is 0 (null: none); then -1.
// keys [rows]: scratch. REQUIRES: places >= rows.
void OrderByBucket(const int32_t* buckets, const uint8_t* mask, int rows,
                   uint64_t* keys, int64_t places, int32_t* order);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_LSH_BUCKETS_H_
