#include "server/tenant.h"

#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/session_server.h"
#include "tests/testing/test_certificates.h"

namespace longhand::testing {
namespace {

// Notes the tenant of every query.
class TenantTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TestCertificates::HaveOpenssl()) {
      GTEST_SKIP() << "openssl is not installed; it makes the certificates";
    }
    certificates_.emplace(::testing::TempDir() + "tenant." +
                          std::to_string(getpid()));
    ServerConfig config = LoopbackConfig();
    config.tls = certificates_->MutualTls();
    FakeSessionScript script;
    script.query = [this](const SessionCall& call, const QueryArgs&) {
      tenant_ = call.tenant;
      return absl::StatusOr<QueryResult>(QueryResult());
    };
    test_.emplace(std::move(script), config);
  }

  std::unique_ptr<v1::SessionService::Stub> StubFor(
      const std::string& certificate) {
    return v1::SessionService::NewStub(grpc::CreateChannel(
        "localhost:" + std::to_string(test_->server->port()),
        grpc::SslCredentials(certificates_->Client(certificate))));
  }

  // What the server calls a client with this certificate.
  std::string TenantWith(const std::string& certificate) {
    grpc::ClientContext context;
    v1::QuerySessionRequest request;
    request.add_questions()->set_text("who");
    v1::QuerySessionResponse response;
    tenant_ = "?";
    const grpc::Status status =
        StubFor(certificate)->QuerySession(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return tenant_;
  }

  std::optional<TestCertificates> certificates_;
  std::string tenant_;  // of the last query
  std::optional<SessionServer> test_;
};

TEST_F(TenantTest, ItIsTheNameInTheCertificate) {
  certificates_->Issue("alice", "/CN=x", "DNS:alice.test");
  certificates_->Issue("alice_renewed", "/CN=y", "DNS:alice.test");
  certificates_->Issue("alice_and_bob", "/CN=x", "DNS:alice.test,DNS:bob.test");
  certificates_->Issue("bob_and_alice", "/CN=x", "DNS:bob.test,DNS:alice.test");
  certificates_->Issue("common_name", "/CN=alice.test", "");
  certificates_->Issue("nameless_1", "/O=nobody", "");
  certificates_->Issue("nameless_2", "/O=nobody", "");
  std::map<std::string, std::string> tenants;
  for (const char* name :
       {"alice", "alice_renewed", "alice_and_bob", "bob_and_alice",
        "common_name", "nameless_1", "nameless_2"}) {
    tenants[name] = TenantWith(name);
    EXPECT_EQ(tenants[name].size(), 64U) << name;
  }
  EXPECT_EQ(tenants["alice"], tenants["alice_renewed"]);
  EXPECT_EQ(tenants["alice_and_bob"], tenants["bob_and_alice"]);
  EXPECT_NE(tenants["alice"], tenants["alice_and_bob"]);
  EXPECT_NE(tenants["alice"], tenants["common_name"]);
  EXPECT_NE(tenants["nameless_1"], tenants["nameless_2"]);
  EXPECT_NE(tenants["nameless_1"], tenants["alice"]);
}

TEST_F(TenantTest, OneDoesNotSeeTheOthersSessions) {
  certificates_->Issue("alice", "/CN=alice", "");
  certificates_->Issue("bob", "/CN=bob", "");
  auto alice = StubFor("alice");
  auto bob = StubFor("bob");
  grpc::ClientContext create_context;
  v1::CreateSessionResponse created;
  ASSERT_TRUE(alice->CreateSession(&create_context, {}, &created).ok());
  auto get = [](v1::SessionService::Stub& stub, const std::string& id) {
    grpc::ClientContext context;
    v1::GetSessionRequest request;
    request.set_session_id(id);
    v1::GetSessionResponse response;
    return stub.GetSession(&context, request, &response);
  };
  EXPECT_TRUE(get(*alice, created.session().session_id()).ok());
  const grpc::Status others = get(*bob, created.session().session_id());
  const grpc::Status unknown = get(*bob, kUnknownId);
  EXPECT_EQ(others.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(others.error_message(), unknown.error_message());
  EXPECT_EQ(others.error_details(), unknown.error_details());
  grpc::ClientContext list_context;
  v1::ListSessionsResponse list;
  ASSERT_TRUE(bob->ListSessions(&list_context, {}, &list).ok());
  EXPECT_EQ(list.sessions_size(), 0);
}

TEST(TenantWithoutTlsTest, EverybodyIsTheSame) {
  std::string tenant;
  FakeSessionScript script;
  script.query = [&](const SessionCall& call, const QueryArgs&) {
    tenant = call.tenant;
    return absl::StatusOr<QueryResult>(QueryResult());
  };
  SessionServer test(std::move(script));
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("who");
  v1::QuerySessionResponse response;
  ASSERT_TRUE(
      test.Call(&v1::SessionService::Stub::QuerySession, request, &response)
          .ok());
  EXPECT_EQ(tenant, "default");
}

}  // namespace
}  // namespace longhand::testing
