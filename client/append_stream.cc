#include "client/append_stream.h"

#include <utility>

#include "client/client_error.h"
#include "client/retry.h"
#include "client/rpc_status.h"

namespace longhand::client {

AppendStream::AppendStream(const SessionRoute& route, absl::Time deadline,
                           Cancellation* cancellation)
    : cancellation_(cancellation) {
  if (deadline != absl::InfiniteFuture()) {
    context_.set_deadline(absl::ToChronoTime(deadline));
  }
  route.Label(&context_);
  cancellation_->Add(&context_);
  stream_ = route.stub()->AppendSession(&context_);
}

AppendStream::~AppendStream() {
  // Everything that was acknowledged stays acknowledged, however this ends.
  if (!finished_) Finish(/*cancel=*/false).IgnoreError();
}

absl::Status AppendStream::Finish(bool cancel) {
  finished_ = true;
  if (cancel) context_.TryCancel();
  stream_->WritesDone();
  v1::AppendSessionResponse response;
  while (stream_->Read(&response)) {
    // Finish wants the stream read empty.
  }
  absl::Status status = FromGrpcStatus(stream_->Finish());
  cancellation_->Remove(&context_);
  pushback_ = FindPushback(context_);
  return status;
}

absl::StatusOr<v1::AppendResult> AppendStream::Exchange(
    const v1::AppendSessionRequest& request,
    absl::FunctionRef<void(const v1::AppendSessionResponse&)> take) {
  // What was sent before a write that fails may hold a drain notice.
  stream_->Write(request);
  v1::AppendSessionResponse response;
  while (stream_->Read(&response)) {
    if (response.has_result()) return std::move(*response.mutable_result());
    if (response.has_drain()) {
      Finish(/*cancel=*/true).IgnoreError();
      return MakeClientError(absl::StatusCode::kUnavailable, "DRAINING",
                             "the server is being stopped");
    }
    take(response);
  }
  absl::Status status = Finish(/*cancel=*/false);
  if (!status.ok()) return status;
  // A server that ends the call in peace had no more to say.
  return MakeClientError(absl::StatusCode::kUnavailable, "DRAINING",
                         "the server ended the stream without a result");
}

}  // namespace longhand::client
