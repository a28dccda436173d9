#include "server/unknown_service.h"

#include "core/base/error.h"
#include "server/call.h"

namespace longhand {
namespace {

class UnknownReactor final : public grpc::ServerGenericBidiReactor {
 public:
  UnknownReactor(const ServiceContext& service,
                 grpc::GenericCallbackServerContext* context)
      : call_(service, service.metrics.unknown_method, context,
              service.limits.max_request) {
    Finish(call_.End(MakeError(
        absl::StatusCode::kUnimplemented, "METHOD_UNKNOWN",
        "there is no such method; is the client newer than this server?")));
  }

  void OnDone() override {
    call_.Done();
    delete this;
  }

 private:
  ServerCall call_;
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownService::CreateReactor(
    grpc::GenericCallbackServerContext* call) {
  return new UnknownReactor(context_, call);
}

}  // namespace longhand
