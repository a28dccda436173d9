// UnknownService: answers calls to methods that do not exist with
// UNIMPLEMENTED, so that they are counted and logged like others. It asks for
// no token: there is nothing to be had. Thread-safe.
#ifndef LONGHAND_SERVER_UNKNOWN_SERVICE_H_
#define LONGHAND_SERVER_UNKNOWN_SERVICE_H_

#include <grpcpp/generic/async_generic_service.h>

#include "server/service_context.h"

namespace longhand {

class UnknownService final : public grpc::CallbackGenericService {
 public:
  // `context` outlives the service.
  explicit UnknownService(const ServiceContext& context) : context_(context) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* call) override;

 private:
  const ServiceContext& context_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_UNKNOWN_SERVICE_H_
