#include "server/whole_document.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"
#include "server/call.h"
#include "server/convert.h"

namespace longhand {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<v1::EncodeResponse>)>;

// Gathers one document's results. Its methods come from worker threads, one at
// a time.
class ResponseCollector : public EncodeSink {
 public:
  ResponseCollector(const ServiceContext& context, ResponseLimit limit,
                    Done done)
      : model_(context.model),
        limit_(limit),
        done_(std::move(done)),
        recorder_(context.metrics) {}

  // The place, given back when the document has ended. Call before opening it.
  void Hold(std::shared_ptr<Admission::Permit> permit) {
    permit_ = std::move(permit);
  }
  // The document to cancel when the response gets too large. Call before
  // feeding it.
  void Bind(const std::shared_ptr<Document>& document) { document_ = document; }
  // In place of OnDone, for a document that could not be opened.
  void Fail(const absl::Status& why) {
    permit_.reset();
    std::move(done_)(why);
  }

  void OnChunk(ChunkResult chunk) override {
    v1::Chunk proto = ToProto(chunk);
    if (Reserve(proto.ByteSizeLong())) {
      *response_.add_chunks() = std::move(proto);
    }
  }

  void OnTokens(TokenResult tokens) override {
    // One entry per chunk.
    constexpr size_t kWhole = std::numeric_limits<size_t>::max();
    for (v1::TokenVectors& proto : ToProto(tokens, kWhole)) {
      if (Reserve(proto.ByteSizeLong())) {
        *response_.add_token_vectors() = std::move(proto);
      }
    }
  }

  void OnHeadWeights(HeadWeightsResult weights) override {
    v1::HeadRetrievalWeights proto = ToProto(weights);
    if (Reserve(proto.ByteSizeLong())) {
      *response_.add_head_retrieval_weights() = std::move(proto);
    }
  }

  void OnSpan(SpanResult span) override {
    v1::SpanVector proto = ToProto(span);
    if (Reserve(proto.ByteSizeLong())) {
      *response_.add_span_vectors() = std::move(proto);
    }
  }

  void OnProgress(const EncodeProgress& progress) override {
    recorder_.OnProgress(progress);
    permit_->OnProgress(progress.received_bytes, progress.received_tokens,
                        progress.encoded_tokens);
  }

  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    recorder_.OnDone(summary);
    permit_.reset();
    if (!too_large_.ok()) return std::move(done_)(too_large_);
    if (!summary.ok()) return std::move(done_)(summary.status());
    response_.set_document_vector(FloatBytes(summary->document_vector.data(),
                                             summary->document_vector.size()));
    *response_.mutable_summary() = ToProto(*summary, model_);
    const size_t size = response_.ByteSizeLong();
    if (size > limit_.max_bytes) {
      return std::move(done_)(
          ResponseTooLarge(limit_.advice, size, limit_.max_bytes));
    }
    std::move(done_)(std::move(response_));
  }

 private:
  // Whether a part of `size` bytes still fits; cancels the document if not.
  bool Reserve(size_t size) {
    constexpr size_t kFieldOverhead = 6;  // tag and length
    size_ += size + kFieldOverhead;
    if (size_ <= limit_.max_bytes) return true;
    if (too_large_.ok()) {
      too_large_ = ResponseTooLarge(limit_.advice, size_, limit_.max_bytes);
      response_.Clear();
      if (auto document = document_.lock()) document->Cancel(too_large_);
    }
    return false;
  }

  const ServedModel& model_;
  const ResponseLimit limit_;
  Done done_;
  DocumentRecorder recorder_;
  std::shared_ptr<Admission::Permit> permit_;
  std::weak_ptr<Document> document_;
  v1::EncodeResponse response_;
  uint64_t size_ = 0;
  absl::Status too_large_;
};

void Feed(Document& document, Content content) {
  if (auto* text = std::get_if<std::string>(&content)) {
    document.Append(std::move(*text));
  } else {
    document.AppendIds(std::get<std::vector<int32_t>>(std::move(content)));
  }
  document.Finish();
}

// A document on its way to the encoder.
struct Waiting {
  const ServiceContext& service;
  EncodeOptions options;
  Content content;
  absl::Time deadline;
  std::shared_ptr<ResponseCollector> collector;
  std::shared_ptr<DocumentSlot> slot;
};

// An error if it could not be opened; else the collector hears of its end.
absl::Status Begin(Waiting waiting, std::shared_ptr<Admission::Permit> permit) {
  waiting.collector->Hold(std::move(permit));
  absl::StatusOr<std::shared_ptr<Document>> document;
  const absl::Status opening = CatchOutOfMemory([&] {
    document = waiting.service.encoder.Open(waiting.options, waiting.deadline,
                                            waiting.collector);
  });
  if (!opening.ok()) document = opening;
  DocumentRecorder::RecordOpen(document.status(), waiting.service.metrics);
  LH_RETURN_IF_ERROR(document.status());
  waiting.collector->Bind(*document);
  waiting.slot->Set(*document);
  const absl::Status feeding =
      CatchOutOfMemory([&] { Feed(**document, std::move(waiting.content)); });
  if (!feeding.ok()) (*document)->Cancel(feeding);
  return absl::OkStatus();
}

}  // namespace

CallWork WorkOf(const v1::EncodeSummary& summary) {
  const auto duration = [](const google::protobuf::Duration& proto) {
    return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
  };
  return {.queue = duration(summary.timings().queue()),
          .compute = duration(summary.timings().compute()),
          .tokens = summary.encoded_tokens()};
}

absl::Status EncodeWholeDocument(const WholeDocumentCall& call,
                                 const v1::EncodeRequest& request, Done done) {
  const ServiceContext& service = call.service;
  LH_ASSIGN_OR_RETURN(EncodeOptions options,
                      FromProto(request.options(), service.model));
  LH_ASSIGN_OR_RETURN(Content content, ContentFromProto(request));
  Admission::Request admission = AdmissionRequest(
      call.caller, call.deadline, SizeOf(content, service.admission));
  const auto collector =
      std::make_shared<ResponseCollector>(service, call.limit, std::move(done));
  Waiting waiting{service,       std::move(options), std::move(content),
                  call.deadline, collector,          call.slot};
  call.slot->SetTicket(EnterAdmission(
      service, std::move(admission),
      [waiting = std::move(waiting)](
          std::shared_ptr<Admission::Permit> permit) mutable {
        return Begin(std::move(waiting), std::move(permit));
      },
      [collector](const absl::Status& why) { collector->Fail(why); }));
  return absl::OkStatus();
}

}  // namespace longhand
