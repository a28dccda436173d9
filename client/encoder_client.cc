#include "client/encoder_client.h"

#include <memory>
#include <string>
#include <utility>

#include "client/batch_attempt.h"
#include "client/channel_factory.h"
#include "client/retry.h"
#include "client/rpc_status.h"
#include "client/status_macros.h"
#include "client/stream_attempt.h"
#include "grpcpp/channel.h"
#include "longhand/v1/encoder_service.grpc.pb.h"
#include "longhand/v1/model_service.grpc.pb.h"

namespace longhand::client {
namespace {

class GrpcEncoderClient : public EncoderClient {
 public:
  GrpcEncoderClient(const ClientOptions& options,
                    const std::shared_ptr<grpc::Channel>& channel)
      : options_(options),
        encoder_(v1::EncoderService::NewStub(channel)),
        model_(v1::ModelService::NewStub(channel)) {}

  absl::StatusOr<EncodeResult> Encode(const Document& document,
                                      const CallOptions& call) override {
    const v1::EncodeRequest request = ToRequest(document);
    v1::EncodeResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return encoder_->Encode(&context, request, &response);
    }));
    return ToEncodeResult(response);
  }

  absl::StatusOr<EncodeResult> EncodeStream(const StreamRequest& request,
                                            const StreamCallbacks& callbacks,
                                            const CallOptions& call) override {
    EncodeResult result;
    LH_CLIENT_RETURN_IF_ERROR(
        RetryLoop(options_, call).Run([&](grpc::ClientContext& context) {
          StreamAttempt attempt(encoder_.get(), &context, &request, &callbacks);
          return attempt.Run(&result);
        }));
    return result;
  }

  std::vector<absl::StatusOr<EncodeResult>> EncodeBatch(
      absl::Span<const Document> documents, const CallOptions& call) override {
    std::vector<absl::StatusOr<EncodeResult>> results(
        documents.size(), absl::UnavailableError("not sent yet"));
    if (documents.empty()) return results;
    // Each document has its own status; that of the last attempt adds nothing,
    // except for a cancelled wait, which leaves UNAVAILABLE in the results.
    RetryLoop(options_, call)
        .Run([&](grpc::ClientContext& context) {
          return RunBatchAttempt(encoder_.get(), &context, documents, &results);
        })
        .IgnoreError();
    return results;
  }

  absl::StatusOr<v1::Model> GetModel(absl::string_view name,
                                     const CallOptions& call) override {
    v1::GetModelRequest request;
    request.set_name(std::string(name));
    v1::GetModelResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return model_->GetModel(&context, request, &response);
    }));
    return std::move(*response.mutable_model());
  }

  absl::StatusOr<v1::TokenizeResponse> Tokenize(
      const v1::TokenizeRequest& request, const CallOptions& call) override {
    v1::TokenizeResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return model_->Tokenize(&context, request, &response);
    }));
    return response;
  }

 private:
  absl::Status Unary(
      const CallOptions& call,
      absl::FunctionRef<grpc::Status(grpc::ClientContext&)> invoke) {
    return RetryLoop(options_, call).Run([&](grpc::ClientContext& context) {
      return Attempt{FromGrpcStatus(invoke(context))};
    });
  }

  // Constant after construction.
  const ClientOptions options_;
  const std::unique_ptr<v1::EncoderService::Stub> encoder_;
  const std::unique_ptr<v1::ModelService::Stub> model_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderClient>> EncoderClient::Connect(
    const ClientOptions& options) {
  LH_CLIENT_ASSIGN_OR_RETURN(const auto channels,
                             ChannelFactory::Create(options));
  return std::make_unique<GrpcEncoderClient>(options,
                                             channels->Make(options.target));
}

}  // namespace longhand::client
