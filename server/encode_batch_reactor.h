// EncodeBatchReactor: one EncodeBatch call, that is many documents on one
// stream. Some are in work at one time; further requests are read as results
// leave.
#ifndef LONGHAND_SERVER_ENCODE_BATCH_REACTOR_H_
#define LONGHAND_SERVER_ENCODE_BATCH_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "longhand/v1/encoder_service.pb.h"
#include "server/document_slot.h"
#include "server/service_context.h"
#include "server/stream_reactor.h"

namespace longhand {

class EncodeBatchReactor
    : public StreamReactor<v1::EncodeBatchRequest, v1::EncodeBatchResponse> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  static EncodeBatchReactor* Start(const ServiceContext& service,
                                   grpc::CallbackServerContext* call);

 private:
  using Item = uint64_t;

  EncodeBatchReactor(const ServiceContext& service,
                     grpc::CallbackServerContext* call);

  void OnMessage(v1::EncodeBatchRequest& request) override;
  void OnEnd() override;
  void OnAbort(const absl::Status& why) override;
  void OnRoom() override;
  void OnFinished() override;

  // Makes a place for a document in work.
  Item Add(std::shared_ptr<DocumentSlot> slot) ABSL_LOCKS_EXCLUDED(items_mu_);
  // Sends the result of `item` and gives its place up.
  void Complete(Item item, uint64_t correlation_id,
                absl::StatusOr<v1::EncodeResponse> response);
  // Reads on if there is a free place and room for results, and closes the
  // stream after the last result.
  void Continue() ABSL_LOCKS_EXCLUDED(items_mu_);

  absl::Mutex items_mu_;
  Item next_item_ ABSL_GUARDED_BY(items_mu_) = 0;
  absl::flat_hash_map<Item, std::shared_ptr<DocumentSlot>> items_
      ABSL_GUARDED_BY(items_mu_);
  absl::Status aborted_ ABSL_GUARDED_BY(items_mu_);
  bool reading_ ABSL_GUARDED_BY(items_mu_) = true;  // ReadNext was called
  bool ended_ ABSL_GUARDED_BY(items_mu_) = false;   // the client is done
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ENCODE_BATCH_REACTOR_H_
