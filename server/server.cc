#include "server/server.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "server/grpc_options.h"
#include "server/listen_address.h"
#include "server/logging.h"

namespace longhand {
namespace {

// Less than the process waits for a late drain.
constexpr absl::Duration kLastDrain = absl::Seconds(3);
// More than from a call's arrival to its reactor, and from the end of a
// response to the client's socket.
constexpr absl::Duration kLastCalls = absl::Milliseconds(200);

RequestLimits LimitsFrom(const ServerConfig& config) {
  RequestLimits limits;
  limits.max_message_bytes = config.max_message_bytes;
  limits.max_request = config.max_request;
  limits.max_stream = config.max_stream;
  limits.stall_timeout = config.stall_timeout;
  limits.slow_request = config.slow_request;
  return limits;
}

std::unique_ptr<SessionHost> MakeHost(SessionParts parts, int threads) {
  if (parts.manager == nullptr) return nullptr;
  return std::make_unique<SessionHost>(std::move(parts), threads);
}

// Short requests keep all workers busy with few of them; the rest of the places
// is for streams, whose clients may be slow.
AdmissionOptions AdmissionFrom(const AdmissionConfig& config,
                               const EncoderOptions& encoder) {
  const int documents = encoder.max_concurrent_documents;
  const int workers = std::max(1, encoder.workers);
  const int whole = std::max(1, documents / 4);
  AdmissionOptions options;
  options.workers = workers;
  options.short_tokens = config.short_tokens;
  options.places = {std::min(4 * workers, whole), std::min(2 * workers, whole),
                    std::max(1, documents - 2 * whole)};
  options.max_queued = static_cast<size_t>(config.max_queued);
  options.max_queued_bytes = config.max_queued_bytes;
  options.max_wait = config.max_wait;
  return options;
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
  LH_ASSIGN_OR_RETURN(std::unique_ptr<AccessControl> access,
                      AccessControl::Create(config.access));
  std::unique_ptr<Server> server(
      new Server(config, std::move(access), std::move(model),
                 std::move(encoder), std::move(sessions)));
  if (!config.metrics_listen.empty()) {
    LH_RETURN_IF_ERROR(server->StartMetrics(config.metrics_listen));
  }
  LH_RETURN_IF_ERROR(server->StartGrpc(config));
  return server;
}

Server::Server(const ServerConfig& config,
               std::unique_ptr<AccessControl> access, ServedModel model,
               std::unique_ptr<Encoder> encoder, SessionParts sessions)
    : model_(std::move(model)),
      metrics_(std::make_unique<Metrics>(LabelsFrom(model_.info))),
      unread_(config.max_unread_bytes, metrics_->unread_response_bytes),
      access_(std::move(access)),
      admission_recorder_(*metrics_),
      admission_(AdmissionFrom(config.admission, encoder->options()),
                 &admission_recorder_),
      encoder_(std::move(encoder)),
      sessions_(MakeHost(std::move(sessions), config.sessions.threads)),
      context_{.access = *access_,
               .admission = admission_,
               .encoder = *encoder_,
               .model = model_,
               .metrics = *metrics_,
               .unread = unread_,
               .calls = calls_,
               .limits = LimitsFrom(config),
               .sessions = sessions_.get()},
      encoder_service_(context_),
      model_service_(context_),
      session_service_(context_),
      unknown_service_(context_),
      process_metrics_(std::make_shared<ProcessMetrics>(
          [this] { return encoder_->open_documents(); })),
      admission_metrics_(std::make_shared<AdmissionMetrics>(
          [this] { return admission_.stats(); })) {
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
  exposer_->RegisterCollectable(admission_metrics_);
  if (session_metrics_ != nullptr) {
    exposer_->RegisterCollectable(session_metrics_);
  }
  return absl::OkStatus();
}

absl::Status Server::StartGrpc(const ServerConfig& config) {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (config.tls.enabled()) {
    LH_ASSIGN_OR_RETURN(tls_, TlsCredentials::Start(config.tls));
    credentials = tls_->server_credentials();
    if (exposer_ != nullptr) exposer_->RegisterCollectable(tls_);
  } else {
    credentials = grpc::InsecureServerCredentials();
  }
  LH_ASSIGN_OR_RETURN(listener_, Listener::Open(config.listen));
  if (exposer_ != nullptr) exposer_->RegisterCollectable(listener_);
  // Open to all, whatever `access` says: who probes has no token, and the
  // answer says nothing about anybody's work.
  Health::Enable();
  std::unique_ptr<grpc::ServerBuilder> builder = MakeServerBuilder(config);
  std::unique_ptr<Listener::Acceptor> acceptor =
      builder->experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::
              FROM_FD,
          credentials);
  builder->RegisterService(&encoder_service_);
  builder->RegisterService(&model_service_);
  builder->RegisterService(&session_service_);
  builder->RegisterCallbackGenericService(&unknown_service_);
  grpc_server_ = builder->BuildAndStart();
  if (grpc_server_ == nullptr) {
    return MakeError(absl::StatusCode::kInternal, "GRPC_NOT_STARTED",
                     "gRPC did not start; its own messages say why");
  }
  health_ = std::make_unique<Health>(grpc_server_->GetHealthCheckService());
  health_->SetReady(/*with_sessions=*/sessions_ != nullptr);
  listener_->Start(std::move(acceptor));
  return absl::OkStatus();
}

int Server::metrics_port() const {
  if (exposer_ == nullptr) return 0;
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

void Server::EndCalls(absl::Time deadline) {
  absl::Notification ended;
  std::thread shutdown([&] {
    grpc_server_->Shutdown(absl::ToChronoTime(deadline));
    grpc_server_->Wait();
    ended.Notify();
  });
  // How many had begun when the last look found none open.
  std::optional<uint64_t> idle;
  while (!ended.WaitForNotificationWithTimeout(kLastCalls)) {
    if (!calls_.none()) {
      idle.reset();
    } else if (idle != calls_.begun()) {
      idle = calls_.begun();
    } else {
      grpc_server_cancel_all_calls(grpc_server_->c_server());
      break;
    }
  }
  shutdown.join();
}

absl::Status Server::Drain(absl::Duration delay, absl::Duration timeout) {
  if (grpc_server_ == nullptr) return absl::OkStatus();
  metrics_->draining.Set(1);
  health_->SetDraining();
  absl::SleepFor(delay);
  const absl::Time deadline = absl::Now() + timeout;
  absl::Status status;
  if (sessions_ != nullptr) status = sessions_->Drain(deadline);
  listener_->Stop();
  EndCalls(deadline);
  health_.reset();
  grpc_server_.reset();
  // What hindered it may have been a call.
  if (!status.ok()) status = sessions_->Drain(absl::Now() + kLastDrain);
  return status;
}

}  // namespace longhand
