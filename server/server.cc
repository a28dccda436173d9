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

// Less than the process waits for a late drain.
constexpr absl::Duration kLastDrain = absl::Seconds(3);

RequestLimits LimitsFrom(const ServerConfig& config) {
  RequestLimits limits;
  limits.max_message_bytes = config.max_message_bytes;
  limits.max_request = config.max_request;
  limits.max_stream = config.max_stream;
  limits.stall_timeout = config.stall_timeout;
  return limits;
}

std::unique_ptr<SessionHost> MakeHost(SessionParts parts, int threads) {
  if (parts.manager == nullptr) return nullptr;
  return std::make_unique<SessionHost>(std::move(parts), threads);
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
    std::unique_ptr<Encoder> encoder, SessionParts sessions) {
  std::unique_ptr<Server> server(new Server(
      config, std::move(model), std::move(encoder), std::move(sessions)));
  if (!config.metrics_listen.empty()) {
    LH_RETURN_IF_ERROR(server->StartMetrics(config.metrics_listen));
  }
  LH_RETURN_IF_ERROR(server->StartGrpc(config));
  return server;
}

Server::Server(const ServerConfig& config, ServedModel model,
               std::unique_ptr<Encoder> encoder, SessionParts sessions)
    : model_(std::move(model)),
      metrics_(std::make_unique<Metrics>(LabelsFrom(model_.info))),
      encoder_(std::move(encoder)),
      sessions_(MakeHost(std::move(sessions), config.sessions.threads)),
      context_{.encoder = *encoder_,
               .model = model_,
               .metrics = *metrics_,
               .limits = LimitsFrom(config),
               .sessions = sessions_.get()},
      encoder_service_(context_),
      model_service_(context_),
      session_service_(context_),
      process_metrics_(std::make_shared<ProcessMetrics>(
          [this] { return encoder_->open_documents(); })) {
  if (sessions_ != nullptr) {
    session_metrics_ = std::make_shared<SessionMetrics>(
        [this] { return sessions_->manager().stats(); });
  }
}

Server::~Server() {
  exposer_.reset();
  // Who wanted to know has called it before.
  Drain(absl::ZeroDuration(), absl::ZeroDuration()).IgnoreError();
  // Their last callbacks use the members that go next.
  sessions_.reset();
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
  if (session_metrics_ != nullptr) {
    exposer_->RegisterCollectable(session_metrics_);
  }
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
  builder->RegisterService(&session_service_);
  grpc_server_ = builder->BuildAndStart();
  // gRPC reports 1 as the port of a Unix socket.
  if (grpc_server_ == nullptr || port == 0) {
    grpc_server_.reset();
    return ExplainBindFailure(config.listen);
  }
  port_ = config.listen.starts_with("unix:") ? -1 : port;
  health_ = std::make_unique<Health>(grpc_server_->GetHealthCheckService());
  health_->SetReady(/*with_sessions=*/sessions_ != nullptr);
  return absl::OkStatus();
}

int Server::metrics_port() const {
  if (exposer_ == nullptr) return 0;
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

absl::Status Server::Drain(absl::Duration delay, absl::Duration timeout) {
  if (grpc_server_ == nullptr) return absl::OkStatus();
  health_->SetDraining();
  absl::SleepFor(delay);
  const absl::Time deadline = absl::Now() + timeout;
  absl::Status status;
  if (sessions_ != nullptr) status = sessions_->Drain(deadline);
  grpc_server_->Shutdown(absl::ToChronoTime(deadline));
  grpc_server_->Wait();
  health_.reset();
  grpc_server_.reset();
  // What hindered it may have been a call.
  if (!status.ok()) status = sessions_->Drain(absl::Now() + kLastDrain);
  return status;
}

}  // namespace longhand
