#include "core/base/error.h"

#include "core/base/strings.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

TEST(Error, CarriesReasonAndMetadata) {
  const absl::Status status =
      MakeError(absl::StatusCode::kOutOfRange, "TOO_LONG", "too long",
                {{"limit", "5"}, {"found", "6 \"x\"\n"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ToStd(status.message()), "too long");
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "TOO_LONG");
  EXPECT_EQ(detail->metadata.at("limit"), "5");
  EXPECT_EQ(detail->metadata.at("found"), "6 \"x\"\n");
}

TEST(Error, PlainStatusHasNoDetail) {
  EXPECT_FALSE(GetErrorDetail(absl::InternalError("x")).has_value());
  EXPECT_FALSE(GetErrorDetail(absl::OkStatus()).has_value());
}

TEST(Error, WithContextKeepsCodeAndMetadata) {
  const absl::Status inner = MakeError(absl::StatusCode::kNotFound,
                                       "FILE_MISSING", "gone", {{"path", "p"}});
  const absl::Status outer = WithContext(inner, "WEIGHTS_MISSING", "weights");
  EXPECT_EQ(outer.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ToStd(outer.message()), "weights: gone");
  const std::optional<ErrorDetail> detail = GetErrorDetail(outer);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "WEIGHTS_MISSING");
  EXPECT_EQ(detail->metadata.at("path"), "p");
}

TEST(Error, WithContextOnAPlainStatus) {
  const absl::Status outer =
      WithContext(absl::InternalError("broken"), "MODEL_INVALID", "model");
  EXPECT_EQ(ToStd(outer.message()), "model: broken");
  ASSERT_TRUE(GetErrorDetail(outer).has_value());
  EXPECT_TRUE(GetErrorDetail(outer)->metadata.empty());
}

}  // namespace
}  // namespace longhand
