#include "client/token_file.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client_error.h"
#include "client/encoder_client.h"
#include "client/session_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

class TokenFileTest : public ::testing::Test {
 protected:
  TokenFileTest()
      : path_(absl::StrCat(::testing::TempDir(), "token.", getpid())) {}
  ~TokenFileTest() override { std::remove(path_.c_str()); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  const std::string path_;
};

TEST_F(TokenFileTest, OneTokenAndWhiteSpaceAtItsEnd) {
  for (const std::string& token :
       {std::string("abc"), std::string("aZ0-._~+/=="),
        std::string(4096, 'x')}) {
    for (const char* end : {"", "\n", "\r\n", "  \n\n"}) {
      Write(token + end);
      const auto file = TokenFile::Open(path_);
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ((*file)->Get(), token);
    }
  }
}

TEST_F(TokenFileTest, AnythingElseIsRefusedWithoutQuotingIt) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("="),
        std::string("s3cret word"), std::string("s3cret\nword\n"),
        std::string(" s3cret"), std::string("s3cr\xc3\xa9t"),
        std::string("s3cret\0x", 8), "s3cret" + std::string(4096, 'x'),
        std::string("s3cret\r\nx-other: 1")}) {
    Write(text);
    const absl::Status status = TokenFile::Open(path_).status();
    EXPECT_EQ(ReasonOf(status), "TOKEN_FILE_INVALID") << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cr")));
  }
  EXPECT_EQ(ReasonOf(TokenFile::Open("/no/such/file").status()),
            "TOKEN_FILE_UNREADABLE");
  EXPECT_EQ(ReasonOf(TokenFile::Open(::testing::TempDir()).status()),
            "TOKEN_FILE_UNREADABLE");
}

TEST_F(TokenFileTest, ANewTokenIsTakenUp) {
  Write("old");
  const auto file = TokenFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  Write("new");
  while ((*file)->Get() != "new") absl::SleepFor(absl::Milliseconds(20));
  // What cannot be read changes nothing.
  Write("not a token");
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_EQ((*file)->Get(), "new");
}

TEST(LocalTargetTest, OnlyWhatCannotLeaveTheMachine) {
  for (const char* target :
       {"127.0.0.1:50051", "127.0.0.1", "127.8.9.10:1", "localhost:50051",
        "LOCALHOST", "[::1]:50051", "[::1]", "::1", "unix:/run/x.sock",
        "unix:///run/x.sock", "unix-abstract:x", "dns:localhost:1",
        "dns:///localhost:1", "dns:///[::1]:1", "ipv4:127.0.0.1:1",
        "ipv6:[::1]:1"}) {
    EXPECT_TRUE(IsLocalTarget(target)) << target;
  }
  for (const char* target : {"",
                             ":50051",
                             "10.0.0.1:50051",
                             "0.0.0.0:1",
                             "[::]:1",
                             "[::2]:1",
                             "127.0.0.1.example:1",
                             "127.example:1",
                             "localhost.example:1",
                             "notlocalhost:1",
                             "[::1]x:1",
                             "[::1",
                             "example:50051",
                             "dns://10.0.0.1/localhost:1",
                             "dns:///example:1",
                             "ipv4:127.0.0.1:1,10.0.0.1:1",
                             "ipv6:[::1]:1,[::2]:1",
                             "xds:///x",
                             "2130706433:1",
                             "127.1:1",
                             "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(IsLocalTarget(target)) << target;
  }
}

// Notes the metadata of every call.
class TokenCallTest : public TokenFileTest {
 protected:
  TokenCallTest() {
    server_.on_encode = [this](grpc::ServerContext* context,
                               const v1::EncodeRequest&, v1::EncodeResponse*,
                               int attempt) {
      Note(*context);
      if (attempt == 1) return grpc::Status(grpc::UNAVAILABLE, "once more");
      return grpc::Status(grpc::INTERNAL, "enough");
    };
    server_.on_stream = [this](grpc::ServerContext* context,
                               FakeServer::Stream* stream, int) {
      Note(*context);
      return server_.EncodeByRule(stream);
    };
    server_.Start();
    options_.target = server_.target();
    options_.retry.initial_backoff = absl::Milliseconds(1);
    options_.token_file = path_;
  }

  void Note(const grpc::ServerContext& context) {
    const auto [begin, end] =
        context.client_metadata().equal_range("authorization");
    for (auto it = begin; it != end; ++it) {
      seen_.emplace_back(it->second.data(), it->second.size());
    }
    if (begin == end) seen_.push_back("none");
  }

  void EncodeAndStream(EncoderClient& client) {
    EXPECT_TRUE(absl::IsInternal(client.Encode({{}, "text"}).status()));
    StreamRequest request;
    const std::vector<uint32_t> ids = {1, 2, 3};
    request.token_ids = ids;
    EXPECT_TRUE(client.EncodeStream(request).ok());
  }

  FakeServer server_;
  ClientOptions options_;
  std::vector<std::string> seen_;
};

TEST_F(TokenCallTest, EveryAttemptOfEveryCallCarriesIt) {
  Write("secret\n");
  const auto client = EncoderClient::Connect(options_);
  ASSERT_TRUE(client.ok()) << client.status();
  EncodeAndStream(**client);
  EXPECT_THAT(seen_,
              ElementsAre("Bearer secret", "Bearer secret", "Bearer secret"));
}

TEST_F(TokenCallTest, WithoutAFileNothingIsSent) {
  options_.token_file.clear();
  const auto client = EncoderClient::Connect(options_);
  ASSERT_TRUE(client.ok()) << client.status();
  EncodeAndStream(**client);
  EXPECT_THAT(seen_, Each("none"));
}

TEST_F(TokenCallTest, PlaintextStaysOnThisMachine) {
  Write("secret");
  options_.target = "encoder.example:50051";
  EXPECT_EQ(ReasonOf(EncoderClient::Connect(options_).status()),
            "TOKEN_OVER_PLAINTEXT");
  EXPECT_EQ(ReasonOf(SessionClient::Connect(options_).status()),
            "TOKEN_OVER_PLAINTEXT");
  options_.insecure_token_over_plaintext = true;
  EXPECT_TRUE(EncoderClient::Connect(options_).ok());
  options_.insecure_token_over_plaintext = false;
  options_.tls = TlsOptions();
  EXPECT_TRUE(EncoderClient::Connect(options_).ok());
  // A proxy sees what goes to it.
  options_.tls.reset();
  options_.target = server_.target();
  EXPECT_TRUE(EncoderClient::Connect(options_).ok());
  options_.use_http_proxy = true;
  EXPECT_EQ(ReasonOf(EncoderClient::Connect(options_).status()),
            "TOKEN_OVER_PLAINTEXT");
}

}  // namespace
}  // namespace longhand::client
