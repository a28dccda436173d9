#include "server/server.h"

#include <exception>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "server/grpc_options.h"
#include "server/listen_address.h"
#include "server/logging.h"
#include "server/tls.h"

namespace longhand {
namespace {

RequestLimits LimitsFrom(const ServerConfig& config) {
  RequestLimits limits;
  limits.max_message_bytes = config.max_message_bytes;
  limits.max_request = config.max_request;
  limits.max_stream = config.max_stream;
  limits.stall_timeout = config.stall_timeout;
  return limits;
}

BuildLabels LabelsFrom(const ModelInfo& info) {
  return {.version = LONGHAND_VERSION,
          .onednn_version = info.onednn_version,
          .isa = info.isa,
          .model = info.name,
          .fingerprint = info.fingerprint};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerConfig& config, ServedModel model,
    std::unique_ptr<Encoder> encoder) {
  std::unique_ptr<Server> server(
      new Server(config, std::move(model), std::move(encoder)));
  if (!config.metrics_listen.empty()) {
    LH_RETURN_IF_ERROR(server->StartMetrics(config.metrics_listen));
  }
  LH_RETURN_IF_ERROR(server->StartGrpc(config));
  return server;
}

Server::Server(const ServerConfig& config, ServedModel model,
               std::unique_ptr<Encoder> encoder)
    : model_(std::move(model)),
      metrics_(std::make_unique<Metrics>(LabelsFrom(model_.info))),
      encoder_(std::move(encoder)),
      context_{.encoder = *encoder_,
               .model = model_,
               .metrics = *metrics_,
               .limits = LimitsFrom(config)},
      encoder_service_(context_),
      model_service_(context_),
      process_metrics_(std::make_shared<ProcessMetrics>(
          [this] { return encoder_->open_documents(); })) {}

Server::~Server() {
  exposer_.reset();
  Drain(absl::ZeroDuration(), absl::ZeroDuration());
  // Its last callbacks use the members that go next.
  encoder_.reset();
}

absl::Status Server::StartMetrics(const std::string& address) {
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception&) {
    return ExplainBindFailure(address);
  }
  exposer_->RegisterCollectable(metrics_->registry());
  exposer_->RegisterCollectable(process_metrics_);
  return absl::OkStatus();
}

absl::Status Server::StartGrpc(const ServerConfig& config) {
  LH_ASSIGN_OR_RETURN(std::shared_ptr<grpc::ServerCredentials> credentials,
                      MakeServerCredentials(config.tls));
  Health::Enable();
  std::unique_ptr<grpc::ServerBuilder> builder = MakeServerBuilder(config);
  int port = 0;
  builder->AddListeningPort(config.listen, credentials, &port);
  builder->RegisterService(&encoder_service_);
  builder->RegisterService(&model_service_);
  grpc_server_ = builder->BuildAndStart();
  // gRPC reports 1 as the port of a Unix socket.
  if (grpc_server_ == nullptr || port == 0) {
    grpc_server_.reset();
    return ExplainBindFailure(config.listen);
  }
  port_ = config.listen.starts_with("unix:") ? -1 : port;
  health_ = std::make_unique<Health>(grpc_server_->GetHealthCheckService());
  health_->SetReady();
  return absl::OkStatus();
}

int Server::metrics_port() const {
  if (exposer_ == nullptr) return 0;
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

void Server::Drain(absl::Duration delay, absl::Duration timeout) {
  if (grpc_server_ == nullptr) return;
  health_->SetDraining();
  absl::SleepFor(delay);
  grpc_server_->Shutdown(absl::ToChronoTime(absl::Now() + timeout));
  grpc_server_->Wait();
  health_.reset();
  grpc_server_.reset();
}

}  // namespace longhand
