// Ports, health, reflection, metrics, TLS and draining of an in-process server.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/test_certificates.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Stream =
    grpc::ClientReaderWriter<v1::EncodeStreamRequest, v1::EncodeStreamResponse>;

constexpr char kReflection[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";

// The body of http://127.0.0.1:`port`/metrics.
std::string Scrape(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0) {
    const std::string request =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  return text;
}

v1::EncodeStreamRequest Text(const std::string& text) {
  v1::EncodeStreamRequest request;
  request.set_text(text);
  return request;
}

v1::EncodeStreamRequest Config() {
  v1::EncodeStreamRequest request;
  request.mutable_config();
  return request;
}

absl::Status StartStatus(const ServerConfig& config) {
  return Server::Start(config, FakeServedModel(),
                       std::make_unique<FakeEncoder>())
      .status();
}

TEST(ServerTest, HealthIsServingForEveryService) {
  TestServer test;
  EXPECT_EQ(HealthOf(test.channel, ""), "SERVING");
  EXPECT_EQ(HealthOf(test.channel, "longhand.v1.EncoderService"), "SERVING");
  EXPECT_EQ(HealthOf(test.channel, "longhand.v1.ModelService"), "SERVING");
  EXPECT_EQ(HealthOf(test.channel, "other"),
            std::to_string(grpc::StatusCode::NOT_FOUND));
}

TEST(ServerTest, ReflectionIsOffByDefault) {
  TestServer test;
  const auto [status, response] =
      RawCall(test.channel, kReflection, kListServices);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(ServerTest, ReflectionListsTheServicesWhenOn) {
  ServerConfig config = LoopbackConfig();
  config.reflection = true;
  TestServer test(config);
  const auto [status, response] =
      RawCall(test.channel, kReflection, kListServices);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response, HasSubstr("longhand.v1.EncoderService"));
  EXPECT_THAT(response, HasSubstr("longhand.v1.ModelService"));
}

TEST(ServerTest, UnknownMethodsAreUnimplemented) {
  TestServer test;
  EXPECT_EQ(RawCall(test.channel, "/longhand.v1.EncoderService/Nope", "")
                .first.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(ServerTest, MalformedMessagesAreRefused) {
  TestServer test;
  const auto [status, response] =
      RawCall(test.channel, "/longhand.v1.EncoderService/Encode", "\xff\xff");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(HealthOf(test.channel, ""), "SERVING");
}

TEST(ServerTest, APortInUseIsExplained) {
  TestServer test;
  ServerConfig config = LoopbackConfig();
  config.listen = test.address;
  const absl::Status status = StartStatus(config);
  EXPECT_EQ(GetErrorDetail(status)->reason, "LISTEN_FAILED");
  EXPECT_THAT(std::string(status.message()), HasSubstr(test.address));
  EXPECT_THAT(std::string(status.message()), HasSubstr("in use"));
  EXPECT_EQ(HealthOf(test.channel, ""), "SERVING");

  ServerConfig with_metrics = LoopbackConfig();
  with_metrics.metrics_listen = test.address;
  EXPECT_EQ(GetErrorDetail(StartStatus(with_metrics))->reason, "LISTEN_FAILED");
}

TEST(ServerTest, AnAddressOfAnotherMachineIsExplained) {
  ServerConfig config = LoopbackConfig();
  config.listen = "192.0.2.1:0";  // reserved for documentation
  const absl::Status status = StartStatus(config);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no such address"));
}

TEST(ServerTest, MetricsAreServedAndHoldNoText) {
  ServerConfig config = LoopbackConfig();
  config.metrics_listen = "127.0.0.1:0";
  TestServer test(config);
  grpc::ClientContext context;
  v1::EncodeRequest request;
  request.set_text("canary-7f3a");
  v1::EncodeResponse response;
  ASSERT_TRUE(test.encode->Encode(&context, request, &response).ok());
  const std::string text = Scrape(test.server->metrics_port());
  EXPECT_THAT(text, HasSubstr("longhand_build_info{"));
  EXPECT_THAT(text, HasSubstr("longhand_open_documents 0"));
  EXPECT_THAT(text, HasSubstr("longhand_encode_tokens_total 11"));
  EXPECT_THAT(text, HasSubstr("longhand_encode_seconds_sum{phase=\"total\"} "
                              "1.5"));
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes"));
  EXPECT_THAT(text, Not(HasSubstr("canary")));
}

TEST(ServerTest, HealthIsNotServingWhileDraining) {
  TestServer test;
  std::thread drain([&] {
    EXPECT_TRUE(test.server->Drain(absl::Seconds(3), absl::Seconds(10)).ok());
  });
  std::string health = "SERVING";
  while (health == "SERVING") health = HealthOf(test.channel, "");
  EXPECT_EQ(health, "NOT_SERVING");
  EXPECT_EQ(HealthOf(test.channel, "longhand.v1.EncoderService"),
            "NOT_SERVING");
  // Calls are still served.
  grpc::ClientContext context;
  v1::EncodeRequest request;
  request.set_text("text");
  v1::EncodeResponse response;
  EXPECT_TRUE(test.encode->Encode(&context, request, &response).ok());
  drain.join();
}

// A document of which the server has encoded the first part.
class HalfDocument {
 public:
  void Open(const TestServer& test) {
    stream_ = test.encode->EncodeStream(&context_);
    ASSERT_TRUE(stream_->Write(Config()));
    ASSERT_TRUE(stream_->Write(Text("abcd")));
    ASSERT_TRUE(stream_->Read(&response_));
  }

  // Sends the rest, and reads to the end.
  void Complete() {
    ASSERT_TRUE(stream_->Write(Text("ef")));
    stream_->WritesDone();
    while (!response_.has_result()) ASSERT_TRUE(stream_->Read(&response_));
    EXPECT_EQ(response_.result().summary().received_bytes(), 6U);
    EXPECT_TRUE(stream_->Finish().ok());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  v1::EncodeStreamResponse response_;
};

TEST(ServerTest, AnOpenStreamMayFinishDuringTheDrain) {
  TestServer test;
  HalfDocument document;
  ASSERT_NO_FATAL_FAILURE(document.Open(test));
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  std::shared_ptr<grpc::Channel> newcomer = test.NewChannel();
  while (HealthOf(newcomer, "") != std::to_string(grpc::UNAVAILABLE)) {
    newcomer = test.NewChannel();
  }
  ASSERT_NO_FATAL_FAILURE(document.Complete());
  drain.join();
}

TEST(ServerTest, AStreamThatOutlastsTheDrainIsCancelled) {
  TestServer test;
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream = test.encode->EncodeStream(&context);
  ASSERT_TRUE(stream->Write(Config()));
  ASSERT_TRUE(stream->Write(Text("hold on")));
  ASSERT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 1; }));
  EXPECT_TRUE(
      test.server->Drain(absl::ZeroDuration(), absl::Milliseconds(200)).ok());
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == 1; }));
}

// A health Watch, for whoever wants to know when the answer changes.
class HealthWatch {
 public:
  explicit HealthWatch(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(channel),
        call_(stub_.PrepareCall(&context_, "/grpc.health.v1.Health/Watch",
                                &queue_)) {
    call_->StartCall(nullptr);
    EXPECT_TRUE(Next());
    grpc::Slice everything("");
    call_->WriteLast(grpc::ByteBuffer(&everything, 1), grpc::WriteOptions(),
                     nullptr);
    EXPECT_TRUE(Next());
  }
  ~HealthWatch() {
    context_.TryCancel();
    Finish();
  }

  // The next answer; empty at the end of the stream.
  std::string Read() {
    grpc::ByteBuffer message;
    call_->Read(&message, nullptr);
    grpc::Slice slice;
    if (!Next() || !message.DumpToSingleSlice(&slice).ok()) return "";
    return std::string(reinterpret_cast<const char*>(slice.begin()),
                       slice.size());
  }

  grpc::Status Finish() {
    if (!finished_) {
      call_->Finish(&status_, nullptr);
      finished_ = Next();
    }
    return status_;
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    LH_CHECK(queue_.Next(&tag, &ok));
    return ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::Status status_;
  bool finished_ = false;
};

TEST(ServerTest, AHealthWatchDoesNotHoldTheDrain) {
  constexpr absl::Duration kLimit = absl::Minutes(1);
  TestServer test;
  HealthWatch watch(test.NewChannel());
  EXPECT_EQ(watch.Read(), "\x08\x01");  // SERVING
  HalfDocument document;
  ASSERT_NO_FATAL_FAILURE(document.Open(test));

  const absl::Time begin = absl::Now();
  std::thread drain([&] {
    EXPECT_TRUE(test.server->Drain(absl::ZeroDuration(), kLimit).ok());
  });
  EXPECT_EQ(watch.Read(), "\x08\x02");  // NOT_SERVING
  // It is not cut off while there is a call that may finish.
  absl::SleepFor(absl::Seconds(1));
  ASSERT_NO_FATAL_FAILURE(document.Complete());
  EXPECT_EQ(watch.Read(), "");
  drain.join();
  EXPECT_LT(absl::Now() - begin, kLimit);
  EXPECT_FALSE(watch.Finish().ok());
}

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TestCertificates::HaveOpenssl()) {
      GTEST_SKIP() << "openssl is not installed; it makes the certificates";
    }
    certificates_.emplace(::testing::TempDir() + "tls." +
                          std::to_string(getpid()));
    certificates_->Issue("client", "/CN=localhost", "DNS:localhost");
  }

  ServerConfig MutualTls() const {
    ServerConfig config = LoopbackConfig();
    config.tls = certificates_->MutualTls();
    return config;
  }

  std::string HealthWith(const TestServer& test,
                         const std::string& certificate) const {
    return HealthOf(
        grpc::CreateChannel(
            "localhost:" + std::to_string(test.server->port()),
            grpc::SslCredentials(certificates_->Client(certificate))),
        "");
  }

  std::optional<TestCertificates> certificates_;
};

TEST_F(TlsTest, OnlyClientsWithACertificateGetIn) {
  TestServer test(MutualTls());
  const std::string unavailable = std::to_string(grpc::UNAVAILABLE);
  EXPECT_EQ(HealthWith(test, "client"), "SERVING");
  EXPECT_EQ(HealthWith(test, ""), unavailable);
  EXPECT_EQ(HealthOf(test.channel, ""), unavailable);  // plaintext
  EXPECT_EQ(HealthWith(test, "client"), "SERVING");
}

TEST_F(TlsTest, BadFilesAreExplained) {
  ServerConfig config = MutualTls();
  config.tls.key_file = certificates_->Path("client.key");
  EXPECT_THAT(std::string(StartStatus(config).message()),
              HasSubstr("is not that of the certificate"));
  config = MutualTls();
  config.tls.cert_file = certificates_->Path("server.key");
  EXPECT_THAT(std::string(StartStatus(config).message()),
              HasSubstr("no PEM certificate"));
  config = MutualTls();
  config.tls.client_ca_file = certificates_->Path("missing.pem");
  EXPECT_THAT(std::string(StartStatus(config).message()),
              HasSubstr("missing.pem"));
}

}  // namespace
}  // namespace longhand::testing
