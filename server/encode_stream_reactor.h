// EncodeStreamReactor: one EncodeStream call, that is one document that arrives
// in pieces. A piece is read once the document has room for it; results wait in
// the stream's bounded queue, and the document rests while that is full.
#ifndef LONGHAND_SERVER_ENCODE_STREAM_REACTOR_H_
#define LONGHAND_SERVER_ENCODE_STREAM_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "longhand/v1/encoder_service.pb.h"
#include "server/document_slot.h"
#include "server/service_context.h"
#include "server/stream_reactor.h"

namespace longhand {

class EncodeStreamReactor
    : public StreamReactor<v1::EncodeStreamRequest, v1::EncodeStreamResponse> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static EncodeStreamReactor* Start(const ServiceContext& service,
                                    grpc::CallbackServerContext* call);

 private:
  class Sink;

  EncodeStreamReactor(const ServiceContext& service,
                      grpc::CallbackServerContext* call);

  void OnMessage(v1::EncodeStreamRequest& request) override;
  void OnEnd() override;
  void OnAbort(const absl::Status& why) override;
  void OnRoom() override;
  void OnFinished() override;

  // Opens the document once it has its place; only then is its content read.
  absl::Status Configure(const v1::EncodeOptions& options);
  absl::Status Open(const EncodeOptions& options,
                    std::shared_ptr<Admission::Permit> permit);
  // Hands a piece to the document, which asks for the next one.
  absl::Status Append(Document& document, v1::EncodeStreamRequest& request);
  std::shared_ptr<EncodeStreamReactor> Shared();

  DocumentSlot document_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ENCODE_STREAM_REACTOR_H_
