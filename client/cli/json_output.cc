#include "client/cli/json_output.h"

#include <cstddef>
#include <utility>

namespace longhand::client {
namespace {

constexpr std::pair<v1::Visibility, const char*> kVisibilities[] = {
    {v1::VISIBILITY_CAUSAL, "causal"},
    {v1::VISIBILITY_BIDIRECTIONAL, "bidirectional"}};

constexpr std::pair<v1::Output, const char*> kOutputs[] = {
    {v1::OUTPUT_DOCUMENT_VECTOR, "document"},
    {v1::OUTPUT_CHUNK_VECTORS, "chunks"},
    {v1::OUTPUT_TOKEN_VECTORS, "tokens"},
    {v1::OUTPUT_RETRIEVAL_WEIGHTS, "weights"}};

template <typename Table, typename Value>
std::string FindName(const Table& table, Value value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) return name;
  }
  return "";
}

float Seconds(const google::protobuf::Duration& duration) {
  return static_cast<float>(absl::ToDoubleSeconds(ToDuration(duration)));
}

}  // namespace

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false,
                   Json::error_handler_t::replace);
}

Json ToJson(const Chunk& chunk, bool span_only) {
  Json json = {{"index", chunk.index},
               {"begin_byte", chunk.begin_byte},
               {"end_byte", chunk.end_byte},
               {"begin_token", chunk.begin_token},
               {"end_token", chunk.end_token}};
  if (span_only) return json;
  json["norm"] = chunk.norm;
  if (!chunk.vector.empty()) json["vector"] = chunk.vector;
  if (!chunk.retrieval_weights.empty()) {
    json["retrieval_weights"] = chunk.retrieval_weights;
  }
  return json;
}

Json ToJson(const TokenVectors& tokens) {
  Json rows = Json::array();
  const size_t count = tokens.ids.size();
  const size_t width = count == 0 ? 0 : tokens.vectors.size() / count;
  for (size_t i = 0; i < count; ++i) {
    const auto row = tokens.vectors.begin() + static_cast<ptrdiff_t>(i * width);
    rows.push_back(
        std::vector<float>(row, row + static_cast<ptrdiff_t>(width)));
  }
  return {{"chunk_index", tokens.chunk_index},
          {"begin_token", tokens.begin_token},
          {"ids", tokens.ids},
          {"begin_bytes", tokens.begin_bytes},
          {"end_bytes", tokens.end_bytes},
          {"vectors", std::move(rows)}};
}

Json ToJson(const v1::EncodeOptions& options) {
  Json outputs = Json::array();
  for (const int output : options.outputs()) {
    outputs.push_back(ToName(static_cast<v1::Output>(output)));
  }
  Json json = {{"model", options.model()},
               {"mechanism", options.mechanism()},
               {"visibility", ToName(options.visibility())},
               {"chunker", options.chunker()},
               {"pooling", options.pooling()},
               {"outputs", std::move(outputs)}};
  if (options.has_gate()) json["gate"] = options.gate();
  if (options.has_chunk_tokens()) json["chunk_tokens"] = options.chunk_tokens();
  return json;
}

Json ToJson(const v1::EncodeSummary& summary, absl::Duration client_time) {
  const v1::EncodeTimings& timings = summary.timings();
  return {{"received_bytes", summary.received_bytes()},
          {"received_tokens", summary.received_tokens()},
          {"encoded_tokens", summary.encoded_tokens()},
          {"reused_tokens", summary.reused_tokens()},
          {"chunk_count", summary.chunk_count()},
          {"state_bytes", summary.state_bytes()},
          {"hidden_size", summary.hidden_size()},
          {"model_fingerprint", summary.model_fingerprint()},
          {"timings",
           {{"total", Seconds(timings.total())},
            {"queue", Seconds(timings.queue())},
            {"tokenize", Seconds(timings.tokenize())},
            {"compute", Seconds(timings.compute())},
            {"pool", Seconds(timings.pool())}}},
          {"client_seconds",
           static_cast<float>(absl::ToDoubleSeconds(client_time))},
          {"tokens_per_second",
           static_cast<float>(Rate(summary.received_tokens(), client_time))},
          {"compute_tokens_per_second",
           static_cast<float>(
               Rate(summary.encoded_tokens(), ToDuration(timings.compute())))}};
}

Json ToJson(const v1::Model& model) {
  const auto names = [](const auto& field) {
    return std::vector<std::string>(field.begin(), field.end());
  };
  return {{"name", model.name()},
          {"fingerprint", model.fingerprint()},
          {"family", model.family()},
          {"hidden_size", model.hidden_size()},
          {"layer_count", model.layer_count()},
          {"head_count", model.head_count()},
          {"vocab_size", model.vocab_size()},
          {"max_chunk_tokens", model.max_chunk_tokens()},
          {"special_tokens_per_chunk", model.special_tokens_per_chunk()},
          {"precision",
           {{"requested", model.precision().requested()},
            {"stored", model.precision().stored()},
            {"effective", model.precision().effective()}}},
          {"default_options", ToJson(model.default_options())},
          {"mechanisms", names(model.mechanisms())},
          {"chunkers", names(model.chunkers())},
          {"poolings", names(model.poolings())},
          {"normalized", model.normalized()},
          {"limits",
           {{"max_message_bytes", model.limits().max_message_bytes()},
            {"max_document_bytes", model.limits().max_document_bytes()},
            {"max_working_bytes", model.limits().max_working_bytes()},
            {"max_concurrent_documents",
             model.limits().max_concurrent_documents()}}},
          {"runtime",
           {{"server_version", model.runtime().server_version()},
            {"onednn_version", model.runtime().onednn_version()},
            {"isa", model.runtime().isa()},
            {"worker_count", model.runtime().worker_count()}}}};
}

Json ToJson(const v1::TokenizeResponse& tokens) {
  Json json = Json::array();
  for (int i = 0; i < tokens.ids_size(); ++i) {
    Json token = {{"id", tokens.ids(i)}};
    if (i < tokens.begin_bytes_size() && i < tokens.end_bytes_size()) {
      token["begin_byte"] = tokens.begin_bytes(i);
      token["end_byte"] = tokens.end_bytes(i);
    }
    if (i < tokens.tokens_size()) token["token"] = tokens.tokens(i);
    json.push_back(std::move(token));
  }
  return json;
}

std::string ToName(v1::Visibility visibility) {
  return FindName(kVisibilities, visibility);
}

v1::Visibility ToVisibility(const std::string& name) {
  for (const auto& [value, known] : kVisibilities) {
    if (name == known) return value;
  }
  return v1::VISIBILITY_UNSPECIFIED;
}

std::string ToName(v1::Output output) { return FindName(kOutputs, output); }

v1::Output ToOutput(const std::string& name) {
  for (const auto& [value, known] : kOutputs) {
    if (name == known) return value;
  }
  return v1::OUTPUT_UNSPECIFIED;
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

double Rate(uint64_t count, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

}  // namespace longhand::client
