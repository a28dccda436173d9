// The flags of tenants and of the log line of calls.
#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/server_config.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "longhand-server");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(TenantFlagsTest, WithoutThemNobodyIsLimited) {
  const auto command = Parse({});
  ASSERT_TRUE(command.ok()) << command.status();
  const AccessConfig& access = command->config.access;
  EXPECT_EQ(access.tokens_file, "");
  EXPECT_EQ(access.defaults.weight, 1);
  EXPECT_EQ(access.defaults.tokens_per_second, 0);
  EXPECT_EQ(access.defaults.burst_tokens, 0);
  EXPECT_EQ(access.defaults.max_documents, 0);
  EXPECT_EQ(access.defaults.max_sessions, 0);
  EXPECT_EQ(command->config.slow_request, absl::Seconds(10));
}

TEST(TenantFlagsTest, TheyAreRead) {
  const auto command =
      Parse({"--auth-tokens", "t.json", "--tenant-tokens-per-second", "2.5e4",
             "--tenant-burst-tokens", "100000", "--tenant-max-documents", "3",
             "--slow-request-seconds", "0.5"});
  ASSERT_TRUE(command.ok()) << command.status();
  const AccessConfig& access = command->config.access;
  EXPECT_EQ(access.tokens_file, "t.json");
  EXPECT_EQ(access.defaults.tokens_per_second, 25000);
  EXPECT_EQ(access.defaults.burst_tokens, 100000);
  EXPECT_EQ(access.defaults.max_documents, 3);
  EXPECT_EQ(command->config.slow_request, absl::Milliseconds(500));
}

TEST(TenantFlagsTest, BadValuesAreRefused) {
  const std::vector<std::vector<const char*>> cases = {
      {"--tenant-tokens-per-second", "-1"},
      {"--tenant-tokens-per-second", "nan"},
      {"--tenant-burst-tokens", "inf"},
      {"--tenant-max-documents", "-1"},
      {"--tenant-max-documents", "1.5"},
      {"--slow-request-seconds", "-1"},
  };
  for (const std::vector<const char*>& flags : cases) {
    const auto command = Parse(flags);
    EXPECT_TRUE(absl::IsInvalidArgument(command.status())) << flags[0];
    EXPECT_THAT(std::string(command.status().message()), HasSubstr(flags[0]));
  }
}

// A token is no better kept than a document on such a wire.
TEST(TenantFlagsTest, TokensDoNotMakePlaintextSafe) {
  const auto refused =
      Parse({"--listen", "0.0.0.0:1", "--auth-tokens", "t.json"});
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("refusing to listen on 0.0.0.0:1 without TLS"));
  EXPECT_TRUE(Parse({"--listen", "0.0.0.0:1", "--auth-tokens", "t.json",
                     "--insecure-allow-remote-plaintext"})
                  .ok());
}

}  // namespace
}  // namespace longhand
