// The parts of the client library that need no server.
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/cord.h"
#include "client/client_error.h"
#include "client/encode_result.h"
#include "client/retry.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;

TEST(RetryDelayTest, ServerAdviceComesBeforeBackoff) {
  RetryOptions options;
  options.initial_backoff = absl::Milliseconds(100);
  options.max_backoff = absl::Milliseconds(300);
  const absl::Status busy = absl::UnavailableError("busy");
  EXPECT_EQ(RetryDelay(options, 1, busy, {}, 0), absl::Milliseconds(100));
  EXPECT_EQ(RetryDelay(options, 2, busy, {}, 0.5), absl::Milliseconds(150));
  EXPECT_EQ(RetryDelay(options, 3, busy, {}, 0), absl::Milliseconds(300));
  EXPECT_EQ(RetryDelay(options, 4, busy, {}, 0), std::nullopt);
  EXPECT_EQ(RetryDelay(options, 1, busy, "250", 0), absl::Milliseconds(250));
  EXPECT_EQ(RetryDelay(options, 1, busy, "-1", 0), std::nullopt);
  EXPECT_EQ(RetryDelay(options, 1, busy, "soon", 0), std::nullopt);
  EXPECT_EQ(RetryDelay(options, 1, absl::InternalError("no"), "1", 0),
            std::nullopt);

  absl::Status advised = busy;
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(2);
  advised.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                     absl::Cord(info.SerializeAsString()));
  EXPECT_EQ(RetryDelay(options, 1, advised, {}, 0), absl::Seconds(2));
  EXPECT_EQ(RetryDelay(options, 1, advised, "5", 0), absl::Milliseconds(5));
}

TEST(DecodeFloatsTest, LittleEndianAndFinite) {
  const auto values =
      DecodeFloats(absl::string_view("\0\0\x80\x3f\0\0\0\xc0", 8));
  ASSERT_TRUE(values.ok());
  EXPECT_THAT(*values, ElementsAre(1.0F, -2.0F));
  EXPECT_TRUE(absl::IsDataLoss(DecodeFloats("abc").status()));
  EXPECT_TRUE(
      absl::IsDataLoss(DecodeFloats(ToBytes({std::nanf("")})).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      DecodeFloats(ToBytes({std::numeric_limits<float>::infinity()}))
          .status()));
}

}  // namespace
}  // namespace longhand::client
