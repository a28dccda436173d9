// ModelService: longhand.v1.ModelService. Thread-safe.
#ifndef LONGHAND_SERVER_MODEL_SERVICE_H_
#define LONGHAND_SERVER_MODEL_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "longhand/v1/model_service.grpc.pb.h"
#include "server/service_context.h"

namespace longhand {

class ModelService final : public v1::ModelService::CallbackService {
 public:
  // `context` outlives the service.
  explicit ModelService(const ServiceContext& context);

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

  // Runs on a worker.
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* call,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;

 private:
  const ServiceContext& context_;
  const v1::Model model_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_MODEL_SERVICE_H_
