// The retrieving mechanisms against their slow twins, over all option sets, and
// what the formulas promise at their ends.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/attention/adapter.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/attention/retrieval_variants.h"
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"

namespace longhand {
namespace {

using Contexts = std::vector<std::vector<double>>;
using Twin = Contexts (testing::LayerHarness::*)(const AttentionOptions&) const;

struct Mechanism {
  std::string name;
  Twin twin;
};

class RetrievalOracle : public ::testing::TestWithParam<Mechanism> {
 protected:
  static AttentionOptions Options(const testing::LayerHarness& harness,
                                  const RetrievalOptions& retrieval) {
    return {.num_heads = harness.heads(),
            .head_dim = harness.head_dim(),
            .num_layers = 1,
            .retrieval = retrieval};
  }
  static std::unique_ptr<const Attention> Make(
      const AttentionOptions& options) {
    auto attention = (**AttentionRegistry().Find(GetParam().name))(options);
    LH_CHECK(attention.ok());
    return *std::move(attention);
  }
};

TEST_P(RetrievalOracle, MatchesItsTwin) {
  for (float scale : {0.5f, 1.5f}) {
    testing::LayerHarness harness(3, 16, scale, 21);
    harness.AddChunks({12, 20, 5, 16, 3, 33});
    for (Visibility visibility :
         {Visibility::kCausal, Visibility::kBidirectional}) {
      for (const auto& variant : testing::RetrievalVariants(visibility)) {
        const AttentionOptions options = Options(harness, variant.options);
        const auto twin = (harness.*GetParam().twin)(options);
        EXPECT_LE(testing::MaxDifference(harness.Run(*Make(options)), twin),
                  2e-5)
            << variant.name << " scale " << scale;
      }
    }
  }
}

TEST_P(RetrievalOracle, CodecsStayNear) {
  testing::LayerHarness harness(3, 16, 0.7f, 22);
  harness.AddChunks({32, 40, 25, 36});
  RetrievalOptions retrieval;
  retrieval.gate = 0.4f;
  const AttentionOptions options = Options(harness, retrieval);
  const auto twin = (harness.*GetParam().twin)(options);
  const auto attention = Make(options);
  const double exact =
      testing::MaxDifference(harness.Run(*attention, "f32"), twin);
  EXPECT_LE(exact, 1e-5);
  const double bf16 =
      testing::MaxDifference(harness.Run(*attention, "bf16"), twin);
  EXPECT_GT(bf16, exact);
  EXPECT_LE(bf16, 1e-2);
  const double int8 =
      testing::MaxDifference(harness.Run(*attention, "int8"), twin);
  EXPECT_GT(int8, exact);
  EXPECT_LE(int8, 5e-2);
}

// An adapter as a file: [layers.0.*] of 3 heads of 16.
std::string AdapterFile(const TempDir& directory, float scale) {
  std::mt19937 random(25);
  std::normal_distribution<float> normal(0, 1);
  std::string header = "{", data;
  const auto add = [&](const std::string& name, std::vector<int> shape,
                       auto&& value) {
    int count = 1;
    for (int size : shape) count *= size;
    std::vector<float> values;
    for (int i = 0; i < count; ++i) values.push_back(value());
    const size_t begin = data.size();
    data += RawBytes(values);
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", name,
                    "\":{\"dtype\":\"F32\",\"shape\":[",
                    absl::StrJoin(shape, ","), "],\"data_offsets\":[", begin,
                    ",", data.size(), "]}");
  };
  const auto noise = [&] { return scale * normal(random); };
  for (const char* name : {"meta_query", "meta_key", "query"}) {
    add(absl::StrCat("layers.0.", name, ".down.weight"), {2, 48}, noise);
    add(absl::StrCat("layers.0.", name, ".up.weight"), {48, 2}, noise);
  }
  if (scale > 0) {
    float gate = 0.1f;
    add("layers.0.gate", {3}, [&] { return gate += 0.2f; });
    float temperature = 0.5f;
    add("layers.0.temperature", {3}, [&] { return temperature += 0.4f; });
  }
  header += "}";
  return directory.Write("adapter.safetensors", SafetensorsBytes(header, data));
}

TEST_P(RetrievalOracle, AdaptersMatchTheTwin) {
  const TempDir directory;
  testing::LayerHarness harness(3, 16, 0.7f, 26);
  harness.AddChunks({12, 20, 5, 16});
  const auto adapter = Adapter::Load(AdapterFile(directory, 0.2f),
                                     {.layers = 1, .heads = 3, .hidden = 48});
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  for (const auto& variant :
       testing::RetrievalVariants(Visibility::kBidirectional)) {
    AttentionOptions options = Options(harness, variant.options);
    options.adapter = adapter->get();
    const auto twin = (harness.*GetParam().twin)(options);
    EXPECT_LE(testing::MaxDifference(harness.Run(*Make(options)), twin), 5e-5)
        << variant.name;
  }
}

TEST_P(RetrievalOracle, AnAdapterOfZerosChangesNothing) {
  const TempDir directory;
  testing::LayerHarness harness(3, 16, 0.7f, 27);
  harness.AddChunks({12, 20, 5, 16});
  const auto adapter = Adapter::Load(AdapterFile(directory, 0),
                                     {.layers = 1, .heads = 3, .hidden = 48});
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  RetrievalOptions retrieval;
  retrieval.gate = 0.4f;
  AttentionOptions options = Options(harness, retrieval);
  const auto without = harness.Run(*Make(options));
  options.adapter = adapter->get();
  EXPECT_EQ(harness.Run(*Make(options)), without);
}

TEST(Adapter, BadFilesAreRefused) {
  const TempDir directory;
  const std::string good = AdapterFile(directory, 0.2f);
  const auto reason = [](const std::string& path, Adapter::Sizes sizes) {
    const auto detail = GetErrorDetail(Adapter::Load(path, sizes).status());
    return detail ? detail->reason : "";
  };
  EXPECT_EQ(reason(directory.path() + "/none", {1, 3, 48}), "ADAPTER_MISSING");
  EXPECT_EQ(reason(good, {1, 3, 64}), "ADAPTER_INVALID");
  EXPECT_EQ(reason(good, {1, 4, 48}), "ADAPTER_INVALID");
  EXPECT_EQ(reason(directory.Write("rubbish", "not safetensors"), {1, 3, 48}),
            "ADAPTER_INVALID");
  EXPECT_EQ(reason(directory.Write("gate",
                                   SafetensorsBytes(
                                       R"({"layers.0.gate":{"dtype":"F32",)"
                                       R"("shape":[3],"data_offsets":[0,12]}})",
                                       RawBytes<float>({0.5f, 1.5f, 0}))),
                   {1, 3, 48}),
            "ADAPTER_INVALID");
  EXPECT_EQ(reason(directory.Write("other",
                                   SafetensorsBytes(
                                       R"({"layers.9.gate":{"dtype":"F32",)"
                                       R"("shape":[3],"data_offsets":[0,12]}})",
                                       RawBytes<float>({0.5f, 0.5f, 0}))),
                   {1, 3, 48}),
            "ADAPTER_INVALID");
}

INSTANTIATE_TEST_SUITE_P(
    Mechanisms, RetrievalOracle,
    ::testing::Values(Mechanism{"bsbr", &testing::LayerHarness::Bsbr},
                      Mechanism{"bsbr_cumulant",
                                &testing::LayerHarness::Cumulant},
                      Mechanism{"bsbr_exact", &testing::LayerHarness::Exact}),
    [](const auto& parameter) { return parameter.param.name; });

// Exact retrieval from all chunks, merged by mass, is one softmax over the own
// chunk and all other chunks' own tokens.
TEST(ExactAttention, AllChunksByMassIsDenseAttention) {
  testing::LayerHarness harness(2, 16, 1.0f, 23);
  harness.AddChunks({12, 20, 5, 16});
  RetrievalOptions retrieval;
  retrieval.visibility = Visibility::kBidirectional;
  retrieval.gate = 1;
  retrieval.merge = Merge::kLse;
  const AttentionOptions options{
      .num_heads = 2, .head_dim = 16, .num_layers = 1, .retrieval = retrieval};
  auto attention = (**AttentionRegistry().Find("bsbr_exact"))(options);
  ASSERT_TRUE(attention.ok());
  EXPECT_LE(testing::MaxDifference(harness.Run(**attention), harness.Dense()),
            2e-5);
}

// Tokens that are all alike carry the same mass, so the retrieved part weighs
// as the gate says, however many chunks there are.
TEST(BalancedMerge, GateIsTheShareOfExchangeableTokens) {
  testing::LayerHarness harness(1, 16, 1.0f, 24);
  harness.AddChunks({12, 20, 8, 16, 30});
  harness.MakeKeysZero();
  RetrievalOptions retrieval;
  retrieval.visibility = Visibility::kBidirectional;
  retrieval.gate = 0.3f;
  AttentionOptions options{
      .num_heads = 1, .head_dim = 16, .num_layers = 1, .retrieval = retrieval};
  auto gated = (**AttentionRegistry().Find("bsbr"))(options);
  options.retrieval.merge = Merge::kBalancedLse;
  auto balanced = (**AttentionRegistry().Find("bsbr"))(options);
  ASSERT_TRUE(gated.ok() && balanced.ok());
  const auto a = harness.Run(**gated);
  const auto b = harness.Run(**balanced);
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[i].size(); ++j) {
      ASSERT_NEAR(a[i][j], b[i][j], 1e-5);
    }
  }
}

}  // namespace
}  // namespace longhand
