// Server: an Encoder behind gRPC, with health, metrics and, if asked for,
// reflection. Owns everything that it serves with. Start, Drain and destruction
// come from one thread; the rest is thread-safe.
#ifndef LONGHAND_SERVER_SERVER_H_
#define LONGHAND_SERVER_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "prometheus/exposer.h"
#include "server/access.h"
#include "server/admission.h"
#include "server/admission_metrics.h"
#include "server/encoder_service.h"
#include "server/health.h"
#include "server/listener.h"
#include "server/metrics.h"
#include "server/model_service.h"
#include "server/open_calls.h"
#include "server/process_metrics.h"
#include "server/served_model.h"
#include "server/server_config.h"
#include "server/service_context.h"
#include "server/session_host.h"
#include "server/session_metrics.h"
#include "server/session_service.h"
#include "server/tls.h"
#include "server/unknown_service.h"
#include "server/unread_responses.h"

namespace longhand {

class Server {
 public:
  // Opens the ports and serves. Errors say what to do: UNAVAILABLE (reason
  // LISTEN_FAILED), CONFIG_INVALID for the file of tokens, or what
  // TlsCredentials::Start reports. Nothing is open after an error. Without a
  // manager in `sessions` it keeps none; else they may use `encoder`.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerConfig& config, ServedModel model,
      std::unique_ptr<Encoder> encoder, SessionParts sessions = {});

  // Ends calls at once if Drain was not called.
  ~Server();

  // The bound gRPC port; -1 for a Unix socket.
  int port() const { return listener_->port(); }
  // 0 if metrics are off.
  int metrics_port() const;
  const Metrics& metrics() const { return *metrics_; }
  Admission::Stats admission_stats() const { return admission_.stats(); }

  // Says NOT_SERVING, keeps serving for `delay`, then tells append streams
  // where their sessions stand and brings these to the store, then refuses new
  // calls and waits for the others; those that are open `timeout` after the
  // delay are cancelled, and so are, once there is no other, those of gRPC's
  // own services: a health Watch has no end. Blocks until all calls have ended.
  // DEADLINE_EXCEEDED if sessions could not be brought to the store.
  absl::Status Drain(absl::Duration delay, absl::Duration timeout);

 private:
  Server(const ServerConfig& config, std::unique_ptr<AccessControl> access,
         ServedModel model, std::unique_ptr<Encoder> encoder,
         SessionParts sessions);

  absl::Status StartMetrics(const std::string& address);
  absl::Status StartGrpc(const ServerConfig& config);
  // Refuses new calls, and returns when the last has ended.
  void EndCalls(absl::Time deadline);

  // In the order of dependence: calls record into metrics_ and use encoder_ and
  // sessions_, which uses encoder_.
  const ServedModel model_;
  const std::unique_ptr<Metrics> metrics_;
  UnreadResponses unread_;
  OpenCalls calls_;
  const std::unique_ptr<const AccessControl> access_;
  AdmissionRecorder admission_recorder_;
  Admission admission_;
  std::unique_ptr<Encoder> encoder_;
  std::unique_ptr<SessionHost> sessions_;  // null: none are kept
  const ServiceContext context_;
  EncoderService encoder_service_;
  ModelService model_service_;
  SessionService session_service_;
  UnknownService unknown_service_;
  std::shared_ptr<ProcessMetrics> process_metrics_;
  std::shared_ptr<SessionMetrics> session_metrics_;
  std::shared_ptr<AdmissionMetrics> admission_metrics_;
  std::shared_ptr<TlsCredentials> tls_;  // null: plaintext
  std::shared_ptr<Listener> listener_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<Health> health_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SERVER_H_
