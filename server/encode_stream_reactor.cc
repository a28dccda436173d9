#include "server/encode_stream_reactor.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "server/convert.h"
#include "server/whole_document.h"

namespace longhand {
namespace {

// What the proto promises.
constexpr uint64_t kMaxMessageBytes = uint64_t{1} << 20;
constexpr size_t kMaxTokenVectorBytes = size_t{512} << 10;
constexpr absl::Duration kProgressInterval = absl::Milliseconds(250);

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

}  // namespace

// Turns a document's results into messages. Its methods come from worker
// threads, one at a time.
class EncodeStreamReactor::Sink : public EncodeSink {
 public:
  Sink(const ServiceContext& context,
       std::shared_ptr<EncodeStreamReactor> stream,
       std::shared_ptr<Admission::Permit> permit)
      : service_(context),
        stream_(std::move(stream)),
        permit_(std::move(permit)),
        recorder_(context.metrics),
        last_progress_(absl::Now()) {}

  void OnChunk(ChunkResult chunk) override {
    v1::EncodeStreamResponse response;
    *response.mutable_chunk() = ToProto(chunk);
    Send(std::move(response));
  }

  void OnTokens(TokenResult tokens) override {
    const size_t max_bytes = std::min<size_t>(
        kMaxTokenVectorBytes, service_.limits.max_message_bytes / 2);
    for (v1::TokenVectors& proto : ToProto(tokens, max_bytes)) {
      v1::EncodeStreamResponse response;
      *response.mutable_token_vectors() = std::move(proto);
      Send(std::move(response));
    }
  }

  void OnHeadWeights(HeadWeightsResult weights) override {
    v1::EncodeStreamResponse response;
    *response.mutable_head_retrieval_weights() = ToProto(weights);
    Send(std::move(response));
  }

  void OnSpan(SpanResult span) override {
    v1::EncodeStreamResponse response;
    *response.mutable_span_vector() = ToProto(span);
    Send(std::move(response));
  }

  void OnProgress(const EncodeProgress& progress) override {
    recorder_.OnProgress(progress);
    permit_->OnProgress(progress.received_bytes, progress.received_tokens,
                        progress.encoded_tokens);
    const absl::Time now = absl::Now();
    if (now - last_progress_ < kProgressInterval || !stream_->HasRoom()) return;
    last_progress_ = now;
    v1::EncodeStreamResponse response;
    *response.mutable_progress() = ToProto(progress);
    Send(std::move(response));
  }

  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    recorder_.OnDone(summary);
    permit_.reset();
    if (!summary.ok()) return stream_->Close(summary.status());
    v1::EncodeStreamResponse response;
    v1::EncodeStreamResult* result = response.mutable_result();
    result->set_document_vector(FloatBytes(summary->document_vector.data(),
                                           summary->document_vector.size()));
    *result->mutable_summary() = ToProto(*summary, service_.model);
    stream_->AddWork(WorkOf(result->summary()));
    Send(std::move(response));
    stream_->Close(absl::OkStatus());
  }

  bool CanAccept() override { return stream_->HasRoom(); }

 private:
  void Send(v1::EncodeStreamResponse response) {
    const size_t size = response.ByteSizeLong();
    const uint64_t limit =
        std::min(kMaxMessageBytes, service_.limits.max_message_bytes);
    if (size > limit) {
      return stream_->Abort(ResponseTooLarge(
          "ask for fewer outputs or for longer chunks", size, limit));
    }
    stream_->Send(std::move(response));
  }

  const ServiceContext& service_;
  const std::shared_ptr<EncodeStreamReactor> stream_;
  std::shared_ptr<Admission::Permit> permit_;
  DocumentRecorder recorder_;
  absl::Time last_progress_;
};

EncodeStreamReactor* EncodeStreamReactor::Start(
    const ServiceContext& service, grpc::CallbackServerContext* call) {
  std::shared_ptr<EncodeStreamReactor> reactor(
      new EncodeStreamReactor(service, call));
  // What it works on comes in messages.
  return Launch(std::move(reactor),
                [](EncodeStreamReactor&) { return absl::OkStatus(); });
}

EncodeStreamReactor::EncodeStreamReactor(const ServiceContext& service,
                                         grpc::CallbackServerContext* call)
    : StreamReactor(service, service.metrics.encode_stream, call) {}

std::shared_ptr<EncodeStreamReactor> EncodeStreamReactor::Shared() {
  return std::static_pointer_cast<EncodeStreamReactor>(shared_from_this());
}

void EncodeStreamReactor::OnMessage(v1::EncodeStreamRequest& request) {
  std::shared_ptr<Document> document = document_.Get();
  absl::Status status;
  if (document == nullptr) {
    status = request.has_config()
                 ? Configure(request.config())
                 : Invalid("CONFIG_EXPECTED",
                           "the first message of a stream must be config");
  } else {
    status = Append(*document, request);
  }
  if (!status.ok()) Abort(status);
}

absl::Status EncodeStreamReactor::Configure(const v1::EncodeOptions& proto) {
  LH_ASSIGN_OR_RETURN(EncodeOptions options, FromProto(proto, service().model));
  Admission::Request request = AdmissionRequest(caller(), deadline(), {});
  request.is_stream = true;
  document_.SetTicket(EnterAdmission(
      service(), std::move(request),
      [self = Shared(), options = std::move(options)](
          std::shared_ptr<Admission::Permit> permit) -> absl::Status {
        LH_RETURN_IF_ERROR(self->Open(options, std::move(permit)));
        self->ReadNext();
        return absl::OkStatus();
      },
      [self = Shared()](const absl::Status& why) { self->Abort(why); }));
  return absl::OkStatus();
}

absl::Status EncodeStreamReactor::Open(
    const EncodeOptions& options, std::shared_ptr<Admission::Permit> permit) {
  absl::StatusOr<std::shared_ptr<Document>> document = service().encoder.Open(
      options, deadline(),
      std::make_shared<Sink>(service(), Shared(), std::move(permit)));
  DocumentRecorder::RecordOpen(document.status(), service().metrics);
  if (!document.ok()) return document.status();
  document_.Set(*std::move(document));
  return absl::OkStatus();
}

absl::Status EncodeStreamReactor::Append(Document& document,
                                         v1::EncodeStreamRequest& request) {
  absl::AnyInvocable<void()> consumed =
      [weak = std::weak_ptr<EncodeStreamReactor>(Shared())] {
        if (auto self = weak.lock()) self->ReadNext();
      };
  switch (request.payload_case()) {
    case v1::EncodeStreamRequest::kText:
      document.Append(std::move(*request.mutable_text()), std::move(consumed));
      return absl::OkStatus();
    case v1::EncodeStreamRequest::kTokenIds:
      document.AppendIds(FromProto(request.token_ids()), std::move(consumed));
      return absl::OkStatus();
    case v1::EncodeStreamRequest::kConfig:
      return Invalid("CONFIG_REPEATED",
                     "only the first message of a stream may be config");
    case v1::EncodeStreamRequest::PAYLOAD_NOT_SET:
      break;
  }
  return Invalid("CONTENT_MISSING", "set text or token_ids");
}

void EncodeStreamReactor::OnEnd() {
  if (std::shared_ptr<Document> document = document_.Get()) {
    document->Finish();
  } else {
    Abort(Invalid("CONFIG_EXPECTED",
                  "the stream ended without a message; send config first, "
                  "then the document"));
  }
}

void EncodeStreamReactor::OnAbort(const absl::Status& why) {
  document_.Cancel(why);
}

void EncodeStreamReactor::OnRoom() {
  if (std::shared_ptr<Document> document = document_.Get()) {
    document->ResumeOutput();
  }
}

void EncodeStreamReactor::OnFinished() { document_.Release(); }

}  // namespace longhand
