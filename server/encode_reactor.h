// EncodeReactor: one unary Encode call.
#ifndef LONGHAND_SERVER_ENCODE_REACTOR_H_
#define LONGHAND_SERVER_ENCODE_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include "longhand/v1/encoder_service.pb.h"
#include "server/document_slot.h"
#include "server/service_context.h"
#include "server/unary_reactor.h"

namespace longhand {

class EncodeReactor : public UnaryReactor<v1::EncodeResponse> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static EncodeReactor* Start(const ServiceContext& context,
                              grpc::CallbackServerContext* call,
                              const v1::EncodeRequest& request,
                              v1::EncodeResponse* response);

 private:
  EncodeReactor(const ServiceContext& context,
                grpc::CallbackServerContext* call,
                v1::EncodeResponse* response);

  void Encode(const ServiceContext& context, const v1::EncodeRequest& request);
  void OnAbort(const absl::Status& why) override;
  void OnFinished() override;

  DocumentSlot document_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ENCODE_REACTOR_H_
