#include "client/stream_attempt.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/rpc_status.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Moves `part` behind `whole` if both are parts of the same chunk.
bool Merge(TokenVectors* whole, TokenVectors* part) {
  if (whole->chunk_index != part->chunk_index) return false;
  const auto append = [](auto* to, const auto& from) {
    to->insert(to->end(), from.begin(), from.end());
  };
  append(&whole->ids, part->ids);
  append(&whole->begin_bytes, part->begin_bytes);
  append(&whole->end_bytes, part->end_bytes);
  append(&whole->vectors, part->vectors);
  return true;
}

absl::Status Incomplete(absl::string_view what, uint64_t sent, uint64_t taken) {
  return MakeClientError(
      absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
      absl::StrCat("the server answered for ", taken, " ", what, " where ",
                   sent, " were expected; discard the result"),
      {{"expected", absl::StrCat(sent)}, {"answered", absl::StrCat(taken)}});
}

}  // namespace

StreamAttempt::StreamAttempt(v1::EncoderService::StubInterface* stub,
                             grpc::ClientContext* context,
                             const StreamRequest* request,
                             const StreamCallbacks* callbacks)
    : context_(context),
      request_(*request),
      callbacks_(*callbacks),
      stream_(stub->EncodeStream(context)) {}

bool StreamAttempt::SendText() {
  const size_t piece_bytes = std::max<size_t>(request_.piece_bytes, 1);
  for (;;) {
    v1::EncodeStreamRequest message;
    std::string* text = message.mutable_text();
    text->resize(piece_bytes);
    const absl::StatusOr<size_t> count =
        request_.text->Read(absl::MakeSpan(text->data(), text->size()));
    // A source that was stopped may return anything.
    if (over_) return false;
    if (!count.ok()) {
      source_status_ = count.status();
      return false;
    }
    if (*count == 0) return true;
    read_any_ = true;
    text->resize(std::min(*count, piece_bytes));
    // Before the write: the server's progress may be back before it returns.
    sent_bytes_ += text->size();
    if (!stream_->Write(message)) return false;
  }
}

bool StreamAttempt::SendTokenIds() {
  const size_t piece =
      std::max<size_t>(request_.piece_bytes / sizeof(uint32_t), 1);
  for (size_t begin = 0; begin < request_.token_ids.size(); begin += piece) {
    const auto ids = request_.token_ids.subspan(begin, piece);
    v1::EncodeStreamRequest message;
    message.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    if (!stream_->Write(message)) return false;
  }
  return true;
}

void StreamAttempt::Send() {
  v1::EncodeStreamRequest config;
  *config.mutable_config() = request_.options;
  if (!stream_->Write(config)) return;
  if (!(request_.text != nullptr ? SendText() : SendTokenIds())) {
    // The server must not take the cut content for a whole document.
    if (!source_status_.ok()) context_->TryCancel();
    return;
  }
  sent_all_ = stream_->WritesDone();
}

absl::Status StreamAttempt::TakeTokens(const v1::TokenVectors& message,
                                       EncodeResult* result) {
  LH_CLIENT_ASSIGN_OR_RETURN(TokenVectors tokens, ToTokenVectors(message));
  delivered_ = true;
  if (callbacks_.on_tokens) return callbacks_.on_tokens(std::move(tokens));
  if (result->token_vectors.empty() ||
      !Merge(&result->token_vectors.back(), &tokens)) {
    result->token_vectors.push_back(std::move(tokens));
  }
  return absl::OkStatus();
}

absl::Status StreamAttempt::TakeSpan(const v1::SpanVector& message,
                                     EncodeResult* result) {
  LH_CLIENT_ASSIGN_OR_RETURN(SpanVector span, ToSpanVector(message));
  delivered_ = true;
  ++span_count_;
  if (callbacks_.on_span) return callbacks_.on_span(std::move(span));
  result->span_vectors.push_back(std::move(span));
  return absl::OkStatus();
}

absl::Status StreamAttempt::TakeHeadWeights(
    const v1::HeadRetrievalWeights& message, EncodeResult* result) {
  LH_CLIENT_ASSIGN_OR_RETURN(HeadWeights weights, ToHeadWeights(message));
  delivered_ = true;
  if (callbacks_.on_head_weights) {
    return callbacks_.on_head_weights(std::move(weights));
  }
  result->head_weights.push_back(std::move(weights));
  return absl::OkStatus();
}

absl::Status StreamAttempt::Take(const v1::EncodeStreamResponse& response,
                                 EncodeResult* result) {
  switch (response.payload_case()) {
    case v1::EncodeStreamResponse::kChunk: {
      LH_CLIENT_ASSIGN_OR_RETURN(Chunk chunk, ToChunk(response.chunk()));
      delivered_ = true;
      ++chunk_count_;
      if (callbacks_.on_chunk) return callbacks_.on_chunk(std::move(chunk));
      result->chunks.push_back(std::move(chunk));
      return absl::OkStatus();
    }
    case v1::EncodeStreamResponse::kTokenVectors:
      return TakeTokens(response.token_vectors(), result);
    case v1::EncodeStreamResponse::kSpanVector:
      return TakeSpan(response.span_vector(), result);
    case v1::EncodeStreamResponse::kHeadRetrievalWeights:
      return TakeHeadWeights(response.head_retrieval_weights(), result);
    case v1::EncodeStreamResponse::kProgress:
      if (callbacks_.on_progress) {
        callbacks_.on_progress({sent_bytes_.load(), response.progress()});
      }
      return absl::OkStatus();
    case v1::EncodeStreamResponse::kResult: {
      LH_CLIENT_ASSIGN_OR_RETURN(
          result->document_vector,
          DecodeFloats(response.result().document_vector()));
      result->summary = response.result().summary();
      has_result_ = true;
      return absl::OkStatus();
    }
    case v1::EncodeStreamResponse::PAYLOAD_NOT_SET:
      break;  // a kind of message that later servers may send
  }
  return absl::OkStatus();
}

absl::Status StreamAttempt::CheckComplete(const EncodeResult& result) const {
  if (!has_result_ || !sent_all_) {
    return MakeClientError(
        absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
        has_result_ ? "the server ended the call before it had the document"
                    : "the server ended the call without a result");
  }
  const v1::EncodeSummary& summary = result.summary;
  if (request_.text != nullptr && summary.received_bytes() != sent_bytes_) {
    return Incomplete("bytes", sent_bytes_, summary.received_bytes());
  }
  if (request_.text == nullptr &&
      summary.received_tokens() != request_.token_ids.size()) {
    return Incomplete("tokens", request_.token_ids.size(),
                      summary.received_tokens());
  }
  if (chunk_count_ != 0 && chunk_count_ != summary.chunk_count()) {
    return Incomplete("chunks", summary.chunk_count(), chunk_count_);
  }
  const auto wanted = static_cast<uint64_t>(request_.options.spans_size());
  if (span_count_ != wanted) return Incomplete("spans", wanted, span_count_);
  return absl::OkStatus();
}

Attempt StreamAttempt::Run(EncodeResult* result) {
  *result = {};
  std::thread sender([this] { Send(); });
  absl::Status taken;
  v1::EncodeStreamResponse response;
  while (taken.ok() && stream_->Read(&response)) {
    taken = Take(response, result);
  }
  if (!taken.ok()) context_->TryCancel();
  over_ = true;
  if (request_.text != nullptr) request_.text->Stop();
  sender.join();
  while (stream_->Read(&response)) {
    // What a cancelled call still holds; Finish wants the stream read empty.
  }
  absl::Status status = FromGrpcStatus(stream_->Finish());

  // What went wrong on this side is why the call was cancelled.
  if (!taken.ok()) return {taken, false};
  if (!source_status_.ok()) return {source_status_, false};
  if (status.ok()) return {CheckComplete(*result), false};
  if (delivered_ || !absl::IsUnavailable(status)) return {status, false};
  const bool rewound = request_.text == nullptr || request_.text->Rewind();
  return {status, rewound || !read_any_};
}

}  // namespace longhand::client
