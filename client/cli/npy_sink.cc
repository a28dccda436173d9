#include "client/cli/npy_sink.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/json_output.h"
#include "client/cli/npy_writer.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

absl::Status BadWeights() {
  return MakeClientError(
      absl::StatusCode::kDataLoss, "BAD_VECTOR",
      "the server sent retrieval weights that do not fit the document's chunks "
      "or the model's heads");
}

class NpySink : public ResultSink {
 public:
  static absl::StatusOr<std::unique_ptr<ResultSink>> Create(
      const SinkContext& context) {
    std::unique_ptr<NpySink> sink(new NpySink(context));
    LH_CLIENT_ASSIGN_OR_RETURN(sink->writer_,
                               NpyWriter::Create(context.output));
    if (!context.flags->row_spans.empty()) {
      LH_CLIENT_ASSIGN_OR_RETURN(sink->row_spans_,
                                 FileOutput::Open(context.flags->row_spans));
    }
    return sink;
  }

  absl::Status OnChunk(Chunk chunk) override {
    if (row_spans_ != nullptr) {
      chunk_spans_.push_back(ToJson(chunk, /*span_only=*/true));
    }
    if (what_ == "weights") {
      weights_.push_back(std::move(chunk.retrieval_weights));
    }
    if (what_ != "chunks") return absl::OkStatus();
    return writer_->Append(chunk.vector, chunk.vector.size());
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    if (what_ != "tokens" || tokens.ids.empty()) return absl::OkStatus();
    if (row_spans_ != nullptr) AddTokenSpans(tokens);
    return writer_->Append(tokens.vectors,
                           tokens.vectors.size() / tokens.ids.size());
  }

  absl::Status OnSpan(SpanVector span) override {
    if (what_ == "spans") spans_.push_back(std::move(span));
    return absl::OkStatus();
  }

  absl::Status OnHeadWeights(HeadWeights weights) override {
    if (what_ == "head_weights") head_weights_.push_back(std::move(weights));
    return absl::OkStatus();
  }

  absl::Status Finish(const EncodeResult& result, absl::Duration) override {
    LH_CLIENT_RETURN_IF_ERROR(FinishRows(result));
    if (row_spans_ == nullptr) return absl::OkStatus();
    Json json = {{"format", "longhand.spans.v1"},
                 {"rows", what_},
                 {"chunks", std::move(chunk_spans_)}};
    if (what_ == "tokens") json["tokens"] = std::move(token_spans_);
    if (what_ == "spans") {
      Json spans = Json::array();
      for (const SpanVector& span : spans_) {
        spans.push_back(ToJson(span, /*span_only=*/true));
      }
      json["spans"] = std::move(spans);
    }
    LH_CLIENT_RETURN_IF_ERROR(row_spans_->Write(Dump(json) + "\n"));
    return row_spans_->Commit();
  }

 private:
  explicit NpySink(const SinkContext& context)
      : what_(context.flags->what.empty() ? "chunks" : context.flags->what),
        layers_(context.layers),
        heads_(context.heads) {}

  // What could not be written as it came, and the header.
  absl::Status FinishRows(const EncodeResult& result) {
    const size_t chunks = result.summary.chunk_count();
    if (what_ == "document") {
      const std::vector<float>& vector = result.document_vector;
      LH_CLIENT_RETURN_IF_ERROR(writer_->Append(vector, vector.size()));
      return writer_->Finish({vector.size()});
    }
    if (what_ == "spans") {
      std::sort(spans_.begin(), spans_.end(),
                [](const SpanVector& a, const SpanVector& b) {
                  return a.index < b.index;
                });
      for (const SpanVector& span : spans_) {
        LH_CLIENT_RETURN_IF_ERROR(
            writer_->Append(span.vector, span.vector.size()));
      }
    }
    if (what_ == "weights") {
      for (const std::vector<float>& row : weights_) {
        LH_CLIENT_RETURN_IF_ERROR(AppendPadded(row, 1, chunks));
      }
    }
    if (what_ == "head_weights") return FinishHeadWeights(chunks);
    return writer_->Finish();
  }

  absl::Status FinishHeadWeights(size_t chunks) {
    // By chunk and layer; a layer that is missing retrieved nothing.
    std::vector<const HeadWeights*> by_place(chunks * layers_);
    for (const HeadWeights& weights : head_weights_) {
      if (weights.chunk_index >= chunks || weights.layer >= layers_) {
        return BadWeights();
      }
      by_place[weights.chunk_index * layers_ + weights.layer] = &weights;
    }
    const std::vector<float> none;
    for (const HeadWeights* weights : by_place) {
      LH_CLIENT_RETURN_IF_ERROR(AppendPadded(
          weights == nullptr ? none : weights->weights, heads_, chunks));
    }
    return writer_->Finish({chunks, layers_, heads_, chunks});
  }

  // values: [rows, any]; appends [rows, width], filled up with 0.
  absl::Status AppendPadded(const std::vector<float>& values, size_t rows,
                            size_t width) {
    const size_t given = rows == 0 ? 0 : values.size() / rows;
    if (rows == 0 || values.size() % rows != 0 || given > width) {
      return BadWeights();
    }
    std::vector<float> padded(rows * width);
    for (size_t row = 0; row < rows; ++row) {
      std::copy_n(values.begin() + static_cast<ptrdiff_t>(row * given), given,
                  padded.begin() + static_cast<ptrdiff_t>(row * width));
    }
    return writer_->Append(padded, width);
  }

  void AddTokenSpans(const TokenVectors& tokens) {
    for (size_t i = 0; i < tokens.ids.size(); ++i) {
      Json span = {{"id", tokens.ids[i]}, {"chunk_index", tokens.chunk_index}};
      if (!tokens.begin_bytes.empty()) {
        span["begin_byte"] = tokens.begin_bytes[i];
        span["end_byte"] = tokens.end_bytes[i];
      }
      token_spans_.push_back(std::move(span));
    }
  }

  const std::string what_;
  const size_t layers_;
  const size_t heads_;
  std::unique_ptr<NpyWriter> writer_;
  std::unique_ptr<FileOutput> row_spans_;  // null: not asked for
  Json chunk_spans_ = Json::array();
  Json token_spans_ = Json::array();
  std::vector<std::vector<float>> weights_;  // by chunk
  std::vector<SpanVector> spans_;
  std::vector<HeadWeights> head_weights_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ResultSink>> MakeNpySink(
    const SinkContext& context) {
  return NpySink::Create(context);
}

}  // namespace longhand::client
