#include "server/grpc_status.h"

#include <map>
#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

google::rpc::ErrorInfo ErrorInfoOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  const google::rpc::Status details = DetailsOf(ToGrpcStatus(status));
  EXPECT_GE(details.details_size(), 1);
  EXPECT_TRUE(details.details(0).UnpackTo(&info));
  return info;
}

TEST(GrpcStatusTest, OkIsOk) {
  const grpc::Status status = ToGrpcStatus(absl::OkStatus());
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(status.error_details().empty());
}

TEST(GrpcStatusTest, EveryCodeKeepsItsNumberAndGetsAReason) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "message");
    const grpc::Status converted = ToGrpcStatus(status);
    EXPECT_EQ(static_cast<int>(converted.error_code()), code);
    EXPECT_EQ(DetailsOf(converted).code(), code);
    EXPECT_EQ(ErrorInfoOf(status).domain(), "longhand");
    EXPECT_EQ(ErrorInfoOf(status).reason(),
              absl::StatusCodeToString(status.code()));
  }
}

TEST(GrpcStatusTest, ReasonAndMetadataOfTheDetailAreSent) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "INVALID_UTF8", "not UTF-8",
                {{"byte_offset", "17"}});
  const google::rpc::ErrorInfo info = ErrorInfoOf(status);
  EXPECT_EQ(info.reason(), "INVALID_UTF8");
  EXPECT_EQ(info.metadata().at("byte_offset"), "17");
  EXPECT_EQ(ToGrpcStatus(status).error_message(), "not UTF-8");
  EXPECT_EQ(DetailsOf(ToGrpcStatus(status)).details_size(), 1);
}

TEST(GrpcStatusTest, UnavailableSaysWhenToRetry) {
  const absl::Status status =
      MakeError(absl::StatusCode::kUnavailable, "OVERLOADED", "busy");
  const google::rpc::Status details = DetailsOf(ToGrpcStatus(status));
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_GT(retry.retry_delay().seconds(), 0);
}

TEST(GrpcStatusTest, LongMessagesAreCut) {
  const absl::Status status(absl::StatusCode::kInternal,
                            std::string(5000, 'x'));
  const std::string message = ToGrpcStatus(status).error_message();
  EXPECT_EQ(message.size(), 1024U);
  EXPECT_THAT(message, testing::EndsWith("x..."));
}

TEST(GrpcStatusTest, WhatIsNotPrintableIsEscaped) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInternal, "X", "a\n\x1b[31m\xff",
                {{"key", std::string(1000, '\xc3')}});
  EXPECT_EQ(ToGrpcStatus(status).error_message(), "a\\x0a\\x1b[31m\\xff");
  const google::rpc::ErrorInfo info = ErrorInfoOf(status);
  EXPECT_LE(info.metadata().at("key").size(), 256U);
}

TEST(GrpcStatusTest, RpcStatusIsTheSameAsTheDetails) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "no model");
  EXPECT_EQ(ToRpcStatus(status).SerializeAsString(),
            ToGrpcStatus(status).error_details());
}

}  // namespace
}  // namespace longhand
