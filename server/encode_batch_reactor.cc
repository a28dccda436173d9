#include "server/encode_batch_reactor.h"

#include <utility>
#include <vector>

#include "server/grpc_status.h"
#include "server/whole_document.h"

namespace longhand {
namespace {

// What the correlation id and the wrapping take in a response message.
constexpr uint64_t kWrapperBytes = 32;

}  // namespace

EncodeBatchReactor* EncodeBatchReactor::Start(
    const ServiceContext& service, grpc::CallbackServerContext* call) {
  std::shared_ptr<EncodeBatchReactor> reactor(
      new EncodeBatchReactor(service, call));
  // What it works on comes in messages.
  return Launch(std::move(reactor),
                [](EncodeBatchReactor&) { return absl::OkStatus(); });
}

EncodeBatchReactor::EncodeBatchReactor(const ServiceContext& service,
                                       grpc::CallbackServerContext* call)
    : StreamReactor(service, service.metrics.encode_batch, call) {}

void EncodeBatchReactor::OnMessage(v1::EncodeBatchRequest& request) {
  const uint64_t correlation_id = request.correlation_id();
  auto slot = std::make_shared<DocumentSlot>();
  const Item item = Add(slot);
  auto self = std::static_pointer_cast<EncodeBatchReactor>(shared_from_this());
  const absl::Status status = EncodeWholeDocument(
      {.service = service(),
       .caller = caller(),
       .deadline = deadline(),
       .limit = {.max_bytes =
                     service().limits.max_message_bytes - kWrapperBytes,
                 .advice = "use EncodeStream for this document, or ask for "
                           "fewer outputs"},
       .slot = slot},
      request.request(),
      [self, item,
       correlation_id](absl::StatusOr<v1::EncodeResponse> response) {
        self->Complete(item, correlation_id, std::move(response));
      });
  if (!status.ok()) Complete(item, correlation_id, status);
  {
    absl::MutexLock lock(&items_mu_);
    reading_ = false;
  }
  Continue();
}

EncodeBatchReactor::Item EncodeBatchReactor::Add(
    std::shared_ptr<DocumentSlot> slot) {
  absl::Status aborted;
  Item item;
  {
    absl::MutexLock lock(&items_mu_);
    item = next_item_++;
    items_[item] = slot;
    aborted = aborted_;
  }
  if (!aborted.ok()) slot->Cancel(aborted);
  return item;
}

void EncodeBatchReactor::Complete(Item item, uint64_t correlation_id,
                                  absl::StatusOr<v1::EncodeResponse> response) {
  v1::EncodeBatchResponse message;
  message.set_correlation_id(correlation_id);
  if (response.ok()) {
    AddWork(WorkOf(response->summary()));
    *message.mutable_response() = *std::move(response);
  } else {
    *message.mutable_error() = ToRpcStatus(response.status());
  }
  Send(std::move(message));
  std::shared_ptr<DocumentSlot> slot;
  {
    absl::MutexLock lock(&items_mu_);
    auto found = items_.find(item);
    if (found != items_.end()) {
      slot = std::move(found->second);
      items_.erase(found);
    }
  }
  if (slot != nullptr) slot->Release();
  Continue();
}

void EncodeBatchReactor::Continue() {
  bool read = false;
  bool close = false;
  const bool room = HasRoom();
  {
    absl::MutexLock lock(&items_mu_);
    const bool free_place =
        items_.size() <
        static_cast<size_t>(service().limits.max_batch_documents);
    if (!reading_ && !ended_ && free_place && room) {
      reading_ = true;
      read = true;
    }
    close = ended_ && items_.empty();
  }
  if (read) ReadNext();
  if (close) Close(absl::OkStatus());
}

void EncodeBatchReactor::OnEnd() {
  {
    absl::MutexLock lock(&items_mu_);
    ended_ = true;
  }
  Continue();
}

void EncodeBatchReactor::OnAbort(const absl::Status& why) {
  std::vector<std::shared_ptr<DocumentSlot>> slots;
  {
    absl::MutexLock lock(&items_mu_);
    if (aborted_.ok()) aborted_ = why;
    for (const auto& [item, slot] : items_) slots.push_back(slot);
  }
  for (const std::shared_ptr<DocumentSlot>& slot : slots) slot->Cancel(why);
}

void EncodeBatchReactor::OnRoom() { Continue(); }

void EncodeBatchReactor::OnFinished() {
  absl::flat_hash_map<Item, std::shared_ptr<DocumentSlot>> items;
  {
    absl::MutexLock lock(&items_mu_);
    items.swap(items_);
  }
  for (const auto& [item, slot] : items) slot->Release();
}

}  // namespace longhand
