#include "client/batch_attempt.h"

#include <cstdint>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "client/rpc_status.h"

namespace longhand::client {
namespace {

using Results = std::vector<absl::StatusOr<EncodeResult>>;

absl::StatusOr<EncodeResult> ToResult(const v1::EncodeBatchResponse& response) {
  if (response.has_response()) return ToEncodeResult(response.response());
  absl::Status status = FromRpcStatus(response.error());
  if (!status.ok()) return status;
  return MakeClientError(absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
                         "the server answered with neither result nor error");
}

}  // namespace

v1::EncodeRequest ToRequest(const Document& document) {
  v1::EncodeRequest request;
  *request.mutable_options() = document.options;
  if (const auto* text = std::get_if<std::string>(&document.content)) {
    request.set_text(*text);
  } else {
    const auto& ids = std::get<std::vector<uint32_t>>(document.content);
    request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  }
  return request;
}

Attempt RunBatchAttempt(v1::EncoderService::StubInterface* stub,
                        grpc::ClientContext* context,
                        absl::Span<const Document> documents,
                        Results* results) {
  // Their places are the correlation ids.
  std::set<uint64_t> pending;
  for (size_t i = 0; i < documents.size(); ++i) {
    if (absl::IsUnavailable((*results)[i].status())) pending.insert(i);
  }
  const auto stream = stub->EncodeBatch(context);
  std::thread sender([&stream, &documents, to_send = pending] {
    for (const uint64_t i : to_send) {
      v1::EncodeBatchRequest request;
      request.set_correlation_id(i);
      *request.mutable_request() = ToRequest(documents[i]);
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  absl::Status refused;  // the last document that the server had no room for
  v1::EncodeBatchResponse response;
  while (stream->Read(&response)) {
    if (pending.erase(response.correlation_id()) == 0) continue;
    auto& result = (*results)[response.correlation_id()];
    result = ToResult(response);
    if (absl::IsUnavailable(result.status())) refused = result.status();
  }
  sender.join();
  absl::Status status = FromGrpcStatus(stream->Finish());
  if (status.ok() && !pending.empty()) {
    status = MakeClientError(
        absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
        "the server ended the batch without an answer for this document");
  }
  for (const uint64_t i : pending) (*results)[i] = status;
  return {status.ok() ? refused : status, true};
}

}  // namespace longhand::client
