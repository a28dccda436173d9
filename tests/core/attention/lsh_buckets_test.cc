// What hashed attention is made of: PyTorch's normal random numbers, the
// buckets of vectors against a twin in double precision, and the order that
// buckets give rows.

#include "core/attention/lsh_buckets.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/lsh_rotations.h"
#include "core/attention/torch_normal.h"
#include "core/compute/compute_context.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

std::vector<float> TorchNormals(int64_t seed, size_t size) {
  std::vector<float> values(size);
  FillTorchNormals(seed, absl::MakeSpan(values));
  return values;
}

// torch.manual_seed(seed); torch.randn(size) of PyTorch 2.15 on a CPU with
// AVX2.
TEST(TorchNormalTest, GivesWhatPyTorchGives) {
  const auto expect = [](int64_t seed, const std::vector<float>& values) {
    EXPECT_THAT(TorchNormals(seed, values.size()),
                Pointwise(FloatNear(1e-6f), values))
        << seed << " " << values.size();
  };
  // Fewer than a block.
  expect(11, {0.737629473f, 1.94592917f, -0.699541628f});
  // One block.
  expect(11, {-0.51079756f, 1.02827179f, -0.35315159f, 0.122991316f,
              -0.181554466f, -1.49722815f, 0.142104536f, -0.524282455f,
              -0.248737112f, -0.52523762f, 2.89221358f, -0.59471339f,
              1.31183314f, 0.352179378f, -1.31512427f, -0.00799220521f});
  // A block and a bit.
  expect(11,
         {-0.51079756f, 1.57270348f, -1.6394645f, -1.59253228f, -0.154625118f,
          -1.09643877f, 1.36659765f, 0.68928194f, 0.0744391829f, 0.61710012f,
          0.752840221f, 0.602252185f, 2.01754236f, -1.16862941f, -1.32419419f,
          1.12674356f, 1.9112736f});
  // The low half of the seed counts.
  expect((int64_t{1} << 40) + 5,
         {1.84232986f, 0.518887162f, -1.71192133f, -1.7013793f, 2.01941943f,
          -0.268614441f, -0.130717501f, -1.43741381f, 0.39076823f,
          -0.0189677607f, -1.35268736f, -0.730817795f, 0.987922251f,
          -0.419407934f, -0.584895849f, -0.782335103f});
  expect(-7, {-0.179251611f, 0.90273267f, -0.57761246f, -1.32436144f,
              0.918483973f, 2.52274823f, -0.620288432f, -1.31738448f,
              0.743070066f, 1.20312607f, -0.500937283f, 0.333162963f,
              -0.447315633f, -0.0118221408f, -0.138929904f, -0.50350225f});
}

TEST(TorchNormalTest, AreTheRotationsOfThePublishedCases) {
  for (const char* folder :
       {"reformer", "reformer_factors", "reformer_lonely"}) {
    const std::string path =
        std::string(LONGHAND_TESTDATA_DIR "/parity/") + folder;
    const testing::GoldenFile cases(path + "/cases.safetensors");
    const std::vector<float> expected = cases.Floats("lsh_rotations");
    const int64_t seed = testing::ReadJsonFile(path + "/config.json")
                             .at("hash_seed")
                             .get<int64_t>();
    EXPECT_THAT(TorchNormals(seed, expected.size()),
                Pointwise(FloatNear(2e-6f), expected));
  }
}

TEST(LshRotationsTest, StoredOnesComeFirst) {
  const FloatBuffer stored = FloatBuffer::CopyOf(
      std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const LshRotations rotations({.num_heads = 2,
                                .head_dim = 3,
                                .num_hashes = 1,
                                .seed = 5,
                                .stored = &stored});
  EXPECT_EQ(rotations.OfHead(1, 2), stored.data() + 6);
}

TEST(LshRotationsTest, EverySizeBeginsWithTheSeed) {
  const LshRotations rotations(
      {.num_heads = 2, .head_dim = 3, .num_hashes = 4, .seed = 9});
  for (int size : {1, 6, 2, 6}) {
    const size_t head = size_t(3 * 4 * size);
    const std::vector<float> all = TorchNormals(9, 2 * head);
    for (int h : {0, 1}) {
      const float* made = rotations.OfHead(h, size);
      EXPECT_TRUE(
          std::equal(made, made + head, all.begin() + h * int64_t(head)));
    }
  }
}

// As the public implementation counts: 2 * (rows / stretch) down to a power of
// two.
TEST(LshBucketsTest, FactorsFollowTheLength) {
  EXPECT_THAT(BucketFactorsFor(8, 4, 16), ElementsAre(4));
  EXPECT_THAT(BucketFactorsFor(28, 4, 16), ElementsAre(8));
  EXPECT_THAT(BucketFactorsFor(32, 4, 16), ElementsAre(16));
  EXPECT_THAT(BucketFactorsFor(64, 4, 16), ElementsAre(4, 8));
  EXPECT_THAT(BucketFactorsFor(100, 4, 16), ElementsAre(4, 8));
  EXPECT_THAT(BucketFactorsFor(65536, 64, 128), ElementsAre(32, 64));
  EXPECT_EQ(RotationSize({4, 6}), 5);
}

// The place of the first largest of [y, -y], factor by factor.
int TwinBucket(const std::vector<double>& turned,
               const BucketFactors& factors) {
  int bucket = 0, product = 1;
  size_t begin = 0;
  for (int factor : factors) {
    std::vector<double> both(turned.begin() + int64_t(begin),
                             turned.begin() + int64_t(begin) + factor / 2);
    for (int i = 0; i < factor / 2; ++i) both.push_back(-both[size_t(i)]);
    bucket += product *
              int(std::max_element(both.begin(), both.end()) - both.begin());
    product *= factor;
    begin += size_t(factor) / 2;
  }
  return bucket;
}

void CheckBuckets(int rows, int d, int hashes, const BucketFactors& factors) {
  const int size = RotationSize(factors);
  std::mt19937 random(uint32_t(rows * 7 + d));
  std::normal_distribution<float> normal;
  const int stride = d + 3;
  std::vector<float> x(size_t(rows * stride));
  std::vector<float> rotations(size_t(d * hashes * size));
  for (auto* values : {&x, &rotations}) {
    for (float& value : *values) value = normal(random);
  }
  ComputeContext compute;
  std::vector<float> turned(size_t(kHashTile * hashes * size));
  std::vector<int32_t> buckets(size_t(hashes * rows));
  HashRows({.x = {x.data(), stride},
            .rows = rows,
            .head_dim = d,
            .rotations = rotations.data(),
            .num_hashes = hashes,
            .factors = factors,
            .turned = turned.data()},
           buckets.data());
  for (int hash = 0; hash < hashes; ++hash) {
    for (int r = 0; r < rows; ++r) {
      std::vector<double> y(static_cast<size_t>(size));
      for (int i = 0; i < size; ++i) {
        for (int j = 0; j < d; ++j) {
          y[size_t(i)] += double{x[size_t(r * stride + j)]} *
                          rotations[size_t((j * hashes + hash) * size + i)];
        }
      }
      ASSERT_EQ(buckets[size_t(hash * rows + r)], TwinBucket(y, factors))
          << "hash " << hash << " row " << r;
    }
  }
}

TEST(LshBucketsTest, BucketsAreTheTwins) {
  CheckBuckets(1, 4, 1, {2});
  CheckBuckets(300, 16, 3, {8});
  CheckBuckets(513, 8, 2, {4, 6});
  CheckBuckets(100, 20, 1, {2, 4, 8});
}

TEST(LshBucketsTest, TiesGoToTheFirstPlace) {
  // y: nothing; a tie in y; one of y and -y; one in -y.
  const std::vector<std::pair<std::vector<float>, int>> kTies = {
      {{0, 0, 0, 0}, 0},
      {{-1, 2, 2, 0}, 1},
      {{1, 2, -2, 0}, 1},
      {{1, -2, 0, -2}, 5}};
  ComputeContext compute;
  std::vector<float> turned(kHashTile * 4);
  for (const auto& [y, expected] : kTies) {
    const float one = 1;
    int32_t bucket = -1;
    HashRows({.x = {&one, 1},
              .rows = 1,
              .head_dim = 1,
              .rotations = y.data(),
              .num_hashes = 1,
              .factors = {8},
              .turned = turned.data()},
             &bucket);
    EXPECT_EQ(bucket, expected);
  }
}

TEST(LshBucketsTest, OrderIsStableAndEndsWithNobody) {
  const std::vector<int32_t> buckets = {3, 0, 3, 1, 0, 2};
  std::vector<uint64_t> keys(6);
  std::vector<int32_t> order(8);
  OrderByBucket(buckets.data(), nullptr, 6, keys.data(), 8, order.data());
  EXPECT_THAT(order, ElementsAre(1, 4, 3, 5, 0, 2, -1, -1));
  const std::vector<uint8_t> mask = {1, 0, 1, 1, 1, 0};
  OrderByBucket(buckets.data(), mask.data(), 6, keys.data(), 8, order.data());
  EXPECT_THAT(order, ElementsAre(4, 3, 0, 2, -1, -1, -1, -1));
}

}  // namespace
}  // namespace longhand
