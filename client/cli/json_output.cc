#include "client/cli/json_output.h"

#include <cstddef>
#include <utility>

namespace longhand::client {
namespace {

constexpr std::pair<v1::Visibility, const char*> kVisibilities[] = {
    {v1::VISIBILITY_CAUSAL, "causal"},
    {v1::VISIBILITY_BIDIRECTIONAL, "bidirectional"},
    {v1::VISIBILITY_TWO_PASS, "two_pass"}};

constexpr std::pair<v1::Output, const char*> kOutputs[] = {
    {v1::OUTPUT_DOCUMENT_VECTOR, "document"},
    {v1::OUTPUT_CHUNK_VECTORS, "chunks"},
    {v1::OUTPUT_TOKEN_VECTORS, "tokens"},
    {v1::OUTPUT_RETRIEVAL_WEIGHTS, "weights"},
    {v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS, "head_weights"}};

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

// One array per row.
Json ToRows(const std::vector<float>& values, size_t rows) {
  Json json = Json::array();
  const size_t width = rows == 0 ? 0 : values.size() / rows;
  for (size_t i = 0; i < rows; ++i) {
    const auto row = values.begin() + static_cast<ptrdiff_t>(i * width);
    json.push_back(
        std::vector<float>(row, row + static_cast<ptrdiff_t>(width)));
  }
  return json;
}

Json ToJson(const ContextMix& mix) {
  return {{"anchor_weight", mix.anchor_weight},
          {"anchor_chunk", mix.anchor_chunk},
          {"document_weight", mix.document_weight},
          {"document_chunks", mix.document_chunks}};
}

// What chunks and spans have in common.
template <typename Part>
Json PartToJson(const Part& part, bool span_only) {
  Json json = {{"index", part.index},
               {"begin_byte", part.begin_byte},
               {"end_byte", part.end_byte},
               {"begin_token", part.begin_token},
               {"end_token", part.end_token}};
  if (!span_only) {
    json["norm"] = part.norm;
    if (!part.vector.empty()) json["vector"] = part.vector;
  }
  if (part.context_mix) json["context_mix"] = ToJson(*part.context_mix);
  return json;
}

template <typename Field>
void AddNames(const char* key, const Field& names, Json* json) {
  (*json)[key] = std::vector<std::string>(names.begin(), names.end());
}

// The fields that are set, by their names.
Json ToJson(const v1::MechanismOptions& options) {
  Json json = Json::object();
  const auto* message = v1::MechanismOptions::descriptor();
  const auto* reflection = options.GetReflection();
  for (int i = 0; i < message->field_count(); ++i) {
    const auto* field = message->field(i);
    if (!reflection->HasField(options, field)) continue;
    json[field->name()] = reflection->GetUInt32(options, field);
  }
  return json;
}

void AddMechanismOptions(const v1::EncodeOptions& options, Json* json) {
  if (options.has_mechanism_options()) {
    (*json)["mechanism_options"] = ToJson(options.mechanism_options());
  }
  if (options.global_tokens_size() > 0) {
    (*json)["global_tokens"] = std::vector<uint64_t>(
        options.global_tokens().begin(), options.global_tokens().end());
  }
}

void AddRetrievalOptions(const v1::EncodeOptions& options, Json* json) {
  const auto add = [json](const char* key, const std::string& name) {
    if (!name.empty()) (*json)[key] = name;
  };
  if (options.has_gate()) (*json)["gate"] = options.gate();
  if (options.head_gates_size() > 0) {
    (*json)["head_gates"] = std::vector<float>(options.head_gates().begin(),
                                               options.head_gates().end());
  }
  if (options.retrieval_layers_size() > 0) {
    (*json)["retrieval_layers"] = std::vector<uint32_t>(
        options.retrieval_layers().begin(), options.retrieval_layers().end());
  }
  add("features", options.features());
  add("merge", options.merge());
  if (options.has_top_k()) (*json)["top_k"] = options.top_k();
  if (options.has_anchors()) (*json)["anchors"] = options.anchors();
  if (options.has_anchor_share()) {
    (*json)["anchor_share"] = options.anchor_share();
  }
  if (options.has_neighbors()) (*json)["neighbors"] = options.neighbors();
  add("state_codec", options.state_codec());
  if (options.has_state_rank()) (*json)["state_rank"] = options.state_rank();
}

void AddVectorOptions(const v1::EncodeOptions& options, Json* json) {
  if (options.has_anchor_weight()) {
    (*json)["anchor_weight"] = options.anchor_weight();
  }
  if (options.has_document_weight()) {
    (*json)["document_weight"] = options.document_weight();
  }
  if (options.spans_size() == 0) return;
  Json spans = Json::array();
  for (const v1::ByteSpan& span : options.spans()) {
    spans.push_back({span.begin(), span.end()});
  }
  (*json)["spans"] = std::move(spans);
}

}  // namespace

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false,
                   Json::error_handler_t::replace);
}

Json ToJson(const Chunk& chunk, bool span_only) {
  Json json = PartToJson(chunk, span_only);
  if (!span_only && !chunk.retrieval_weights.empty()) {
    json["retrieval_weights"] = chunk.retrieval_weights;
  }
  return json;
}

Json ToJson(const SpanVector& span, bool span_only) {
  return PartToJson(span, span_only);
}

Json ToJson(const HeadWeights& weights, size_t heads) {
  const bool fits = heads > 0 && weights.weights.size() % heads == 0;
  return {{"chunk_index", weights.chunk_index},
          {"layer", weights.layer},
          {"weights", ToRows(weights.weights, fits ? heads : 1)}};
}

Json ToJson(const TokenVectors& tokens) {
  return {{"chunk_index", tokens.chunk_index},
          {"begin_token", tokens.begin_token},
          {"ids", tokens.ids},
          {"begin_bytes", tokens.begin_bytes},
          {"end_bytes", tokens.end_bytes},
          {"vectors", ToRows(tokens.vectors, tokens.ids.size())}};
}

Json ToJson(const v1::EncodeOptions& options) {
  Json outputs = Json::array();
  for (const int output : options.outputs()) {
    outputs.push_back(ToName(static_cast<v1::Output>(output)));
  }
  Json json = {{"model", options.model()},
               {"mechanism", options.mechanism()},
               {"visibility", ToName(options.visibility())}};
  AddRetrievalOptions(options, &json);
  AddMechanismOptions(options, &json);
  json["chunker"] = options.chunker();
  if (options.has_chunk_tokens()) json["chunk_tokens"] = options.chunk_tokens();
  if (options.has_min_chunk_tokens()) {
    json["min_chunk_tokens"] = options.min_chunk_tokens();
  }
  if (options.has_overlap_tokens()) {
    json["overlap_tokens"] = options.overlap_tokens();
  }
  json["pooling"] = options.pooling();
  AddVectorOptions(options, &json);
  json["outputs"] = std::move(outputs);
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
          {"peak_working_bytes", summary.peak_working_bytes()},
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
  Json json = {{"name", model.name()},
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
               {"adapter_fingerprint", model.adapter_fingerprint()},
               {"default_options", ToJson(model.default_options())},
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
  AddNames("mechanisms", model.mechanisms(), &json);
  AddNames("feature_maps", model.feature_maps(), &json);
  AddNames("merges", model.merges(), &json);
  AddNames("state_codecs", model.state_codecs(), &json);
  AddNames("chunkers", model.chunkers(), &json);
  AddNames("poolings", model.poolings(), &json);
  return json;
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
