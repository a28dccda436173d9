#include "server/access.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/grpc_status.h"
#include "tests/testing/access_file.h"
#include "tests/testing/session_server.h"
#include "tests/testing/test_certificates.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;

// Metadata that gRPC would hand over.
class Metadata {
 public:
  explicit Metadata(std::vector<std::string> authorizations)
      : values_(std::move(authorizations)) {
    for (const std::string& value : values_) {
      map_.emplace("authorization",
                   grpc::string_ref(value.data(), value.size()));
    }
    map_.emplace("user-agent", "test");
  }

  std::string Token() const {
    const absl::StatusOr<std::string_view> token = BearerToken(map_);
    return token.ok() ? std::string(*token) : StatusReason(token.status());
  }

 private:
  const std::vector<std::string> values_;
  std::multimap<grpc::string_ref, grpc::string_ref> map_;
};

TEST(BearerTokenTest, OneHeaderWithOneToken) {
  struct Case {
    std::vector<std::string> headers;
    std::string token;  // or the reason
  };
  const std::vector<Case> cases = {
      {{}, ""},
      {{"Bearer abc"}, "abc"},
      {{"bearer abc"}, "abc"},
      {{"BEARER   abc"}, "abc"},
      {{"Bearer aZ09-._~+/=="}, "aZ09-._~+/=="},
      {{"Bearer " + std::string(4096, 'x')}, std::string(4096, 'x')},
      {{"Bearer " + std::string(4097, 'x')}, "AUTH_INVALID"},
      {{""}, "AUTH_INVALID"},
      {{"abc"}, "AUTH_INVALID"},
      {{"Bearer"}, "AUTH_INVALID"},
      {{"Bearer "}, "AUTH_INVALID"},
      {{"Bearer ="}, "AUTH_INVALID"},
      {{"Bearerabc"}, "AUTH_INVALID"},
      {{"Basic abc"}, "AUTH_INVALID"},
      {{" Bearer abc"}, "AUTH_INVALID"},
      {{"Bearer abc "}, "AUTH_INVALID"},
      {{"Bearer a=b"}, "AUTH_INVALID"},
      {{"Bearer abc def"}, "AUTH_INVALID"},
      {{"Bearer abc, Bearer def"}, "AUTH_INVALID"},
      {{"Bearer abc\n"}, "AUTH_INVALID"},
      {{std::string("Bearer a\0b", 10)}, "AUTH_INVALID"},
      {{"Bearer abc", "Bearer abc"}, "AUTH_INVALID"},
      {{"Bearer abc", "Basic def"}, "AUTH_INVALID"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Metadata(c.headers).Token(), c.token)
        << (c.headers.empty() ? "" : c.headers.front().substr(0, 40));
  }
}

ServerConfig ConfigWith(const AccessFile& file) {
  ServerConfig config = LoopbackConfig();
  config.access.tokens_file = file.path();
  config.access.poll_interval = absl::Milliseconds(10);
  return config;
}

// What the server answers to a call with these values of authorization.
grpc::Status CallWith(TestServer& test,
                      const std::vector<std::string>& authorizations) {
  grpc::ClientContext context;
  for (const std::string& value : authorizations) {
    context.AddMetadata("authorization", value);
  }
  v1::GetModelResponse response;
  return test.models->GetModel(&context, {}, &response);
}

TEST(AccessTest, OnlyOneRightTokenIsLetIn) {
  const AccessFile file(TenantsJson(TokenEntry("a", "one")));
  TestServer test(ConfigWith(file));
  const Metrics& metrics = test.server->metrics();
  EXPECT_TRUE(CallWith(test, {"Bearer one"}).ok());
  EXPECT_EQ(ReasonOf(CallWith(test, {})), "AUTH_REQUIRED");
  EXPECT_EQ(metrics.auth_missing.Value(), 1);
  EXPECT_EQ(metrics.auth_invalid.Value(), 0);
  std::string text;
  const std::vector<std::vector<std::string>> refused = {
      {"Bearer two"},
      {"Basic one"},
      {"Bearer one", "Bearer one"},
      {"Bearer one", "Bearer two"},
      {"Bearer " + HashOfToken("one")}};
  for (const std::vector<std::string>& headers : refused) {
    const grpc::Status status = CallWith(test, headers);
    EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED);
    EXPECT_EQ(ReasonOf(status), "AUTH_INVALID");
    if (text.empty()) text = status.error_message();
    EXPECT_EQ(status.error_message(), text);
  }
  EXPECT_EQ(metrics.auth_invalid.Value(), refused.size());
  EXPECT_EQ(metrics.get_model.handled[grpc::UNAUTHENTICATED]->Value(),
            refused.size() + 1);
  EXPECT_EQ(HealthOf(test.channel, ""), "SERVING");
}

TEST(AccessTest, WithoutAFileATokenMeansNothing) {
  TestServer test;
  EXPECT_TRUE(CallWith(test, {}).ok());
  EXPECT_TRUE(CallWith(test, {"Bearer one", "Basic two"}).ok());
}

// Until the server answers as `ok` says; it reads the file by and by.
bool WaitUntil(TestServer& test, const std::string& token, bool ok) {
  for (int i = 0; i < 6000; ++i) {
    if (CallWith(test, {"Bearer " + token}).ok() == ok) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

TEST(AccessTest, TheFileIsReadAgainWhenItChanges) {
  const AccessFile file(TenantsJson(TokenEntry("a", "one")));
  TestServer test(ConfigWith(file));
  EXPECT_FALSE(CallWith(test, {"Bearer two"}).ok());
  // Rotation: both, then the new one alone.
  file.Replace(TenantsJson(absl::StrCat(R"({"name":"a","token_sha256":[")",
                                        HashOfToken("one"), R"(",")",
                                        HashOfToken("two"), R"("]})")));
  EXPECT_TRUE(WaitUntil(test, "two", true));
  EXPECT_TRUE(CallWith(test, {"Bearer one"}).ok());
  file.Replace(TenantsJson(TokenEntry("a", "two")));
  EXPECT_TRUE(WaitUntil(test, "one", false));
  EXPECT_TRUE(CallWith(test, {"Bearer two"}).ok());
}

TEST(AccessTest, ABadNewFileChangesNothing) {
  const AccessFile file(TenantsJson(TokenEntry("a", "one")));
  TestServer test(ConfigWith(file));
  file.Replace("{\"tenants\":[");
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_TRUE(CallWith(test, {"Bearer one"}).ok());
  std::remove(file.path().c_str());
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_TRUE(CallWith(test, {"Bearer one"}).ok());
  EXPECT_FALSE(CallWith(test, {}).ok());
  file.Replace(TenantsJson(TokenEntry("a", "two")));
  EXPECT_TRUE(WaitUntil(test, "two", true));
  EXPECT_FALSE(CallWith(test, {"Bearer one"}).ok());
}

// As Kubernetes updates a Secret: FILE is a link through a link to a folder,
// which is swapped.
TEST(AccessTest, ALinkThatIsSwappedIsAChange) {
  namespace fs = std::filesystem;
  const fs::path folder =
      ::testing::TempDir() + "secret." + std::to_string(getpid());
  fs::remove_all(folder);
  const auto add = [&](const std::string& version, const std::string& token) {
    fs::create_directories(folder / version);
    std::ofstream(folder / version / "tenants.json")
        << TenantsJson(TokenEntry("a", token));
    // The same time, whatever the clock did.
    fs::last_write_time(folder / version / "tenants.json",
                        fs::file_time_type() + std::chrono::hours(1));
  };
  add("1", "one");
  add("2", "two");
  fs::create_directory_symlink("1", folder / "..data");
  fs::create_symlink("..data/tenants.json", folder / "tenants.json");
  ServerConfig config = LoopbackConfig();
  config.access.tokens_file = folder / "tenants.json";
  config.access.poll_interval = absl::Milliseconds(10);
  TestServer test(config);
  EXPECT_TRUE(CallWith(test, {"Bearer one"}).ok());
  fs::create_directory_symlink("2", folder / "..new");
  fs::rename(folder / "..new", folder / "..data");
  EXPECT_TRUE(WaitUntil(test, "two", true));
  EXPECT_FALSE(CallWith(test, {"Bearer one"}).ok());
  fs::remove_all(folder);
}

TEST(AccessTest, AServerDoesNotStartWithABadFile) {
  for (const char* text : {"", "{}", "{\"tenants\":[]}"}) {
    const AccessFile file(text);
    const auto access = AccessControl::Create({.tokens_file = file.path()});
    EXPECT_EQ(StatusReason(access.status()), "CONFIG_INVALID");
    EXPECT_THAT(std::string(access.status().message()), HasSubstr(file.path()));
  }
  const auto access = AccessControl::Create({.tokens_file = "/no/such/file"});
  EXPECT_EQ(StatusReason(access.status()), "CONFIG_INVALID");
  EXPECT_THAT(std::string(access.status().message()),
              HasSubstr("--auth-tokens: /no/such/file"));
}

TEST(AccessTest, TheLimitOfSessionsReachesTheManager) {
  const AccessFile file(
      TenantsJson(TokenEntry("a", "one", ",\"max_sessions\":7")));
  int max_sessions = -1;
  std::string tenant;
  FakeSessionScript script;
  script.query = [&](const SessionCall& call, const QueryArgs&) {
    max_sessions = call.max_sessions;
    tenant = call.tenant;
    return absl::StatusOr<QueryResult>(QueryResult());
  };
  SessionServer test(std::move(script), ConfigWith(file));
  grpc::ClientContext context;
  AddToken("one", &context);
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("who");
  v1::QuerySessionResponse response;
  ASSERT_TRUE(test.sessions->QuerySession(&context, request, &response).ok());
  EXPECT_EQ(max_sessions, 7);
  EXPECT_EQ(tenant, TokenTenant("a"));
}

class CertificateAccessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TestCertificates::HaveOpenssl()) {
      GTEST_SKIP() << "openssl is not installed; it makes the certificates";
    }
    certificates_.emplace(::testing::TempDir() + "access." +
                          std::to_string(getpid()));
    certificates_->Issue("alice", "/CN=x", "DNS:alice.test");
    certificates_->Issue("bob", "/CN=x", "DNS:bob.test");
  }

  // The reason, or "OK".
  std::string CallAs(const TestServer& test, const std::string& certificate,
                     const std::string& token) {
    auto stub = v1::ModelService::NewStub(grpc::CreateChannel(
        "localhost:" + std::to_string(test.server->port()),
        grpc::SslCredentials(certificates_->Client(certificate))));
    grpc::ClientContext context;
    if (!token.empty()) AddToken(token, &context);
    v1::GetModelResponse response;
    const grpc::Status status = stub->GetModel(&context, {}, &response);
    return status.ok() ? "OK" : ReasonOf(status);
  }

  std::optional<TestCertificates> certificates_;
};

TEST_F(CertificateAccessTest, ACertificateThatTheFileNamesNeedsNoToken) {
  // As docs/tenants.md says how to compute it.
  Sha256 alice;
  alice.UpdateField("x509_subject_alternative_name");
  alice.UpdateField("alice.test");
  const AccessFile file(TenantsJson(
      absl::StrCat(R"({"name":"alice","certificate":")", alice.HexDigest(),
                   R"("},)", TokenEntry("search", "one"))));
  ServerConfig config = ConfigWith(file);
  config.tls = certificates_->MutualTls();
  TestServer test(config);
  EXPECT_EQ(CallAs(test, "alice", ""), "OK");
  EXPECT_EQ(CallAs(test, "bob", ""), "AUTH_REQUIRED");
  EXPECT_EQ(CallAs(test, "bob", "one"), "OK");
  // Who shows a token is known by that alone.
  EXPECT_EQ(CallAs(test, "alice", "two"), "AUTH_INVALID");
}

}  // namespace
}  // namespace longhand::testing
