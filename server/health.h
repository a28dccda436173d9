// Health: what grpc.health.v1.Health answers for the whole server ("") and for
// each of its services. gRPC serves it; this decides the answers. Thread-safe.
#ifndef LONGHAND_SERVER_HEALTH_H_
#define LONGHAND_SERVER_HEALTH_H_

#include <grpcpp/health_check_service_interface.h>

namespace longhand {

class Health {
 public:
  // Makes servers that are built from now on serve the health service. Call
  // before ServerBuilder::BuildAndStart.
  static void Enable();

  // `service` is of a server that was built after Enable, and outlives this.
  explicit Health(grpc::HealthCheckServiceInterface* service);

  // SERVING for "" and every service; the SessionService stays unknown where
  // there are no sessions.
  void SetReady(bool with_sessions);

  // NOT_SERVING for all, for ever; watchers are told at once.
  void SetDraining();

 private:
  grpc::HealthCheckServiceInterface* const service_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_HEALTH_H_
