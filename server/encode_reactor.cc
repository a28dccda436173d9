#include "server/encode_reactor.h"

#include <memory>
#include <utility>

#include "server/whole_document.h"

namespace longhand {

EncodeReactor* EncodeReactor::Start(const ServiceContext& service,
                                    grpc::CallbackServerContext* call,
                                    const v1::EncodeRequest& request,
                                    v1::EncodeResponse* response) {
  std::shared_ptr<EncodeReactor> reactor(
      new EncodeReactor(service, call, response));
  return Launch(std::move(reactor),
                [&](EncodeReactor& self) { return self.Encode(request); });
}

EncodeReactor::EncodeReactor(const ServiceContext& service,
                             grpc::CallbackServerContext* call,
                             v1::EncodeResponse* response)
    : UnaryReactor(service, service.metrics.encode, call, response) {}

absl::Status EncodeReactor::Encode(const v1::EncodeRequest& request) {
  auto self = std::static_pointer_cast<EncodeReactor>(shared_from_this());
  return EncodeWholeDocument(
      {.service = service(),
       .caller = caller(),
       .deadline = deadline(),
       .limit = {.max_bytes = service().limits.max_message_bytes,
                 .advice = "use EncodeStream, or ask for fewer outputs"},
       .slot = document_},
      request, [self](absl::StatusOr<v1::EncodeResponse> response) {
        if (response.ok()) self->AddWork(WorkOf(response->summary()));
        self->End(std::move(response));
      });
}

void EncodeReactor::OnAbort(const absl::Status& why) { document_->Cancel(why); }

void EncodeReactor::OnFinished() { document_->Release(); }

}  // namespace longhand
