// Packed linear layers and products against their slow twins.

#include "core/compute/matmul.h"

#include <cmath>
#include <random>
#include <thread>
#include <vector>

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

TEST(PackedLinear, MatchesTheReference) {
  ComputeContext context;
  for (Activation activation :
       {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh,
        Activation::kRelu, Activation::kSilu}) {
    for (bool accumulate : {false, true}) {
      for (int rows : {1, 15, 16, 17, 128}) {
        LinearCase test(40, 24, rows, {activation, accumulate});
        auto linear =
            PackedLinear::Pack(test.weights, test.bias, 40, 24, test.options);
        ASSERT_TRUE(linear.ok());
        std::vector<float> slow = test.dst;
        linear->Apply(test.src.data(), rows, context, test.dst.data());
        context.workspace().Reset();
        reference::Linear(
            {test.weights.data(), test.bias.data(), 40, 24, test.options},
            test.src.data(), rows, slow.data());
        for (int i = 0; i < rows * 24; ++i) {
          ASSERT_NEAR(test.dst[i], slow[i], 1e-4 * (1 + std::abs(slow[i])));
        }
      }
    }
  }
}

TEST(PackedLinear, ManyThreadsGiveTheSame) {
  LinearCase test(64, 96, 33, {});
  auto linear = PackedLinear::Pack(test.weights, test.bias, 64, 96);
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
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

TEST(Gemm, MatchesTheReferenceWithStridesAndTransposes) {
  ComputeContext context;
  const std::vector<float> a = Random(200 * 200, 1), b = Random(200 * 200, 2);
  for (bool a_transposed : {false, true}) {
    for (bool b_transposed : {false, true}) {
      for (int m : {1, 31, 128}) {
        std::vector<float> fast = Random(200 * 200, 3), slow = fast;
        Gemm(m, 32, 33, 0.25f, {a.data(), 180, a_transposed},
             {b.data(), 190, b_transposed}, fast.data(), 100);
        reference::Gemm(m, 32, 33, 0.25f, {a.data(), 180, a_transposed},
                        {b.data(), 190, b_transposed}, slow.data(), 100);
        for (size_t i = 0; i < fast.size(); ++i) {
          ASSERT_NEAR(fast[i], slow[i], 1e-4);
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

TEST(Runtime, NamesVersionAndInstructionSet) {
  EXPECT_FALSE(OnednnVersion().empty());
  EXPECT_FALSE(EffectiveIsa().empty());
  EXPECT_FALSE(VectorTarget().empty());
}

}  // namespace
}  // namespace longhand
