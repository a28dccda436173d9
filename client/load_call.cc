#include "client/load_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_error.h"
#include "client/retry.h"
#include "client/rpc_status.h"

namespace longhand::client {
namespace {

absl::Status Incomplete(absl::string_view message) {
  return MakeClientError(absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
                         message);
}

void SetDeadline(absl::Time deadline, grpc::ClientContext* context) {
  if (deadline != absl::InfiniteFuture()) {
    context->set_deadline(absl::ToChronoTime(deadline));
  }
}

// Units from `offset` on into a request or a piece of one.
template <typename Message>
void FillContent(const LoadCorpus& corpus, const DocumentCut& cut,
                 uint64_t offset, uint64_t count, Message* message) {
  if (corpus.is_text()) {
    message->set_text(corpus.CopyText(cut, offset, count));
  } else {
    const auto ids = corpus.CopyIds(cut, offset, count);
    message->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  }
}

class UnaryCall : public LoadCall {
 public:
  UnaryCall(v1::EncoderService::StubInterface* stub,
            grpc::CompletionQueue* queue, const LoadContent& content,
            const DocumentCut& cut, absl::Time deadline)
      : LoadCall(content, cut) {
    SetDeadline(deadline, &context_);
    v1::EncodeRequest request;
    *request.mutable_options() = *content.options;
    FillContent(*content.corpus, cut, 0, cut.size, &request);
    reader_ = stub->AsyncEncode(&context_, request, queue);
    reader_->Finish(&response_, &grpc_status_, &event_);
  }

  bool Proceed(int, bool) override {
    complete_ = CheckComplete(response_.summary());
    tokens_ = response_.summary().received_tokens();
    return true;
  }

 private:
  std::unique_ptr<grpc::ClientAsyncResponseReaderInterface<v1::EncodeResponse>>
      reader_;
  v1::EncodeResponse response_;
  Event event_{this, 0};
};

// Writes one piece after the other and reads at the same time; the call is
// finished when the server has ended the stream and no write is under way.
class StreamCall : public LoadCall {
 public:
  StreamCall(v1::EncoderService::StubInterface* stub,
             grpc::CompletionQueue* queue, const LoadContent& content,
             const DocumentCut& cut, absl::Time deadline)
      : LoadCall(content, cut) {
    complete_ = Incomplete("the server ended the call without a result");
    SetDeadline(deadline, &context_);
    stream_ = stub->AsyncEncodeStream(&context_, queue, &start_);
  }

  bool Proceed(int operation, bool ok) override {
    switch (operation) {
      case kStart:
        if (ok) {
          Write();
          Read();
        } else {
          Finish();
        }
        return false;
      case kWrite:
        writing_ = false;
        // After the server's end nothing more is wanted.
        if (ok && reading_ && !half_closed_) Write();
        break;
      case kRead:
        reading_ = ok;
        if (ok) Take();
        break;
      case kFinish:
        return true;
    }
    if (!reading_ && !writing_) Finish();
    return false;
  }

 private:
  enum Operation { kStart, kWrite, kRead, kFinish };

  // The next message: the options, a piece, or the end.
  void Write() {
    writing_ = true;
    v1::EncodeStreamRequest message;
    if (!config_sent_) {
      config_sent_ = true;
      *message.mutable_config() = *content_.options;
      stream_->Write(message, &write_);
      return;
    }
    if (sent_ == cut_.size) {
      half_closed_ = true;
      stream_->WritesDone(&write_);
      return;
    }
    const size_t unit = content_.corpus->is_text() ? 1 : sizeof(uint32_t);
    const uint64_t count = std::min<uint64_t>(
        std::max<size_t>(content_.piece_bytes / unit, 1), cut_.size - sent_);
    FillContent(*content_.corpus, cut_, sent_, count, &message);
    sent_ += count;
    stream_->Write(message, &write_);
  }

  void Read() {
    reading_ = true;
    stream_->Read(&response_, &read_);
  }

  void Take() {
    if (response_.has_result()) {
      const v1::EncodeSummary& summary = response_.result().summary();
      complete_ = CheckComplete(summary);
      tokens_ = summary.received_tokens();
    }
    Read();
  }

  void Finish() { stream_->Finish(&grpc_status_, &finish_); }

  std::unique_ptr<grpc::ClientAsyncReaderWriterInterface<
      v1::EncodeStreamRequest, v1::EncodeStreamResponse>>
      stream_;
  v1::EncodeStreamResponse response_;
  Event start_{this, kStart}, write_{this, kWrite}, read_{this, kRead},
      finish_{this, kFinish};
  bool config_sent_ = false;
  bool half_closed_ = false;
  bool writing_ = false;
  bool reading_ = false;
  uint64_t sent_ = 0;  // bytes or tokens
};

}  // namespace

absl::Status LoadCall::CheckComplete(const v1::EncodeSummary& summary) const {
  const bool text = content_.corpus->is_text();
  const uint64_t received =
      text ? summary.received_bytes() : summary.received_tokens();
  if (received == cut_.size) return absl::OkStatus();
  return Incomplete(absl::StrCat("the server answered for ", received,
                                 text ? " bytes" : " tokens", " where ",
                                 cut_.size, " were sent"));
}

LoadOutcome LoadCall::TakeOutcome() {
  LoadOutcome outcome;
  outcome.status = FromGrpcStatus(grpc_status_);
  outcome.pushback = FindPushback(context_);
  if (!outcome.status.ok()) return outcome;
  outcome.status = std::move(complete_);
  outcome.tokens = tokens_;
  return outcome;
}

std::unique_ptr<LoadCall> StartUnaryCall(
    v1::EncoderService::StubInterface* stub, grpc::CompletionQueue* queue,
    const LoadContent& content, const DocumentCut& cut, absl::Time deadline) {
  return std::make_unique<UnaryCall>(stub, queue, content, cut, deadline);
}

std::unique_ptr<LoadCall> StartStreamCall(
    v1::EncoderService::StubInterface* stub, grpc::CompletionQueue* queue,
    const LoadContent& content, const DocumentCut& cut, absl::Time deadline) {
  return std::make_unique<StreamCall>(stub, queue, content, cut, deadline);
}

}  // namespace longhand::client
