// EncoderService: longhand.v1.EncoderService over an Encoder. Thread-safe.
#ifndef LONGHAND_SERVER_ENCODER_SERVICE_H_
#define LONGHAND_SERVER_ENCODER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "longhand/v1/encoder_service.grpc.pb.h"
#include "server/service_context.h"

namespace longhand {

class EncoderService final : public v1::EncoderService::CallbackService {
 public:
  // `context` outlives the service.
  explicit EncoderService(const ServiceContext& context);

  grpc::ServerUnaryReactor* Encode(grpc::CallbackServerContext* call,
                                   const v1::EncodeRequest* request,
                                   v1::EncodeResponse* response) override;

  grpc::ServerBidiReactor<v1::EncodeStreamRequest, v1::EncodeStreamResponse>*
  EncodeStream(grpc::CallbackServerContext* call) override;

  grpc::ServerBidiReactor<v1::EncodeBatchRequest, v1::EncodeBatchResponse>*
  EncodeBatch(grpc::CallbackServerContext* call) override;

 private:
  const ServiceContext& context_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ENCODER_SERVICE_H_
