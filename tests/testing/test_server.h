// TestServer: a Server over a FakeEncoder, and over the test's SessionManager
// if there is one, on free loopback ports, and stubs for it. For one test; the
// server stops with it.
#ifndef LONGHAND_TESTS_TESTING_TEST_SERVER_H_
#define LONGHAND_TESTS_TESTING_TEST_SERVER_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "longhand/v1/encoder_service.grpc.pb.h"
#include "longhand/v1/model_service.grpc.pb.h"
#include "longhand/v1/session_service.grpc.pb.h"
#include "server/server.h"
#include "tests/testing/fake_encoder.h"

namespace longhand::testing {

// Plaintext, ports chosen by the system, no metrics port.
inline ServerConfig LoopbackConfig() {
  ServerConfig config;
  config.listen = "127.0.0.1:0";
  config.metrics_listen = "";
  return config;
}

class TestServer {
 public:
  explicit TestServer(const ServerConfig& config = LoopbackConfig(),
                      FakeEncoderOptions options = {},
                      ServedModel model = FakeServedModel(),
                      std::unique_ptr<SessionManager> manager = nullptr) {
    auto fake = std::make_unique<FakeEncoder>(std::move(options));
    encoder = fake.get();
    SessionParts parts;
    parts.store_name = "fake";
    parts.manager = std::move(manager);
    absl::StatusOr<std::unique_ptr<Server>> started = Server::Start(
        config, std::move(model), std::move(fake), std::move(parts));
    LH_CHECK(started.ok());
    server = *std::move(started);
    address = absl::StrCat("127.0.0.1:", server->port());
    channel = NewChannel();
    encode = v1::EncoderService::NewStub(channel);
    models = v1::ModelService::NewStub(channel);
    sessions = v1::SessionService::NewStub(channel);
  }

  // A connection of its own, with receive limit off.
  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        address, grpc::InsecureChannelCredentials(), arguments);
  }

  std::unique_ptr<Server> server;
  FakeEncoder* encoder;  // the server's
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::EncoderService::Stub> encode;
  std::unique_ptr<v1::ModelService::Stub> models;
  std::unique_ptr<v1::SessionService::Stub> sessions;
};

// Calls `method` ("/package.Service/Method") with a serialised request and
// returns the first serialised response.
inline std::pair<grpc::Status, std::string> RawCall(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
    const std::string& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(1));
  grpc::CompletionQueue queue;
  grpc::Slice slice(request);
  auto call = stub.PrepareUnaryCall(&context, method,
                                    grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  LH_CHECK(queue.Next(&tag, &ok) && ok);
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (status.ok() && response.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) {
      bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return {status, bytes};
}

// What the health service says of `service`: "SERVING", "NOT_SERVING", or the
// error's code.
inline std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel,
                            const std::string& service) {
  std::string request;
  if (!service.empty()) {
    request = absl::StrCat(
        "\n", std::string(1, static_cast<char>(service.size())), service);
  }
  auto [status, response] =
      RawCall(channel, "/grpc.health.v1.Health/Check", request);
  if (!status.ok()) return absl::StrCat(status.error_code());
  if (response == "\x08\x01") return "SERVING";
  if (response == "\x08\x02") return "NOT_SERVING";
  return "UNKNOWN";
}

// The ErrorInfo in `status`, or an empty one.
inline google::rpc::ErrorInfo ErrorInfoOf(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  for (const auto& any : status.details()) {
    if (any.UnpackTo(&info)) return info;
  }
  return {};
}

inline google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return {};
  return ErrorInfoOf(details);
}

inline std::string ReasonOf(const grpc::Status& status) {
  return ErrorInfoOf(status).reason();
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_TEST_SERVER_H_
