#include "client/cli/result_sink.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/npy_sink.h"
#include "client/cli/table_sink.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// The keys of json and of jsonl's last line that are not chunks or tokens.
Json ResultHead(const SinkContext& context, const EncodeResult& result,
                absl::Duration client_time) {
  if (context.account != nullptr) return context.account->head;
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

  absl::Status OnSpan(SpanVector span) override {
    spans_.push_back(std::move(span));
    return absl::OkStatus();
  }

  absl::Status OnHeadWeights(HeadWeights weights) override {
    head_weights_.push_back(std::move(weights));
    return absl::OkStatus();
  }

  absl::Status Finish(const EncodeResult& result,
                      absl::Duration client_time) override {
    Json head = {{"format", context_.account != nullptr
                                ? context_.account->format
                                : "longhand.encode.v1"}};
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
    if (!spans_.empty()) {
      LH_CLIENT_RETURN_IF_ERROR(
          WriteArray("span_vectors", spans_, [](const SpanVector& span) {
            return ToJson(span, /*span_only=*/false);
          }));
    }
    if (!head_weights_.empty()) {
      LH_CLIENT_RETURN_IF_ERROR(WriteArray(
          "head_weights", head_weights_, [this](const HeadWeights& weights) {
            return ToJson(weights, context_.heads);
          }));
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
  std::vector<SpanVector> spans_;
  std::vector<HeadWeights> head_weights_;
};

class JsonLinesSink : public ResultSink {
 public:
  explicit JsonLinesSink(const SinkContext& context) : context_(context) {}

  absl::Status OnChunk(Chunk chunk) override {
    return WriteLine("chunk", ToJson(chunk, /*span_only=*/false));
  }

  absl::Status OnProvisionalChunk(Chunk chunk) override {
    return WriteLine("provisional_chunk", ToJson(chunk, /*span_only=*/false));
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    return WriteLine("token_vectors", ToJson(tokens));
  }

  absl::Status OnSpan(SpanVector span) override {
    return WriteLine("span_vector", ToJson(span, /*span_only=*/false));
  }

  absl::Status OnHeadWeights(HeadWeights weights) override {
    return WriteLine("head_weights", ToJson(weights, context_.heads));
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

}  // namespace

absl::StatusOr<std::unique_ptr<ResultSink>> MakeResultSink(
    const SinkContext& context) {
  const std::string& format = context.flags->format;
  if (format == "npy") return MakeNpySink(context);
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
