// AppendStream: one AppendSession call. Internal to the client library. Belongs
// to one thread, which writes and reads in turn: the server answers one append
// before it takes up the next.
#ifndef LONGHAND_CLIENT_APPEND_STREAM_H_
#define LONGHAND_CLIENT_APPEND_STREAM_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cancellation.h"
#include "client/session_channels.h"
#include "grpcpp/client_context.h"
#include "longhand/v1/session_service.grpc.pb.h"

namespace longhand::client {

class AppendStream {
 public:
  // Opens the call. `cancellation` must outlive it.
  AppendStream(const SessionRoute& route, absl::Time deadline,
               Cancellation* cancellation);
  // Ends the call, by force if an exchange failed.
  ~AppendStream();
  AppendStream(const AppendStream&) = delete;
  AppendStream& operator=(const AppendStream&) = delete;

  // Sends one append and waits for its result; its chunks go to `take`. After
  // an error the stream is of no more use. UNAVAILABLE (DRAINING) if the server
  // stops.
  absl::StatusOr<v1::AppendResult> Exchange(
      const v1::AppendSessionRequest& request,
      absl::FunctionRef<void(const v1::AppendSessionResponse&)> take);

  // After an error: the value of grpc-retry-pushback-ms.
  const std::optional<std::string>& pushback() const { return pushback_; }

 private:
  absl::Status Finish(bool cancel);

  grpc::ClientContext context_;
  Cancellation* const cancellation_;
  std::unique_ptr<grpc::ClientReaderWriterInterface<v1::AppendSessionRequest,
                                                    v1::AppendSessionResponse>>
      stream_;
  bool finished_ = false;
  std::optional<std::string> pushback_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_APPEND_STREAM_H_
