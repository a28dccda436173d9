#include "server/health.h"

#include "longhand/v1/encoder_service.grpc.pb.h"
#include "longhand/v1/model_service.grpc.pb.h"
#include "longhand/v1/session_service.grpc.pb.h"

namespace longhand {

void Health::Enable() { grpc::EnableDefaultHealthCheckService(true); }

Health::Health(grpc::HealthCheckServiceInterface* service)
    : service_(service) {}

void Health::SetReady(bool with_sessions) {
  service_->SetServingStatus(v1::EncoderService::service_full_name(), true);
  service_->SetServingStatus(v1::ModelService::service_full_name(), true);
  if (with_sessions) {
    service_->SetServingStatus(v1::SessionService::service_full_name(), true);
  }
  service_->SetServingStatus("", true);
}

void Health::SetDraining() { service_->Shutdown(); }

}  // namespace longhand
