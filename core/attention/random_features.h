// Random directions for the positive features of softmax kernels (FAVOR+,
// Choromanski et al. 2020, arXiv:2009.14794). Pure functions; safe from any
// thread.
#ifndef LONGHAND_CORE_ATTENTION_RANDOM_FEATURES_H_
#define LONGHAND_CORE_ATTENTION_RANDOM_FEATURES_H_

#include "core/tensor/tensor.h"

namespace longhand {

struct RandomFeaturesSpec {
  int seed = 0;
  int layer = 0;
  int features = 0;
  int dim = 0;  // of a head
};

// `features` directions of `dim` numbers, all that the paper's paragraph on
// orthogonal random features has: blocks of `dim` rows that are orthogonal to
// each other and each uniform on the sphere, times the norms of independent
// Gaussian rows, so that each row on its own is Gaussian.
//
// The numbers come from std::mt19937_64, seeded with std::seed_seq{seed, layer,
// features, dim}. Two draws a and b give two Gaussian numbers by Box and Muller
// (1958): with u = (a / 2^11 + 1/2) / 2^53 and w likewise from b, sqrt(-2 ln u)
// cos(2 pi w), then the same with the sine. First come the blocks, row by row,
// the last one whole; then the rows whose norms are taken. Blocks become
// orthogonal by Gram-Schmidt. The result is the same on every machine but for
// the last bits of the math library.
FloatBuffer DrawOrthogonalFeatures(const RandomFeaturesSpec& spec);

// d ln d, rounded down, at least 1: the number of features that Choromanski et
// al. use.
int DefaultRandomFeatures(int dim);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_RANDOM_FEATURES_H_
