#include "core/weights/weight_scope.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float kInf = std::numeric_limits<float>::infinity();

// A file on disk for as long as the test needs it.
class OpenedFile {
 public:
  explicit OpenedFile(const SafetensorsBuilder& builder) {
    auto file =
        SafetensorsFile::Open(dir_.Write("w.safetensors", builder.Build()));
    EXPECT_TRUE(file.ok()) << file.status();
    if (file.ok()) file_ = *std::move(file);
  }
  const SafetensorsFile* get() const { return file_.get(); }

 private:
  TempDir dir_;
  std::unique_ptr<const SafetensorsFile> file_;
};

SafetensorsBuilder TwoLayers() {
  SafetensorsBuilder builder;
  builder.AddF32("encoder.layer.0.weight", {2, 3}, {1, 2, 3, 4, 5, 6})
      .AddF32("encoder.layer.0.bias", {2}, {7, 8})
      .AddF32("encoder.layer.1.weight", {2, 3}, {9, 9, 9, 9, 9, 9})
      .AddF32("encoder.layer.10.bias", {1}, {0})
      .AddF32("pooler.dense.weight", {1}, {0});
  return builder;
}

void ExpectInvalid(const absl::Status& status, const std::string& tensor,
                   const std::string& fragment) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  EXPECT_EQ(detail.reason, "WEIGHTS_INVALID");
  ASSERT_EQ(detail.metadata.count("tensor"), 1u);
  EXPECT_EQ(detail.metadata.at("tensor"), tensor);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"" + tensor + "\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("w.safetensors"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(fragment));
}

TEST(WeightScope, ScopesAreNamePrefixes) {
  const OpenedFile file(TwoLayers());
  const WeightScope root(file.get());
  const WeightScope layer = root.Scope("encoder").Scope("layer.0");
  EXPECT_EQ(layer.FullName("bias"), "encoder.layer.0.bias");
  EXPECT_EQ(root.Scope("").FullName("x"), "x");
  EXPECT_TRUE(layer.Has("weight"));
  EXPECT_FALSE(layer.Has("gamma"));
  EXPECT_FALSE(root.Has("weight"));
  ASSERT_NE(layer.FindShape("weight"), nullptr);
  EXPECT_THAT(*layer.FindShape("weight"), ElementsAre(2, 3));
  EXPECT_EQ(layer.FindShape("gamma"), nullptr);

  absl::StatusOr<TensorView> bias = layer.Required("bias", {2});
  ASSERT_TRUE(bias.ok()) << bias.status();
  EXPECT_EQ(bias->data, file.get()->Find("encoder.layer.0.bias")->data);
  absl::StatusOr<FloatBuffer> weight = layer.LoadF32("weight", {2, 3});
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_THAT(weight->span(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(WeightScope, MissingTensor) {
  const OpenedFile file(TwoLayers());
  const WeightScope layer = WeightScope(file.get()).Scope("encoder.layer.2");
  ExpectInvalid(layer.Required("weight", {2, 3}).status(),
                "encoder.layer.2.weight", "of shape [2, 3] is missing");
  ExpectInvalid(layer.LoadF32("bias", {2}).status(), "encoder.layer.2.bias",
                "missing");
}

TEST(WeightScope, WrongShape) {
  const OpenedFile file(TwoLayers());
  const WeightScope layer = WeightScope(file.get()).Scope("encoder.layer.0");
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {3, 2}, {6}, {2}, {2, 3, 1}, {}, {2, 4}}) {
    ExpectInvalid(
        layer.LoadF32("weight", shape).status(), "encoder.layer.0.weight",
        "must have shape " + ShapeToString(shape) + " but has [2, 3]");
  }
  // Nothing was read.
  EXPECT_EQ(layer.UnreadTensors().size(), 5u);
  EXPECT_EQ(layer.StoredPrecision(), "");
}

TEST(WeightScope, ConvertsEveryFloatType) {
  SafetensorsBuilder builder;
  // One byte in front, so that nothing is aligned.
  builder.Add("pad", "U8", {1}, "x")
      .Add("f16", "F16", {3}, RawBytes<uint16_t>({0x3c00, 0xc000, 0x0001}))
      .Add("bf16", "BF16", {2}, RawBytes<uint16_t>({0x3f80, 0xc000}))
      .Add("f64", "F64", {2}, RawBytes<double>({0.1, -3}))
      .AddF32("f32", {2, 1}, {0.25f, -0.0f});
  const OpenedFile file(builder);
  const WeightScope root(file.get());
  const auto load = [&](const char* name, const Shape& shape) {
    absl::StatusOr<FloatBuffer> floats = root.LoadF32(name, shape);
    EXPECT_TRUE(floats.ok()) << floats.status();
    return floats.ok() ? std::vector<float>(floats->span().begin(),
                                            floats->span().end())
                       : std::vector<float>();
  };
  EXPECT_THAT(load("f16", {3}), ElementsAre(1, -2, std::ldexp(1.0f, -24)));
  EXPECT_EQ(root.StoredPrecision(), "F16");
  EXPECT_THAT(load("bf16", {2}), ElementsAre(1, -2));
  EXPECT_THAT(load("f64", {2}), ElementsAre(0.1f, -3));
  const std::vector<float> f32 = load("f32", {2, 1});
  EXPECT_THAT(f32, ElementsAre(0.25f, 0));
  EXPECT_TRUE(std::signbit(f32[1]));
  EXPECT_EQ(root.StoredPrecision(), "BF16+F16+F32+F64");
}

TEST(WeightScope, EmptyAndScalarTensors) {
  SafetensorsBuilder builder;
  builder.AddF32("empty", {0, 4}, {}).AddF32("scalar", {}, {3});
  const OpenedFile file(builder);
  const WeightScope root(file.get());
  absl::StatusOr<FloatBuffer> empty = root.LoadF32("empty", {0, 4});
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE(empty->empty());
  absl::StatusOr<FloatBuffer> scalar = root.LoadF32("scalar", {});
  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_THAT(scalar->span(), ElementsAre(3));
}

TEST(WeightScope, RefusesOtherElementTypes) {
  SafetensorsBuilder builder;
  builder.Add("ids", "I64", {1}, RawBytes<int64_t>({5}))
      .Add("f8", "F8_E4M3", {1}, "x");
  const OpenedFile file(builder);
  const WeightScope root(file.get());
  ExpectInvalid(root.LoadF32("ids", {1}).status(), "ids", "element type I64");
  ExpectInvalid(root.LoadF32("f8", {1}).status(), "f8", "F8_E4M3");
  // A view of it is fine, and integers say nothing about the precision.
  EXPECT_TRUE(root.Required("ids", {1}).ok());
  EXPECT_EQ(root.StoredPrecision(), "");
}

TEST(WeightScope, RefusesValuesThatAreNotFinite) {
  SafetensorsBuilder builder;
  builder.AddF32("nan", {4}, {1, 2, std::nanf(""), kInf})
      .AddF32("inf", {2, 2}, {1, 2, 3, -kInf})
      .Add("f16", "F16", {2}, RawBytes<uint16_t>({0x7bff, 0x7c00}))
      .Add("bf16", "BF16", {1}, RawBytes<uint16_t>({0xffc0}))
      .Add("large", "F64", {2}, RawBytes<double>({0, 1e300}))
      .AddF32("fine", {2},
              {std::numeric_limits<float>::max(),
               std::numeric_limits<float>::denorm_min()});
  const OpenedFile file(builder);
  const WeightScope root(file.get());
  ExpectInvalid(root.LoadF32("nan", {4}).status(), "nan",
                "holds nan at index 2");
  ExpectInvalid(root.LoadF32("inf", {2, 2}).status(), "inf",
                "holds -inf at index 3");
  ExpectInvalid(root.LoadF32("f16", {2}).status(), "f16", "at index 1");
  ExpectInvalid(root.LoadF32("bf16", {1}).status(), "bf16", "at index 0");
  ExpectInvalid(root.LoadF32("large", {2}).status(), "large",
                "do not fit into 32-bit floats");
  EXPECT_TRUE(root.LoadF32("fine", {2}).ok());
}

TEST(WeightScope, RemembersWhatWasRead) {
  const OpenedFile file(TwoLayers());
  const WeightScope root(file.get());
  const WeightScope layer = root.Scope("encoder.layer.0");
  EXPECT_EQ(root.UnreadTensors().size(), 5u);
  ASSERT_TRUE(layer.LoadF32("weight", {2, 3}).ok());
  ASSERT_TRUE(layer.Required("bias", {2}).ok());
  EXPECT_TRUE(root.Has("encoder.layer.1.weight"));
  EXPECT_THAT(root.UnreadTensors(),
              ElementsAre("encoder.layer.1.weight", "encoder.layer.10.bias",
                          "pooler.dense.weight"));
  const absl::Status status = root.CheckAllRead();
  EXPECT_EQ(GetErrorDetail(status).value_or(ErrorDetail{}).reason,
            "WEIGHTS_INVALID");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("3 tensors have no place in this model: "
                        "encoder.layer.1.weight, encoder.layer.10.bias, "
                        "pooler.dense.weight;"));
  // Another root over the same file starts afresh.
  EXPECT_EQ(WeightScope(file.get()).UnreadTensors().size(), 5u);
}

TEST(WeightScope, IgnoredTensorsNeedNotBeRead) {
  const OpenedFile file(TwoLayers());
  const WeightScope root(file.get());
  root.Ignore("pooler.");
  root.Scope("encoder.layer.1").Ignore("");
  EXPECT_THAT(root.IgnoredTensors(),
              ElementsAre("encoder.layer.1.weight", "pooler.dense.weight"));
  EXPECT_THAT(root.UnreadTensors(),
              ElementsAre("encoder.layer.0.weight", "encoder.layer.0.bias",
                          "encoder.layer.10.bias"));
  // Read all the same.
  ASSERT_TRUE(root.Required("pooler.dense.weight", {1}).ok());
  EXPECT_THAT(root.IgnoredTensors(), ElementsAre("encoder.layer.1.weight"));
  root.Ignore("encoder.");
  EXPECT_THAT(root.UnreadTensors(), IsEmpty());
  EXPECT_TRUE(root.CheckAllRead().ok());
}

TEST(WeightScope, LongListsAreCut) {
  SafetensorsBuilder builder;
  for (char c = 'a'; c < 'a' + 12; ++c) builder.AddF32({c}, {1}, {1});
  const OpenedFile file(builder);
  EXPECT_THAT(
      std::string(WeightScope(file.get()).CheckAllRead().message()),
      HasSubstr("12 tensors have no place in this model: a, b, c, d, e, f, g, "
                "h, i, j, ...;"));
}

}  // namespace
}  // namespace longhand
