// EncodeReactor: one unary Encode call.
#ifndef LONGHAND_SERVER_ENCODE_REACTOR_H_
#define LONGHAND_SERVER_ENCODE_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "longhand/v1/encoder_service.pb.h"
#include "server/document_slot.h"
#include "server/service_context.h"
#include "server/unary_reactor.h"

namespace longhand {

class EncodeReactor : public UnaryReactor<v1::EncodeResponse> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static EncodeReactor* Start(const ServiceContext& service,
                              grpc::CallbackServerContext* call,
                              const v1::EncodeRequest& request,
                              v1::EncodeResponse* response);

 private:
  EncodeReactor(const ServiceContext& service,
                grpc::CallbackServerContext* call,
                v1::EncodeResponse* response);

  absl::Status Encode(const v1::EncodeRequest& request);
  void OnAbort(const absl::Status& why) override;
  void OnFinished() override;

  const std::shared_ptr<DocumentSlot> document_ =
      std::make_shared<DocumentSlot>();
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ENCODE_REACTOR_H_
