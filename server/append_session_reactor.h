// AppendSessionReactor: one AppendSession call: appends to one session, one
// after the other. The next request is read once the one before has been
// applied and its results have found room, so a client that does not read is
// not read from either. Thread-safe.
#ifndef LONGHAND_SERVER_APPEND_SESSION_REACTOR_H_
#define LONGHAND_SERVER_APPEND_SESSION_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/session_manager.h"
#include "longhand/v1/session_service.pb.h"
#include "server/admit.h"
#include "server/service_context.h"
#include "server/session_host.h"
#include "server/stream_reactor.h"

namespace longhand {

class AppendSessionReactor
    : public StreamReactor<v1::AppendSessionRequest, v1::AppendSessionResponse>,
      public SessionHost::DrainListener {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static AppendSessionReactor* Start(const ServiceContext& service,
                                     grpc::CallbackServerContext* call);

  void OnDrain(absl::Time query_until) override ABSL_LOCKS_EXCLUDED(state_mu_);

 private:
  // What an append left to be sent: chunks, provisional chunks, the result.
  struct Output {
    AppendResult result;
    std::string append_id;
    size_t next_chunk = 0;
    size_t next_provisional = 0;
  };

  AppendSessionReactor(const ServiceContext& service,
                       grpc::CallbackServerContext* call);

  void OnMessage(v1::AppendSessionRequest& request) override;
  void OnEnd() override;
  void OnAbort(const absl::Status& why) override;
  void OnRoom() override;
  void OnFinished() override;

  // Before anything is read: who drains may call this from then on.
  absl::Status Begin();
  // Notes the session, checks the request and hands it to a thread once it has
  // its place.
  absl::Status Submit(v1::AppendSessionRequest& request);
  absl::Status SetSession(const std::string& session_id);
  void Append(const AppendArgs& args, Admission::Permit& permit);
  // Sends what there is room for. OnRoom goes on.
  void SendOutput();
  void OnOutputSent();
  void Fail(const absl::Status& status);
  void SendNotice(const v1::DrainNotice& notice);

  std::shared_ptr<AppendSessionReactor> Shared();
  SessionCall Call(absl::Time deadline) const;

  std::atomic<bool> cancelled_{false};
  TicketSlot ticket_;

  // Whoever handles the append uses these: OnMessage, then a thread of the
  // host, then OnRoom.
  std::optional<std::string> session_text_;
  SessionId session_id_{};
  std::optional<Output> output_;

  absl::Mutex state_mu_;
  // From a request to the room for the next one, and while a notice is made.
  bool busy_ ABSL_GUARDED_BY(state_mu_) = false;
  bool draining_ ABSL_GUARDED_BY(state_mu_) = false;
  // As the last append left the session; not set before the first.
  std::optional<v1::DrainNotice> last_ ABSL_GUARDED_BY(state_mu_);
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_APPEND_SESSION_REACTOR_H_
