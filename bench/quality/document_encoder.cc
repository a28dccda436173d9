#include "bench/quality/document_encoder.h"

#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

// Keeps the chunks of one document and lets the caller wait for the end.
class VectorSink : public EncodeSink {
 public:
  void OnChunk(ChunkResult chunk) override {
    absl::MutexLock lock(&mu_);
    result_.spans.push_back({chunk.begin_byte, chunk.end_byte});
    result_.vectors.insert(result_.vectors.end(), chunk.vector.begin(),
                           chunk.vector.end());
  }
  void OnTokens(TokenResult) override {}
  void OnHeadWeights(HeadWeightsResult) override {}
  void OnSpan(SpanResult) override {}
  void OnProgress(const EncodeProgress&) override {}
  void OnDone(absl::StatusOr<EncodeSummary> summary) override {
    absl::MutexLock lock(&mu_);
    if (summary.ok()) result_.encoded_tokens = summary->encoded_tokens;
    status_ = summary.status();
  }

  absl::StatusOr<DocumentVectors> Wait() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](VectorSink* self) { return self->status_.has_value(); }, this));
    LH_RETURN_IF_ERROR(*status_);
    return std::move(result_);
  }

 private:
  absl::Mutex mu_;
  DocumentVectors result_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);
};

void NormalizeRows(size_t rows, std::vector<float>* values) {
  const size_t width = rows == 0 ? 0 : values->size() / rows;
  for (size_t row = 0; row < rows; ++row) {
    float* const v = values->data() + row * width;
    double sum = 0;
    for (size_t i = 0; i < width; ++i) sum += double{v[i]} * v[i];
    const float scale = sum > 0 ? static_cast<float>(1 / std::sqrt(sum)) : 0;
    for (size_t i = 0; i < width; ++i) v[i] *= scale;
  }
}

// A document under way; dropping it early cancels it.
struct Running {
  std::shared_ptr<VectorSink> sink;
  std::shared_ptr<Document> document;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DocumentEncoder>> DocumentEncoder::Create(
    std::shared_ptr<const Model> model, int workers) {
  EncoderOptions options;
  options.workers = workers;
  LH_ASSIGN_OR_RETURN(std::unique_ptr<Encoder> encoder,
                      Encoder::Create(std::move(model), options));
  return std::unique_ptr<DocumentEncoder>(
      new DocumentEncoder(std::move(encoder)));
}

absl::StatusOr<std::vector<DocumentVectors>> DocumentEncoder::Encode(
    absl::Span<const std::string> texts, const EncodeOptions& options) {
  EncodeOptions wanted = options;
  wanted.document_vector = false;
  wanted.chunk_vectors = true;
  const size_t window = 2 * encoder_->options().workers;
  std::vector<Running> running(texts.size());
  std::vector<DocumentVectors> results;
  for (size_t i = 0; i < texts.size() + window; ++i) {
    if (i < texts.size()) {
      running[i].sink = std::make_shared<VectorSink>();
      LH_ASSIGN_OR_RETURN(
          running[i].document,
          encoder_->Open(wanted, absl::InfiniteFuture(), running[i].sink));
      running[i].document->Append(texts[i]);
      running[i].document->Finish();
    }
    if (i < window || i - window >= texts.size()) continue;
    Running& oldest = running[i - window];
    absl::StatusOr<DocumentVectors> result = oldest.sink->Wait();
    if (!result.ok()) {
      return WithContext(result.status(), "TEXT_REFUSED",
                         absl::StrCat("text ", i - window + 1));
    }
    oldest = {};
    NormalizeRows(result->spans.size(), &result->vectors);
    results.push_back(*std::move(result));
  }
  return results;
}

absl::StatusOr<std::vector<DocumentVectors>> DocumentEncoder::EncodeWhole(
    absl::Span<const std::string> texts, const EncodeOptions& options) {
  LH_ASSIGN_OR_RETURN(std::vector<DocumentVectors> results,
                      Encode(texts, options));
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].spans.size() == 1) continue;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "TEXT_TOO_LONG",
        absl::StrCat("text ", i + 1, " makes ", results[i].spans.size(),
                     " chunks, not one; raise chunk_tokens"));
  }
  return results;
}

}  // namespace longhand::quality
