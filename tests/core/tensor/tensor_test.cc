#include "core/tensor/tensor.h"

#include <cstdint>
#include <limits>
#include <new>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(NumElements, ProductOfTheDimensions) {
  EXPECT_EQ(NumElements({}), 1);
  EXPECT_EQ(NumElements({7}), 7);
  EXPECT_EQ(NumElements({2, 3, 5}), 30);
  EXPECT_EQ(NumElements({2, 0, 5}), 0);
}

TEST(NumElementsDeathTest, BadShapes) {
  EXPECT_DEATH(NumElements({2, -1}), "check failed");
  EXPECT_DEATH(NumElements({int64_t{1} << 32, int64_t{1} << 32}),
               "check failed");
}

TEST(ShapeToString, Text) {
  EXPECT_EQ(ShapeToString({}), "[]");
  EXPECT_EQ(ShapeToString({384, 1536}), "[384, 1536]");
}

TEST(TensorView, SizesAndBytes) {
  const std::vector<uint16_t> data = {1, 2, 3, 4, 5, 6};
  const TensorView view{data.data(), DType::kF16, {2, 3}};
  EXPECT_EQ(view.rank(), 2);
  EXPECT_EQ(view.num_elements(), 6);
  EXPECT_EQ(view.byte_size(), 12);
  EXPECT_EQ(view.bytes().size(), 12u);
  EXPECT_EQ(static_cast<const void*>(view.bytes().data()), data.data());
  const TensorView scalar{data.data(), DType::kU16, {}};
  EXPECT_EQ(scalar.byte_size(), 2);
}

template <typename T>
bool IsAligned(const AlignedBuffer<T>& buffer) {
  return reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment == 0;
}

TEST(AlignedBuffer, EverySizeIsAligned) {
  for (size_t size : {1, 2, 3, 17, 64, 1000}) {
    FloatBuffer buffer = FloatBuffer::Uninitialized(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(buffer.byte_size(), size * sizeof(float));
    EXPECT_TRUE(IsAligned(buffer)) << size;
    EXPECT_TRUE(IsAligned(AlignedBuffer<uint8_t>::Zeroed(size))) << size;
  }
}

TEST(AlignedBuffer, Zeroed) {
  const AlignedBuffer<int64_t> buffer = AlignedBuffer<int64_t>::Zeroed(1000);
  EXPECT_THAT(buffer.span(), Each(0));
}

TEST(AlignedBuffer, CopyOf) {
  const std::vector<float> values = {1, 2, 3};
  FloatBuffer buffer = FloatBuffer::CopyOf(values);
  EXPECT_THAT(buffer.span(), ElementsAre(1, 2, 3));
  buffer[1] = 9;
  EXPECT_EQ(values[1], 2);
  EXPECT_EQ(std::as_const(buffer)[1], 9);
}

TEST(AlignedBuffer, Empty) {
  for (const FloatBuffer& buffer :
       {FloatBuffer(), FloatBuffer::Zeroed(0), FloatBuffer::CopyOf({})}) {
    EXPECT_TRUE(buffer.empty());
    EXPECT_EQ(buffer.data(), nullptr);
    EXPECT_TRUE(buffer.span().empty());
  }
}

TEST(AlignedBuffer, MovesLeaveNothingBehind) {
  FloatBuffer first = FloatBuffer::CopyOf({1, 2});
  const float* data = first.data();
  FloatBuffer second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.data(), nullptr);
  FloatBuffer third = FloatBuffer::Zeroed(5);
  third = std::move(second);
  EXPECT_THAT(third.span(), ElementsAre(1, 2));
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  FloatBuffer& alias = third;
  third = std::move(alias);
  EXPECT_THAT(third.span(), ElementsAre(1, 2));
}

TEST(AlignedBuffer, SizeThatOverflows) {
  EXPECT_THROW(
      FloatBuffer::Uninitialized(std::numeric_limits<size_t>::max() / 2),
      std::bad_alloc);
}

}  // namespace
}  // namespace longhand
