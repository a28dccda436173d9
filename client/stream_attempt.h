// One attempt at EncodeStream: sends from its own thread, reads on the
// caller's. Internal to the client library. Used once, by one thread.
#ifndef LONGHAND_CLIENT_STREAM_ATTEMPT_H_
#define LONGHAND_CLIENT_STREAM_ATTEMPT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "client/encoder_client.h"
#include "client/retry.h"
#include "grpcpp/client_context.h"
#include "longhand/v1/encoder_service.grpc.pb.h"

namespace longhand::client {

class StreamAttempt {
 public:
  // All arguments must outlive the attempt.
  StreamAttempt(v1::EncoderService::StubInterface* stub,
                grpc::ClientContext* context, const StreamRequest* request,
                const StreamCallbacks* callbacks);

  // Runs the call to its end. On success fills `result`.
  Attempt Run(EncodeResult* result);

 private:
  using Stream = grpc::ClientReaderWriterInterface<v1::EncodeStreamRequest,
                                                   v1::EncodeStreamResponse>;

  // The sending thread. False: the call is over or the source failed.
  void Send();
  bool SendText();
  bool SendTokenIds();

  absl::Status Take(const v1::EncodeStreamResponse& response,
                    EncodeResult* result);
  absl::Status TakeTokens(const v1::TokenVectors& message,
                          EncodeResult* result);
  absl::Status TakeSpan(const v1::SpanVector& message, EncodeResult* result);
  absl::Status TakeHeadWeights(const v1::HeadRetrievalWeights& message,
                               EncodeResult* result);
  // Whether the server's account of the document is that of the sender.
  absl::Status CheckComplete(const EncodeResult& result) const;

  grpc::ClientContext* const context_;
  const StreamRequest& request_;
  const StreamCallbacks& callbacks_;
  const std::unique_ptr<Stream> stream_;

  // Set by the reading thread: the call is over, content is no longer wanted.
  std::atomic<bool> over_{false};

  // Written by the sending thread; the others are read after it was joined.
  std::atomic<uint64_t> sent_bytes_{0};
  bool read_any_ = false;
  bool sent_all_ = false;
  absl::Status source_status_;

  // Of the reading thread.
  bool delivered_ = false;
  bool has_result_ = false;
  uint32_t chunk_count_ = 0;
  uint64_t span_count_ = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_STREAM_ATTEMPT_H_
