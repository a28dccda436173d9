// `longhand health` against gRPC's own health service.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "tests/client/cli_case.h"

namespace longhand::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class CliHealthTest : public CliTest {
 protected:
  void StartHealth(const std::string& address) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&models_);
    health_server_ = builder.BuildAndStart();
    ASSERT_NE(health_server_, nullptr);
    health_ = health_server_->GetHealthCheckService();
    server_target_ =
        port > 1 ? absl::StrCat("127.0.0.1:", port) : address;  // 1: a socket
  }

  void TearDown() override {
    if (health_server_ != nullptr) health_server_->Shutdown();
    grpc::EnableDefaultHealthCheckService(false);
    CliTest::TearDown();
  }

  // gRPC serves health only beside a service of ours.
  v1::ModelService::Service models_;
  std::unique_ptr<grpc::Server> health_server_;
  grpc::HealthCheckServiceInterface* health_ = nullptr;  // the server's
};

TEST_F(CliHealthTest, PrintsWhatTheServerSays) {
  ASSERT_NO_FATAL_FAILURE(StartHealth("127.0.0.1:0"));
  RunResult run = Run({"health"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(run.out, "SERVING\n");
  EXPECT_THAT(run.err, IsEmpty());

  health_->SetServingStatus("a.Service", false);
  run = Run({"health", "--service", "a.Service"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.out, "NOT_SERVING\n");
  EXPECT_THAT(run.err, StartsWith("longhand: health: the service a.Service "));
  EXPECT_EQ(Run({"health"}).out, "SERVING\n");

  run = Run({"health", "--service", "b.Service"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.out, "SERVICE_UNKNOWN\n");
  EXPECT_THAT(run.err, HasSubstr("b.Service [SERVICE_UNKNOWN]"));

  health_->SetServingStatus(false);
  run = Run({"health"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.out, "NOT_SERVING\n");
}

TEST_F(CliHealthTest, AsksOverAUnixSocket) {
  ASSERT_NO_FATAL_FAILURE(StartHealth("unix:" + Path("socket")));
  EXPECT_EQ(Run({"health"}).out, "SERVING\n");
}

TEST_F(CliHealthTest, NeedsNoToken) {
  ASSERT_NO_FATAL_FAILURE(StartHealth("127.0.0.1:0"));
  const RunResult run = Run({"health", "--token-file", Path("missing")});
  EXPECT_EQ(run.code, kExitOk) << run.err;
}

TEST_F(CliHealthTest, WhatIsNotThereIsNotHealthy) {
  RunResult run = Run({"health"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, IsEmpty());
  EXPECT_THAT(run.err, StartsWith("longhand: health: "));
  EXPECT_THAT(run.err, HasSubstr("[UNAVAILABLE]\nhint: is longhand-server "));

  StartServer();  // without a health service
  run = Run({"health"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("[UNIMPLEMENTED]"));
  EXPECT_EQ(Run({"health", "--ca", Path("missing.pem")}).code, 1);
}

TEST_F(CliHealthTest, GivesUpAfterTheTimeout) {
  // Connections are taken by the kernel, and nobody answers.
  const int silent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Path("silent").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(
      bind(silent, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(silent, 1), 0);
  server_target_ = "unix:" + Path("silent");
  const RunResult run = Run({"health", "--timeout", "0.1"});
  close(silent);
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("[DEADLINE_EXCEEDED]\nhint: allow more "
                                 "with --deadline (health: --timeout)"));
}

TEST_F(CliHealthTest, WrongCommandLines) {
  EXPECT_EQ(Run({"health", "--timeout", "0"}).code, kExitUsage);
  EXPECT_EQ(Run({"health", "--timeout", "nan"}).code, kExitUsage);
  EXPECT_EQ(Run({"health", "--retries", "1"}).code, kExitUsage);
}

}  // namespace
}  // namespace longhand::client
