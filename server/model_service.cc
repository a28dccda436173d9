#include "server/model_service.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"
#include "core/text/text_stream.h"
#include "server/admit.h"
#include "server/convert.h"
#include "server/session_convert.h"
#include "server/unary_reactor.h"

namespace longhand {
namespace {

// About how many tokens can be made of text in the time that it takes to encode
// one: what Admission counts are tokens that are encoded.
constexpr double kTokensPerEncoded = 50;

// Answers at once.
class GetModelReactor : public UnaryReactor<v1::GetModelResponse> {
 public:
  static GetModelReactor* Start(const ServiceContext& service,
                                grpc::CallbackServerContext* call,
                                const v1::GetModelRequest& request,
                                const v1::Model& model,
                                v1::GetModelResponse* response) {
    std::shared_ptr<GetModelReactor> reactor(
        new GetModelReactor(service, call, response));
    return Launch(std::move(reactor), [&](GetModelReactor& self) {
      return self.Answer(request, model);
    });
  }

 private:
  GetModelReactor(const ServiceContext& service,
                  grpc::CallbackServerContext* call,
                  v1::GetModelResponse* response)
      : UnaryReactor(service, service.metrics.get_model, call, response) {}

  absl::Status Answer(const v1::GetModelRequest& request,
                      const v1::Model& model) {
    LH_RETURN_IF_ERROR(CheckModelName(request.name(), service().model));
    v1::GetModelResponse answer;
    *answer.mutable_model() = model;
    End(std::move(answer));
    return absl::OkStatus();
  }

  void OnAbort(const absl::Status&) override {}
};

class TokenizeReactor : public UnaryReactor<v1::TokenizeResponse> {
 public:
  static TokenizeReactor* Start(const ServiceContext& service,
                                grpc::CallbackServerContext* call,
                                const v1::TokenizeRequest& request,
                                v1::TokenizeResponse* response) {
    std::shared_ptr<TokenizeReactor> reactor(
        new TokenizeReactor(service, call, response));
    return Launch(std::move(reactor),
                  [&](TokenizeReactor& self) { return self.Submit(request); });
  }

 private:
  TokenizeReactor(const ServiceContext& service,
                  grpc::CallbackServerContext* call,
                  v1::TokenizeResponse* response)
      : UnaryReactor(service, service.metrics.tokenize, call, response) {}

  absl::Status Submit(const v1::TokenizeRequest& request) {
    LH_RETURN_IF_ERROR(Check(request));
    const uint64_t bytes = request.text().size();
    const double tokens =
        service().admission.EstimateTokens(bytes) / kTokensPerEncoded;
    const auto self =
        std::static_pointer_cast<TokenizeReactor>(shared_from_this());
    ticket_.Set(EnterAdmission(
        service(), AdmissionRequest(caller(), deadline(), {bytes, tokens}),
        // The request is gone once the call is cancelled.
        [self, text = request.text(), with_tokens = request.include_tokens()](
            std::shared_ptr<Admission::Permit> permit) mutable {
          self->Run(std::move(permit), std::move(text), with_tokens);
          return absl::OkStatus();
        },
        [self](const absl::Status& why) { self->End(why); }));
    return absl::OkStatus();
  }

  // On a worker.
  void Run(std::shared_ptr<Admission::Permit> permit, std::string text,
           bool with_tokens) {
    service().encoder.Run(
        [self = std::static_pointer_cast<TokenizeReactor>(shared_from_this()),
         permit = std::move(permit), text = std::move(text),
         with_tokens]() mutable {
          const absl::Status status = CatchOutOfMemory([&] {
            absl::StatusOr<v1::TokenizeResponse> response =
                self->Tokenize(*permit, text, with_tokens);
            permit.reset();  // before the client can call again
            self->End(std::move(response));
          });
          if (!status.ok()) self->End(status);
        });
  }

  absl::Status Check(const v1::TokenizeRequest& request) const {
    LH_RETURN_IF_ERROR(CheckModelName(request.model(), service().model));
    if (service().model.tokenizer == nullptr) {
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

  absl::StatusOr<v1::TokenizeResponse> Tokenize(Admission::Permit& permit,
                                                std::string_view text,
                                                bool with_tokens) const {
    constexpr size_t kPieceBytes = size_t{64} << 10;
    const Tokenizer* tokenizer = service().model.tokenizer;
    TextStream stream(tokenizer);
    TokenSequence tokens;
    // In pieces, so that a call that has ended stops.
    for (; !text.empty() && !ended();
         text.remove_prefix(std::min(kPieceBytes, text.size()))) {
      LH_RETURN_IF_ERROR(stream.Append(text.substr(0, kPieceBytes), &tokens));
    }
    if (ended()) return absl::CancelledError();
    LH_RETURN_IF_ERROR(stream.Finish(&tokens));
    permit.OnProgress(0, 0,
                      static_cast<uint64_t>(std::ceil(
                          double(tokens.ids.size()) / kTokensPerEncoded)));
    v1::TokenizeResponse response =
        ToProto(tokens, with_tokens ? tokenizer : nullptr);
    const size_t size = response.ByteSizeLong();
    if (size > service().limits.max_message_bytes) {
      return ResponseTooLarge("send the text in parts", size,
                              service().limits.max_message_bytes);
    }
    return response;
  }

  void OnAbort(const absl::Status& why) override { ticket_.Cancel(why); }

  TicketSlot ticket_;
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
  return GetModelReactor::Start(context_, call, *request, model_, response);
}

grpc::ServerUnaryReactor* ModelService::Tokenize(
    grpc::CallbackServerContext* call, const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  return TokenizeReactor::Start(context_, call, *request, response);
}

}  // namespace longhand
