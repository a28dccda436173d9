#include "server/whole_document.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

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

  // The document to cancel when the response gets too large. Call before
  // feeding it.
  void Bind(const std::shared_ptr<Document>& document) { document_ = document; }

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
  }

  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    recorder_.OnDone(summary);
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

}  // namespace

absl::StatusOr<std::shared_ptr<Document>> EncodeWholeDocument(
    const ServiceContext& context, const v1::EncodeRequest& request,
    absl::Time deadline, ResponseLimit limit, Done done) {
  LH_ASSIGN_OR_RETURN(EncodeOptions options,
                      FromProto(request.options(), context.model));
  LH_ASSIGN_OR_RETURN(Content content, ContentFromProto(request));
  auto collector =
      std::make_shared<ResponseCollector>(context, limit, std::move(done));
  absl::StatusOr<std::shared_ptr<Document>> document =
      context.encoder.Open(options, deadline, collector);
  DocumentRecorder::RecordOpen(document.status(), context.metrics);
  if (!document.ok()) return document.status();
  collector->Bind(*document);
  Feed(**document, std::move(content));
  return document;
}

}  // namespace longhand
