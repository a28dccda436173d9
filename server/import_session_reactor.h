// ImportSessionReactor: one ImportSession call. From the first message on, a
// thread of the SessionHost reads the snapshot, one message at a time, and
// waits while the client does not send; the stream's time limits end that.
// Thread-safe.
#ifndef LONGHAND_SERVER_IMPORT_SESSION_REACTOR_H_
#define LONGHAND_SERVER_IMPORT_SESSION_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "longhand/v1/session_service.pb.h"
#include "server/service_context.h"
#include "server/stream_reactor.h"

namespace longhand {

class ImportSessionReactor
    : public StreamReactor<v1::ImportSessionRequest, NoStream> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static ImportSessionReactor* Start(const ServiceContext& service,
                                     grpc::CallbackServerContext* call,
                                     v1::ImportSessionResponse* response);

 private:
  ImportSessionReactor(const ServiceContext& service,
                       grpc::CallbackServerContext* call,
                       v1::ImportSessionResponse* response);

  void OnMessage(v1::ImportSessionRequest& request) override
      ABSL_LOCKS_EXCLUDED(wait_mu_);
  void OnEnd() override ABSL_LOCKS_EXCLUDED(wait_mu_);
  void OnAbort(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(wait_mu_);
  void OnRoom() override {}
  void OnFinishing(const absl::Status& status) override;
  void OnFinished() override {}

  // Hands the work to a thread.
  absl::Status Begin(const v1::ImportSessionRequest& request);
  void Import(std::optional<absl::Duration> ttl);
  // The next bytes, "" at their end.
  absl::StatusOr<std::string> Read() ABSL_LOCKS_EXCLUDED(wait_mu_);

  v1::ImportSessionResponse* const response_;  // gRPC's
  std::atomic<bool> cancelled_{false};
  bool begun_ = false;                // OnMessage's and OnEnd's
  v1::ImportSessionResponse result_;  // set before the stream is closed with OK

  absl::Mutex wait_mu_;
  std::optional<std::string> data_ ABSL_GUARDED_BY(wait_mu_);
  bool ended_ ABSL_GUARDED_BY(wait_mu_) = false;
  absl::Status aborted_ ABSL_GUARDED_BY(wait_mu_);
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_IMPORT_SESSION_REACTOR_H_
