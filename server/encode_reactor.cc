#include "server/encode_reactor.h"

#include <memory>
#include <utility>

#include "server/whole_document.h"

namespace longhand {

EncodeReactor* EncodeReactor::Start(const ServiceContext& context,
                                    grpc::CallbackServerContext* call,
                                    const v1::EncodeRequest& request,
                                    v1::EncodeResponse* response) {
  std::shared_ptr<EncodeReactor> reactor(
      new EncodeReactor(context, call, response));
  reactor->OwnSelf();
  reactor->Encode(context, request);
  return reactor.get();
}

EncodeReactor::EncodeReactor(const ServiceContext& context,
                             grpc::CallbackServerContext* call,
                             v1::EncodeResponse* response)
    : UnaryReactor("Encode", call, context.limits.max_request,
                   context.metrics.encode, response) {}

void EncodeReactor::Encode(const ServiceContext& context,
                           const v1::EncodeRequest& request) {
  auto self = std::static_pointer_cast<EncodeReactor>(shared_from_this());
  absl::StatusOr<std::shared_ptr<Document>> document = EncodeWholeDocument(
      context, request, deadline(),
      {.max_bytes = context.limits.max_message_bytes,
       .advice = "use EncodeStream, or ask for fewer outputs"},
      [self](absl::StatusOr<v1::EncodeResponse> response) {
        self->End(std::move(response));
      });
  if (!document.ok()) return End(document.status());
  document_.Set(*std::move(document));
}

void EncodeReactor::OnAbort(const absl::Status& why) { document_.Cancel(why); }

void EncodeReactor::OnFinished() { document_.Release(); }

}  // namespace longhand
