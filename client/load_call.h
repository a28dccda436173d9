// LoadCall: one attempt at one document, on a completion queue. Internal to
// the load generator. Belongs to the thread that reads the queue.
#ifndef LONGHAND_CLIENT_LOAD_CALL_H_
#define LONGHAND_CLIENT_LOAD_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "client/load_corpus.h"
#include "client/load_recorder.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "longhand/v1/encoder_service.grpc.pb.h"

namespace longhand::client {

// What an attempt sends. Borrowed; must outlive the call.
struct LoadContent {
  const LoadCorpus* corpus = nullptr;
  const v1::EncodeOptions* options = nullptr;
  size_t piece_bytes = 64 << 10;  // of content in one message of a stream
};

class LoadCall {
 public:
  // The tags that the calls put on the queue.
  struct Event {
    LoadCall* call = nullptr;
    int operation = 0;
  };

  virtual ~LoadCall() = default;
  LoadCall(const LoadCall&) = delete;
  LoadCall& operator=(const LoadCall&) = delete;

  // Takes an event of this call off the queue. True: it has ended, outcome() is
  // there and no event of it is on the queue.
  virtual bool Proceed(int operation, bool ok) = 0;

  void Cancel() { context_.TryCancel(); }
  LoadOutcome TakeOutcome();

 protected:
  LoadCall(const LoadContent& content, const DocumentCut& cut)
      : content_(content), cut_(cut) {}

  // Whether the server took all of the document.
  absl::Status CheckComplete(const v1::EncodeSummary& summary) const;

  const LoadContent content_;
  const DocumentCut cut_;
  grpc::ClientContext context_;
  grpc::Status grpc_status_;
  // DATA_LOSS (INCOMPLETE_RESULT) until a whole answer came.
  absl::Status complete_;
  uint64_t tokens_ = 0;
};

// Both start the call. `deadline` as a time of day; InfiniteFuture: none.
// Encode: the document in one message.
std::unique_ptr<LoadCall> StartUnaryCall(
    v1::EncoderService::StubInterface* stub, grpc::CompletionQueue* queue,
    const LoadContent& content, const DocumentCut& cut, absl::Time deadline);
// EncodeStream: the document in pieces.
std::unique_ptr<LoadCall> StartStreamCall(
    v1::EncoderService::StubInterface* stub, grpc::CompletionQueue* queue,
    const LoadContent& content, const DocumentCut& cut, absl::Time deadline);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_CALL_H_
