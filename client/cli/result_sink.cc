#include "client/cli/result_sink.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/json_output.h"
#include "client/cli/npy_writer.h"
#include "client/cli/table_sink.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// The keys of json and of jsonl's last line that are not chunks or tokens.
Json ResultHead(const SinkContext& context, const EncodeResult& result,
                absl::Duration client_time) {
  Json vector;  // null
  if (!result.document_vector.empty()) vector = result.document_vector;
  return {{"input",
           {{"name", context.input->name()},
            {"bytes", result.summary.received_bytes()}}},
          {"options", ToJson(result.summary.options())},
          {"summary", ToJson(result.summary, client_time)},
          {"document_vector", std::move(vector)}};
}

// Holds the values and writes them at the end, so that a failed run leaves no
// half object on standard output.
class JsonSink : public ResultSink {
 public:
  explicit JsonSink(const SinkContext& context) : context_(context) {}

  absl::Status OnChunk(Chunk chunk) override {
    chunks_.push_back(std::move(chunk));
    return absl::OkStatus();
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    tokens_.push_back(std::move(tokens));
    return absl::OkStatus();
  }

  absl::Status Finish(const EncodeResult& result,
                      absl::Duration client_time) override {
    Json head = {{"format", "longhand.encode.v1"}};
    head.update(ResultHead(context_, result, client_time));
    std::string text = Dump(head);
    text.pop_back();  // the object goes on
    LH_CLIENT_RETURN_IF_ERROR(context_.output->Write(text));
    LH_CLIENT_RETURN_IF_ERROR(WriteArray(
        "chunks", chunks_,
        [](const Chunk& chunk) { return ToJson(chunk, /*span_only=*/false); }));
    if (!tokens_.empty()) {
      LH_CLIENT_RETURN_IF_ERROR(WriteArray(
          "token_vectors", tokens_,
          [](const TokenVectors& tokens) { return ToJson(tokens); }));
    }
    return context_.output->Write("}\n");
  }

 private:
  template <typename Value, typename Convert>
  absl::Status WriteArray(const std::string& key,
                          const std::vector<Value>& values, Convert convert) {
    LH_CLIENT_RETURN_IF_ERROR(
        context_.output->Write(absl::StrCat(",\"", key, "\":[")));
    const char* separator = "";
    for (const Value& value : values) {
      LH_CLIENT_RETURN_IF_ERROR(context_.output->Write(
          absl::StrCat(separator, Dump(convert(value)))));
      separator = ",";
    }
    return context_.output->Write("]");
  }

  const SinkContext context_;
  std::vector<Chunk> chunks_;
  std::vector<TokenVectors> tokens_;
};

class JsonLinesSink : public ResultSink {
 public:
  explicit JsonLinesSink(const SinkContext& context) : context_(context) {}

  absl::Status OnChunk(Chunk chunk) override {
    return WriteLine("chunk", ToJson(chunk, /*span_only=*/false));
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    return WriteLine("token_vectors", ToJson(tokens));
  }

  absl::Status Finish(const EncodeResult& result,
                      absl::Duration client_time) override {
    return WriteLine("result", ResultHead(context_, result, client_time));
  }

 private:
  absl::Status WriteLine(const char* type, const Json& value) {
    Json line = {{"type", type}};
    line.update(value);
    LH_CLIENT_RETURN_IF_ERROR(context_.output->Write(Dump(line) + "\n"));
    // Readers of a pipe get each result as soon as it is there.
    return context_.output->Flush();
  }

  const SinkContext context_;
};

class NpySink : public ResultSink {
 public:
  static absl::StatusOr<std::unique_ptr<ResultSink>> Create(
      const SinkContext& context) {
    std::unique_ptr<NpySink> sink(new NpySink(context));
    LH_CLIENT_ASSIGN_OR_RETURN(sink->writer_,
                               NpyWriter::Create(context.output));
    if (!context.flags->spans.empty()) {
      LH_CLIENT_ASSIGN_OR_RETURN(sink->spans_,
                                 FileOutput::Open(context.flags->spans));
    }
    return sink;
  }

  absl::Status OnChunk(Chunk chunk) override {
    if (spans_ != nullptr) {
      chunk_spans_.push_back(ToJson(chunk, /*span_only=*/true));
    }
    if (what_ != "chunks") return absl::OkStatus();
    return writer_->Append(chunk.vector, chunk.vector.size());
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    if (what_ != "tokens" || tokens.ids.empty()) return absl::OkStatus();
    if (spans_ != nullptr) AddTokenSpans(tokens);
    return writer_->Append(tokens.vectors,
                           tokens.vectors.size() / tokens.ids.size());
  }

  absl::Status Finish(const EncodeResult& result, absl::Duration) override {
    const bool document = what_ == "document";
    if (document) {
      LH_CLIENT_RETURN_IF_ERROR(writer_->Append(result.document_vector,
                                                result.document_vector.size()));
    }
    LH_CLIENT_RETURN_IF_ERROR(writer_->Finish(/*flat=*/document));
    if (spans_ == nullptr) return absl::OkStatus();
    Json spans = {{"format", "longhand.spans.v1"},
                  {"rows", what_},
                  {"chunks", std::move(chunk_spans_)}};
    if (what_ == "tokens") spans["tokens"] = std::move(token_spans_);
    LH_CLIENT_RETURN_IF_ERROR(spans_->Write(Dump(spans) + "\n"));
    return spans_->Commit();
  }

 private:
  explicit NpySink(const SinkContext& context)
      : what_(context.flags->what.empty() ? "chunks" : context.flags->what) {}

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
  std::unique_ptr<NpyWriter> writer_;
  std::unique_ptr<FileOutput> spans_;  // null: not asked for
  Json chunk_spans_ = Json::array();
  Json token_spans_ = Json::array();
};

}  // namespace

absl::StatusOr<std::unique_ptr<ResultSink>> MakeResultSink(
    const SinkContext& context) {
  const std::string& format = context.flags->format;
  if (format == "npy") return NpySink::Create(context);
  std::unique_ptr<ResultSink> sink;
  if (format == "json") {
    sink = std::make_unique<JsonSink>(context);
  } else if (format == "jsonl") {
    sink = std::make_unique<JsonLinesSink>(context);
  } else {
    sink = MakeTableSink(context);
  }
  return sink;
}

}  // namespace longhand::client
