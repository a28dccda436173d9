// EncoderClient: Longhand's services for C++ programs. One object holds one
// channel and is thread-safe: share it. Calls block the calling thread. Every
// error is an absl::Status; GetErrorDetail (client_error.h) reads the stable
// reason and metadata that the server sent with it.
//
//   auto client = longhand::client::EncoderClient::Connect({});
//   longhand::client::IstreamSource text(&file);
//   longhand::client::StreamRequest request;
//   request.text = &text;
//   auto result = (*client)->EncodeStream(request);
#ifndef LONGHAND_CLIENT_ENCODER_CLIENT_H_
#define LONGHAND_CLIENT_ENCODER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "client/client_error.h"
#include "client/client_options.h"
#include "client/content_source.h"
#include "client/encode_result.h"
#include "longhand/v1/encoder_service.pb.h"
#include "longhand/v1/model_service.pb.h"

namespace longhand::client {

// One document that is sent whole.
struct Document {
  v1::EncodeOptions options;
  // UTF-8 text, or ids of the served vocabulary without special tokens.
  std::variant<std::string, std::vector<uint32_t>> content;
};

// One document that is sent in pieces.
struct StreamRequest {
  v1::EncodeOptions options;
  // Borrowed. Null: the document is `token_ids`.
  ContentSource* text = nullptr;
  absl::Span<const uint32_t> token_ids;
  size_t piece_bytes = 64 << 10;  // of content in one message, at most
};

struct StreamProgress {
  uint64_t sent_bytes = 0;  // of text; never behind the server's count
  v1::EncodeProgress server;
};

// Called on the thread that called EncodeStream, each in document order: what
// belongs to a chunk after it, or, with a document_weight, before it. A status
// that is not OK ends the call with that status.
struct StreamCallbacks {
  // If set, chunks are handed to it instead of collected in the result.
  std::function<absl::Status(Chunk)> on_chunk;
  // The same for token vectors. A long chunk's may come in several parts.
  std::function<absl::Status(TokenVectors)> on_tokens;
  // The same for the vectors of spans, in order of the spans' ends.
  std::function<absl::Status(SpanVector)> on_span;
  // The same for the retrieval weights of each layer's heads.
  std::function<absl::Status(HeadWeights)> on_head_weights;
  // A few times a second.
  std::function<void(const StreamProgress&)> on_progress;
};

class EncoderClient {
 public:
  // Reads the TLS files (errors: those of opening them). Does not wait for the
  // server: a server that cannot be reached shows as UNAVAILABLE in the calls.
  static absl::StatusOr<std::unique_ptr<EncoderClient>> Connect(
      const ClientOptions& options);
  virtual ~EncoderClient() = default;

  // One document in one message; see GetModel for the limit of its size.
  virtual absl::StatusOr<EncodeResult> Encode(const Document& document,
                                              const CallOptions& call = {}) = 0;

  // One document of any length. Sends from a thread of its own while results
  // are read, so neither side waits for the other. Checks that the server took
  // all that was sent (DATA_LOSS, reason INCOMPLETE_RESULT).
  virtual absl::StatusOr<EncodeResult> EncodeStream(
      const StreamRequest& request, const StreamCallbacks& callbacks = {},
      const CallOptions& call = {}) = 0;

  // Many documents over one stream; the results are in the order of
  // `documents`. Documents that the server refused as UNAVAILABLE and those
  // without an answer are sent again as RetryOptions says; the others are not.
  virtual std::vector<absl::StatusOr<EncodeResult>> EncodeBatch(
      absl::Span<const Document> documents, const CallOptions& call = {}) = 0;

  // Empty name: the served model.
  virtual absl::StatusOr<v1::Model> GetModel(absl::string_view name = "",
                                             const CallOptions& call = {}) = 0;

  virtual absl::StatusOr<v1::TokenizeResponse> Tokenize(
      const v1::TokenizeRequest& request, const CallOptions& call = {}) = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_ENCODER_CLIENT_H_
