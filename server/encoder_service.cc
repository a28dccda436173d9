#include "server/encoder_service.h"

#include "server/encode_batch_reactor.h"
#include "server/encode_reactor.h"
#include "server/encode_stream_reactor.h"

namespace longhand {

EncoderService::EncoderService(const ServiceContext& context)
    : context_(context) {}

grpc::ServerUnaryReactor* EncoderService::Encode(
    grpc::CallbackServerContext* call, const v1::EncodeRequest* request,
    v1::EncodeResponse* response) {
  return EncodeReactor::Start(context_, call, *request, response);
}

grpc::ServerBidiReactor<v1::EncodeStreamRequest, v1::EncodeStreamResponse>*
EncoderService::EncodeStream(grpc::CallbackServerContext* call) {
  return EncodeStreamReactor::Start(context_, call);
}

grpc::ServerBidiReactor<v1::EncodeBatchRequest, v1::EncodeBatchResponse>*
EncoderService::EncodeBatch(grpc::CallbackServerContext* call) {
  return EncodeBatchReactor::Start(context_, call);
}

}  // namespace longhand
