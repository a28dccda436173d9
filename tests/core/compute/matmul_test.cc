// Packed linear layers and products against their slow twins, in every
// precision that the CPU has.

#include "core/compute/matmul.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "core/compute/precision.h"
#include "core/compute/reference.h"
#include "core/compute/runtime.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

std::vector<float> Random(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

struct LinearCase {
  int inputs, outputs, rows;
  LinearOptions options;
  std::vector<float> weights, bias, src, dst;

  LinearCase(int in, int out, int count, LinearOptions linear_options)
      : inputs(in), outputs(out), rows(count), options(linear_options) {
    weights = Random(size_t(inputs) * outputs, 1);
    bias = Random(size_t(outputs), 2);
    src = Random(size_t(PaddedRows(rows)) * inputs, 3);
    dst = Random(size_t(PaddedRows(rows)) * outputs, 4);
  }
};

// The precisions, and those that this CPU computes in.
class PrecisionTest : public ::testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    if (EffectivePrecision(GetParam()) != GetParam()) {
      GTEST_SKIP() << PrecisionName(GetParam())
                   << " needs instructions that this CPU (oneDNN: "
                   << EffectiveIsa() << ") does not have; it computes in "
                   << PrecisionName(EffectivePrecision(GetParam()));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, PrecisionTest,
                         ::testing::ValuesIn(kAllPrecisions),
                         [](const auto& parameter) {
                           return std::string(PrecisionName(parameter.param));
                         });

// Packs and applies `test`, and expects test.dst to be `expected` up to
// `tolerance` of the largest magnitude in the expected matrix.
void ExpectApplies(LinearCase test, const std::vector<float>& expected,
                   double tolerance) {
  SCOPED_TRACE(absl::StrCat(test.rows, " x ", test.inputs, " x ", test.outputs,
                            ", activation ", int(test.options.activation),
                            test.options.accumulate ? ", accumulated" : ""));
  auto linear = PackedLinear::Pack(test.weights, test.bias, test.inputs,
                                   test.outputs, test.options);
  ASSERT_TRUE(linear.ok()) << linear.status();
  ComputeContext context;
  linear->Apply(test.src.data(), test.rows, context, test.dst.data());
  double largest = 1;
  for (int i = 0; i < test.rows * test.outputs; ++i) {
    largest = std::max<double>(largest, std::abs(expected[i]));
  }
  for (int i = 0; i < test.rows * test.outputs; ++i) {
    ASSERT_NEAR(test.dst[i], expected[i], tolerance * largest) << i;
  }
}

reference::LinearArgs Args(const LinearCase& test) {
  return {test.weights.data(), test.bias.data(), test.inputs, test.outputs,
          test.options};
}

// How far a product in a precision may be from the exact one, relative to the
// largest element of the result. int8 has 255 steps for a row, and for a sum of
// n such products the errors grow with the square root of n, as the sums do.
double Tolerance(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return 1e-4;
    case Precision::kBf16:
      return 1e-2;
    case Precision::kInt8:
      return 3e-2;
  }
  return 0;
}

TEST_P(PrecisionTest, MatchesTheReference) {
  struct Size {
    int inputs, outputs;
  };
  const Size sizes[] = {{1, 1}, {40, 24}, {37, 51}, {384, 129}, {130, 384}};
  for (const Size& size : sizes) {
    for (int rows : {1, 7, 15, 16, 17, 130}) {
      LinearCase test(size.inputs, size.outputs, rows,
                      {.precision = GetParam()});
      std::vector<float> expected = test.dst;
      reference::Linear(Args(test), test.src.data(), rows, expected.data());
      ExpectApplies(test, expected, Tolerance(GetParam()));
    }
  }
}

TEST_P(PrecisionTest, ActivatesAndAccumulates) {
  for (Activation activation :
       {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh,
        Activation::kRelu, Activation::kSilu}) {
    for (bool accumulate : {false, true}) {
      for (int rows : {1, 16, 130}) {
        LinearCase test(40, 24, rows, {activation, accumulate, GetParam()});
        std::vector<float> expected = test.dst;
        reference::Linear(Args(test), test.src.data(), rows, expected.data());
        ExpectApplies(test, expected, Tolerance(GetParam()));
      }
    }
  }
}

TEST_P(PrecisionTest, RowsOfZerosGiveTheBias) {
  LinearCase test(40, 24, 7, {.precision = GetParam()});
  std::fill(test.src.begin(), test.src.end(), 0.0f);
  std::vector<float> expected;
  for (int r = 0; r < test.rows; ++r) {
    expected.insert(expected.end(), test.bias.begin(), test.bias.end());
  }
  ExpectApplies(test, expected, 0);
}

TEST_P(PrecisionTest, RowsThatAreNotFiniteStayApart) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    for (Activation activation : {Activation::kNone, Activation::kGeluErf,
                                  Activation::kRelu, Activation::kSilu}) {
      LinearCase test(40, 24, 7,
                      {.activation = activation, .precision = GetParam()});
      LinearCase good = test;
      test.src[3 * 40 + 17] = bad;
      auto linear =
          PackedLinear::Pack(test.weights, test.bias, 40, 24, test.options);
      ASSERT_TRUE(linear.ok());
      ComputeContext context;
      linear->Apply(test.src.data(), test.rows, context, test.dst.data());
      linear->Apply(good.src.data(), good.rows, context, good.dst.data());
      for (int i = 0; i < test.rows * 24; ++i) {
        if (i / 24 != 3) {
          EXPECT_EQ(test.dst[i], good.dst[i]);
        } else if (GetParam() == Precision::kInt8) {
          EXPECT_TRUE(std::isnan(test.dst[i]));
        }
      }
    }
  }
}

// A warmed-up worker takes nothing new from the heap for its buffers.
TEST_P(PrecisionTest, WorkspaceStopsGrowing) {
  LinearCase test(384, 1536, 130, {.precision = GetParam()});
  auto linear =
      PackedLinear::Pack(test.weights, test.bias, 384, 1536, test.options);
  ASSERT_TRUE(linear.ok());
  EXPECT_EQ(linear->precision(), GetParam());
  ComputeContext context;
  linear->Apply(test.src.data(), test.rows, context, test.dst.data());
  context.workspace().Reset();
  const size_t warm = context.workspace().capacity();
  for (int i = 0; i < 3; ++i) {
    linear->Apply(test.src.data(), test.rows, context, test.dst.data());
    context.workspace().Reset();
  }
  EXPECT_EQ(context.workspace().capacity(), warm);
}

// The fast int8 path and the slow one round alike, so that only the last bits
// of the dequantised values differ.
TEST(Int8, MatchesTheExactIntegerOracle) {
  for (int inputs : {1, 2, 3, 4, 5, 37, 384, 1536}) {
    for (int rows : {1, 7, 16, 130}) {
      LinearCase test(inputs, 51, rows,
                      {Activation::kGeluErf, true, Precision::kInt8});
      std::vector<float> expected = test.dst;
      reference::LinearInt8(Args(test), test.src.data(), rows, expected.data());
      ExpectApplies(test, expected, 2e-6);
    }
  }
}

// Inputs and weights at both ends of their ranges, in every pattern of signs
// over four neighbours, which is what one lane of an 8-bit product holds: a
// kernel that saturates is off by whole percents.
TEST(Int8, ExtremesDoNotSaturate) {
  for (int inputs : {2, 3, 4, 7, 64, 129, 1536, 4096}) {
    for (int rows : {1, 16, 130}) {
      LinearCase test(inputs, 48, rows, {.precision = Precision::kInt8});
      for (int o = 0; o < test.outputs; ++o) {
        for (int i = 0; i < inputs; ++i) {
          const bool negative = (o >> (i % 4)) & 1;
          const float size = o < 16 || i % 2 == 0 ? 1.0f : 1.0f / (o - 14);
          test.weights[size_t(o) * inputs + i] = negative ? -size : size;
        }
      }
      for (int r = 0; r < PaddedRows(rows); ++r) {
        for (int i = 0; i < inputs; ++i) {
          // Row 0 is all ones; the others have ones and zeros, or halves of
          // the range on either side of 0.
          const bool low = (r >> (i % 4)) & 1;
          test.src[size_t(r) * inputs + i] = low ? (r < 16 ? 0 : -1) : 1;
        }
      }
      std::fill(test.bias.begin(), test.bias.end(), 0.0f);
      std::vector<float> expected = test.dst;
      reference::LinearInt8(Args(test), test.src.data(), rows, expected.data());
      ExpectApplies(test, expected, 2e-6);
    }
  }
}

TEST(Int8, RefusesMoreInputsThanASumHolds) {
  const std::vector<float> weights(size_t(kMaxInt8Inputs) + 1, 1.0f);
  const LinearOptions options{.precision = Precision::kInt8};
  const std::vector<float> bias = {0.0f};
  const auto pack = [&](int inputs) {
    return PackedLinear::Pack(absl::MakeSpan(weights).subspan(0, inputs), bias,
                              inputs, 1, options);
  };
  EXPECT_EQ(pack(kMaxInt8Inputs + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto widest = pack(kMaxInt8Inputs);
  ASSERT_TRUE(widest.ok());
  const std::vector<float> src(size_t(kMaxInt8Inputs) * PaddedRows(1), 1.0f);
  std::vector<float> dst(PaddedRows(1));
  ComputeContext context;
  widest->Apply(src.data(), 1, context, dst.data());
  // Far from what a sum that wrapped would give.
  EXPECT_NEAR(dst[0], kMaxInt8Inputs, 1e-2 * kMaxInt8Inputs);
}

TEST_P(PrecisionTest, ManyThreadsGiveTheSame) {
  LinearCase test(64, 96, 33, {.precision = GetParam()});
  auto linear =
      PackedLinear::Pack(test.weights, test.bias, 64, 96, test.options);
  ASSERT_TRUE(linear.ok());
  std::vector<std::vector<float>> results(4, test.dst);
  std::vector<std::thread> threads;
  for (auto& result : results) {
    threads.emplace_back([&] {
      ComputeContext context;
      for (int i = 0; i < 50; ++i) {
        linear->Apply(test.src.data(), test.rows, context, result.data());
        context.workspace().Reset();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Rows of padding may hold anything.
  for (auto& result : results) {
    result.resize(size_t(test.rows) * size_t(test.outputs));
    EXPECT_EQ(result, results[0]);
  }
}

TEST(Gemm, MatchesTheReferenceWithStridesAndTransposes) {
  struct Size {
    int m, n, k;
  };
  constexpr Size kSizes[] = {{1, 1, 1},   {1, 32, 33},  {6, 16, 8},
                             {31, 32, 5}, {7, 33, 256}, {12, 31, 257},
                             {5, 48, 0},  {128, 32, 33}};
  const std::vector<float> a = Random(300 * 300, 1), b = Random(300 * 300, 2);
  for (const Size& size : kSizes) {
    for (bool a_transposed : {false, true}) {
      for (bool b_transposed : {false, true}) {
        const MatrixView left = {a.data(), 280, a_transposed};
        const MatrixView right = {b.data(), 290, b_transposed};
        // What lies between the rows must stay.
        std::vector<float> fast = Random(200 * 200, 3), slow = fast;
        Gemm(size.m, size.n, size.k, 0.25f, left, right, fast.data(), 100);
        reference::Gemm(size.m, size.n, size.k, 0.25f, left, right, slow.data(),
                        100);
        for (size_t i = 0; i < fast.size(); ++i) {
          ASSERT_NEAR(fast[i], slow[i], 1e-4)
              << size.m << " x " << size.n << " x " << size.k;
        }
      }
    }
  }
}

TEST(ActivationFromName, RefusesUnknownNames) {
  EXPECT_EQ(*ActivationFromName("gelu_new"), Activation::kGeluTanh);
  EXPECT_EQ(ActivationFromName("mish").status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(Precision, NamesAreReadBack) {
  for (Precision precision : kAllPrecisions) {
    EXPECT_EQ(*PrecisionFromName(PrecisionName(precision)), precision);
  }
  const absl::Status status = PrecisionFromName("fp16").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (Precision precision : kAllPrecisions) {
    EXPECT_NE(status.message().find(ToAbsl(PrecisionName(precision))),
              absl::string_view::npos);
  }
}

TEST(Precision, OnlyBf16DependsOnTheCpu) {
  EXPECT_EQ(EffectivePrecision(Precision::kFp32), Precision::kFp32);
  EXPECT_EQ(EffectivePrecision(Precision::kInt8), Precision::kInt8);
  const Precision bf16 = EffectivePrecision(Precision::kBf16);
  EXPECT_TRUE(bf16 == Precision::kBf16 || bf16 == Precision::kFp32);
  // What it says can also be had.
  const float one = 1;
  auto linear =
      PackedLinear::Pack({&one, 1}, {&one, 1}, 1, 1, {.precision = bf16});
  ASSERT_TRUE(linear.ok()) << linear.status();
  EXPECT_EQ(linear->precision(), bf16);
}

TEST(Runtime, NamesVersionAndInstructionSet) {
  EXPECT_FALSE(OnednnVersion().empty());
  EXPECT_FALSE(EffectiveIsa().empty());
  EXPECT_FALSE(VectorTarget().empty());
}

}  // namespace
}  // namespace longhand
