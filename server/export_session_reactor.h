// ExportSessionReactor: one ExportSession call. A thread of the SessionHost
// writes the snapshot and waits while the client does not read; the stream's
// time limits end that. Thread-safe.
#ifndef LONGHAND_SERVER_EXPORT_SESSION_REACTOR_H_
#define LONGHAND_SERVER_EXPORT_SESSION_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "longhand/v1/session_service.pb.h"
#include "server/service_context.h"
#include "server/stream_reactor.h"

namespace longhand {

class ExportSessionReactor
    : public StreamReactor<NoStream, v1::ExportSessionResponse> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static ExportSessionReactor* Start(const ServiceContext& service,
                                     grpc::CallbackServerContext* call,
                                     const v1::ExportSessionRequest& request);

 private:
  ExportSessionReactor(const ServiceContext& service,
                       grpc::CallbackServerContext* call);

  absl::Status Submit(const SessionId& id);
  void Export(const SessionId& id);
  // Collects `bytes` into frames and sends those that are full.
  absl::Status Write(std::string_view bytes);
  absl::Status SendFrame();

  void OnMessage(NoStream&) override {}
  void OnEnd() override {}
  void OnAbort(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(wait_mu_);
  void OnRoom() override ABSL_LOCKS_EXCLUDED(wait_mu_);
  void OnFinished() override {}

  const size_t frame_bytes_;
  std::atomic<bool> cancelled_{false};
  std::string frame_;  // the exporting thread's

  absl::Mutex wait_mu_;
  bool room_ ABSL_GUARDED_BY(wait_mu_) = false;
  absl::Status aborted_ ABSL_GUARDED_BY(wait_mu_);
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_EXPORT_SESSION_REACTOR_H_
