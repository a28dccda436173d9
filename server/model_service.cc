#include "server/model_service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/utility/utility.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/text/text_stream.h"
#include "server/convert.h"
#include "server/session_convert.h"
#include "server/unary_reactor.h"

namespace longhand {
namespace {

// Answers at once.
class GetModelReactor : public UnaryReactor<v1::GetModelResponse> {
 public:
  static GetModelReactor* Start(const ServiceContext& context,
                                grpc::CallbackServerContext* call,
                                absl::StatusOr<v1::GetModelResponse> answer,
                                v1::GetModelResponse* response) {
    std::shared_ptr<GetModelReactor> reactor(
        new GetModelReactor(context, call, response));
    reactor->OwnSelf();
    reactor->End(std::move(answer));
    return reactor.get();
  }

 private:
  GetModelReactor(const ServiceContext& context,
                  grpc::CallbackServerContext* call,
                  v1::GetModelResponse* response)
      : UnaryReactor("GetModel", call, context.limits.max_request,
                     context.metrics.get_model, response) {}

  void OnAbort(const absl::Status&) override {}
};

class TokenizeReactor : public UnaryReactor<v1::TokenizeResponse> {
 public:
  static TokenizeReactor* Start(const ServiceContext& context,
                                grpc::CallbackServerContext* call,
                                const v1::TokenizeRequest& request,
                                v1::TokenizeResponse* response) {
    std::shared_ptr<TokenizeReactor> reactor(
        new TokenizeReactor(context, call, response));
    reactor->OwnSelf();
    absl::Status status = reactor->Check(request);
    if (!status.ok()) {
      reactor->End(status);
      return reactor.get();
    }
    // The request is gone once the call is cancelled.
    context.encoder.Run([reactor, text = request.text(),
                         with_tokens = request.include_tokens()] {
      reactor->End(reactor->Tokenize(text, with_tokens));
    });
    return reactor.get();
  }

 private:
  TokenizeReactor(const ServiceContext& context,
                  grpc::CallbackServerContext* call,
                  v1::TokenizeResponse* response)
      : UnaryReactor("Tokenize", call, context.limits.max_request,
                     context.metrics.tokenize, response),
        context_(context) {}

  absl::Status Check(const v1::TokenizeRequest& request) const {
    LH_RETURN_IF_ERROR(CheckModelName(request.model(), context_.model));
    if (context_.model.tokenizer == nullptr) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "TOKENIZER_MISSING",
          "the model is served without a tokenizer; send token ids");
    }
    if (request.text().empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_DOCUMENT",
                       "text is empty; send at least one byte");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::TokenizeResponse> Tokenize(std::string_view text,
                                                bool with_tokens) const {
    constexpr size_t kPieceBytes = size_t{64} << 10;
    const Tokenizer* tokenizer = context_.model.tokenizer;
    TextStream stream(tokenizer);
    TokenSequence tokens;
    // In pieces, so that a call that has ended stops.
    for (; !text.empty() && !ended();
         text.remove_prefix(std::min(kPieceBytes, text.size()))) {
      LH_RETURN_IF_ERROR(stream.Append(text.substr(0, kPieceBytes), &tokens));
    }
    if (ended()) return absl::CancelledError();
    LH_RETURN_IF_ERROR(stream.Finish(&tokens));
    v1::TokenizeResponse response =
        ToProto(tokens, with_tokens ? tokenizer : nullptr);
    const size_t size = response.ByteSizeLong();
    if (size > context_.limits.max_message_bytes) {
      return ResponseTooLarge("send the text in parts", size,
                              context_.limits.max_message_bytes);
    }
    return response;
  }

  void OnAbort(const absl::Status&) override {}

  const ServiceContext& context_;
};

v1::Model Describe(const ServiceContext& context) {
  v1::Model model = ToProto(context.model, context.encoder.options(),
                            context.limits.max_message_bytes);
  if (const SessionHost* sessions = context.sessions; sessions != nullptr) {
    *model.mutable_session_limits() =
        ToProto(sessions->manager().options(), sessions->store_name(),
                sessions->manager().durability());
  }
  return model;
}

}  // namespace

ModelService::ModelService(const ServiceContext& context)
    : context_(context), model_(Describe(context)) {}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* call, const v1::GetModelRequest* request,
    v1::GetModelResponse* response) {
  absl::StatusOr<v1::GetModelResponse> answer(absl::in_place);
  if (absl::Status status = CheckModelName(request->name(), context_.model);
      status.ok()) {
    *answer->mutable_model() = model_;
  } else {
    answer = status;
  }
  return GetModelReactor::Start(context_, call, std::move(answer), response);
}

grpc::ServerUnaryReactor* ModelService::Tokenize(
    grpc::CallbackServerContext* call, const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  return TokenizeReactor::Start(context_, call, *request, response);
}

}  // namespace longhand
