#include "server/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/attention/retrieval_options.h"
#include "core/base/error.h"

namespace longhand {
namespace {

std::string FloatBytes(const std::vector<float>& values) {
  return longhand::FloatBytes(values.data(), values.size());
}

// Message: Chunk or SpanVector.
template <typename Message>
void SetMix(const ContextMix& mix, Message* message) {
  if (mix == ContextMix()) return;
  v1::ContextMix* proto = message->mutable_context_mix();
  proto->set_anchor_weight(mix.anchor_weight);
  proto->set_anchor_chunk(static_cast<uint32_t>(mix.anchor_chunk));
  proto->set_document_weight(mix.document_weight);
  proto->set_document_chunks(static_cast<uint32_t>(mix.document_chunks));
}

template <typename Names>
void SetNames(const Names& names,
              google::protobuf::RepeatedPtrField<std::string>* field) {
  for (std::string_view name : names) *field->Add() = std::string(name);
}

}  // namespace

void SetDuration(absl::Duration duration, google::protobuf::Duration* proto) {
  proto->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto->set_nanos(static_cast<int32_t>(
      absl::IDivDuration(duration, absl::Nanoseconds(1), &duration)));
}

std::string FloatBytes(const float* values, size_t count) {
  std::string bytes(count * sizeof(float), '\0');
  if constexpr (std::endian::native == std::endian::little) {
    if (count > 0) std::memcpy(bytes.data(), values, bytes.size());
  } else {
    for (size_t i = 0; i < count; ++i) {
      auto bits = std::bit_cast<uint32_t>(values[i]);
      for (size_t byte = 0; byte < sizeof(bits); ++byte) {
        bytes[i * sizeof(bits) + byte] = static_cast<char>(bits >> (8 * byte));
      }
    }
  }
  return bytes;
}

absl::Status CheckModelName(std::string_view name, const ServedModel& model) {
  if (name.empty() || name == model.info.name) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
      absl::StrCat("this server serves the model \"", model.info.name,
                   "\" only; name it or leave the name empty"),
      {{"known", model.info.name}});
}

std::vector<int32_t> FromProto(const v1::TokenIds& ids) {
  return std::vector<int32_t>(ids.ids().begin(), ids.ids().end());
}

absl::StatusOr<Content> ContentFromProto(const v1::EncodeRequest& request) {
  switch (request.content_case()) {
    case v1::EncodeRequest::kText:
      return Content(request.text());
    case v1::EncodeRequest::kTokenIds:
      return Content(FromProto(request.token_ids()));
    case v1::EncodeRequest::CONTENT_NOT_SET:
      break;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "CONTENT_MISSING",
                   "set text or token_ids");
}

v1::Chunk ToProto(const ChunkResult& chunk) {
  v1::Chunk proto;
  proto.set_index(static_cast<uint32_t>(chunk.index));
  proto.set_begin_byte(chunk.begin_byte);
  proto.set_end_byte(chunk.end_byte);
  proto.set_begin_token(chunk.begin_token);
  proto.set_end_token(chunk.end_token);
  proto.set_vector(FloatBytes(chunk.vector));
  proto.set_norm(chunk.norm);
  proto.set_retrieval_weights(FloatBytes(chunk.retrieval_weights));
  SetMix(chunk.mix, &proto);
  return proto;
}

v1::HeadRetrievalWeights ToProto(const HeadWeightsResult& weights) {
  v1::HeadRetrievalWeights proto;
  proto.set_chunk_index(static_cast<uint32_t>(weights.chunk_index));
  proto.set_layer(static_cast<uint32_t>(weights.layer));
  proto.set_weights(FloatBytes(weights.weights));
  return proto;
}

v1::SpanVector ToProto(const SpanResult& span) {
  v1::SpanVector proto;
  proto.set_index(static_cast<uint32_t>(span.index));
  proto.set_begin_byte(span.span.begin);
  proto.set_end_byte(span.span.end);
  proto.set_begin_token(span.begin_token);
  proto.set_end_token(span.end_token);
  proto.set_vector(FloatBytes(span.vector));
  proto.set_norm(span.norm);
  SetMix(span.mix, &proto);
  return proto;
}

v1::EncodeProgress ToProto(const EncodeProgress& progress) {
  v1::EncodeProgress proto;
  proto.set_received_bytes(progress.received_bytes);
  proto.set_received_tokens(progress.received_tokens);
  proto.set_encoded_tokens(progress.encoded_tokens);
  return proto;
}

v1::EncodeSummary ToProto(const EncodeSummary& summary,
                          const ServedModel& model) {
  v1::EncodeSummary proto;
  proto.set_received_bytes(summary.received_bytes);
  proto.set_received_tokens(summary.received_tokens);
  proto.set_encoded_tokens(summary.encoded_tokens);
  proto.set_reused_tokens(summary.reused_tokens);
  proto.set_chunk_count(static_cast<uint32_t>(summary.chunk_count));
  proto.set_state_bytes(summary.state_bytes);
  proto.set_peak_working_bytes(summary.peak_working_bytes);
  proto.set_hidden_size(static_cast<uint32_t>(model.config.output_size()));
  proto.set_model_fingerprint(model.info.fingerprint);
  *proto.mutable_options() = ToProto(summary.options, model);
  // Each span comes with its vector; a long list would not fit here.
  proto.mutable_options()->clear_spans();
  v1::EncodeTimings* timings = proto.mutable_timings();
  SetDuration(summary.timings.total, timings->mutable_total());
  SetDuration(summary.timings.queue, timings->mutable_queue());
  SetDuration(summary.timings.tokenize, timings->mutable_tokenize());
  SetDuration(summary.timings.compute, timings->mutable_compute());
  SetDuration(summary.timings.pool, timings->mutable_pool());
  return proto;
}

std::vector<v1::TokenVectors> ToProto(const TokenResult& tokens,
                                      size_t max_bytes) {
  std::vector<v1::TokenVectors> result;
  const size_t count = tokens.ids.size();
  if (count == 0) return result;
  const size_t hidden = tokens.vectors.size() / count;
  const size_t row_bytes = std::max<size_t>(hidden * sizeof(float), 1);
  const size_t rows = std::max<size_t>(max_bytes / row_bytes, 1);
  for (size_t first = 0; first < count; first += rows) {
    const size_t end = std::min(first + rows, count);
    v1::TokenVectors& proto = result.emplace_back();
    proto.set_chunk_index(static_cast<uint32_t>(tokens.chunk_index));
    proto.set_begin_token(tokens.begin_token + first);
    proto.mutable_ids()->Add(tokens.ids.begin() + first,
                             tokens.ids.begin() + end);
    if (!tokens.begin.empty()) {
      proto.mutable_begin_bytes()->Add(tokens.begin.begin() + first,
                                       tokens.begin.begin() + end);
      proto.mutable_end_bytes()->Add(tokens.end.begin() + first,
                                     tokens.end.begin() + end);
    }
    proto.set_vectors(FloatBytes(tokens.vectors.data() + first * hidden,
                                 (end - first) * hidden));
  }
  return result;
}

v1::TokenizeResponse ToProto(const TokenSequence& tokens,
                             const Tokenizer* tokenizer) {
  v1::TokenizeResponse proto;
  proto.mutable_ids()->Add(tokens.ids.begin(), tokens.ids.end());
  proto.mutable_begin_bytes()->Add(tokens.begin.begin(), tokens.begin.end());
  proto.mutable_end_bytes()->Add(tokens.end.begin(), tokens.end.end());
  if (tokenizer == nullptr) return proto;
  for (int32_t id : tokens.ids) proto.add_tokens(tokenizer->IdToToken(id));
  return proto;
}

v1::Model ToProto(const ServedModel& model, const EncoderOptions& encoder,
                  uint64_t max_message_bytes) {
  v1::Model proto;
  proto.set_name(model.info.name);
  proto.set_fingerprint(model.info.fingerprint);
  proto.set_family(model.config.family);
  proto.set_hidden_size(static_cast<uint32_t>(model.config.output_size()));
  proto.set_layer_count(static_cast<uint32_t>(model.config.num_layers));
  proto.set_head_count(static_cast<uint32_t>(model.config.num_heads));
  proto.set_vocab_size(static_cast<uint32_t>(model.config.vocab_size));
  proto.set_max_chunk_tokens(
      static_cast<uint32_t>(model.config.max_positions()));
  proto.set_special_tokens_per_chunk(
      static_cast<uint32_t>(model.special_tokens_per_chunk));
  v1::Precision* precision = proto.mutable_precision();
  precision->set_requested(model.info.requested_precision);
  precision->set_stored(model.info.stored_precision);
  precision->set_effective(model.info.effective_precision);
  *proto.mutable_default_options() = ToProto(model.default_options, model);
  SetNames(model.mechanisms, proto.mutable_mechanisms());
  SetNames(FeatureMapNames(), proto.mutable_feature_maps());
  SetNames(MergeNames(), proto.mutable_merges());
  SetNames(model.state_codecs, proto.mutable_state_codecs());
  SetNames(model.chunkers, proto.mutable_chunkers());
  SetNames(model.poolings, proto.mutable_poolings());
  proto.set_adapter_fingerprint(model.info.adapter_fingerprint);
  proto.set_normalized(model.normalized);
  v1::Limits* limits = proto.mutable_limits();
  limits->set_max_message_bytes(max_message_bytes);
  limits->set_max_document_bytes(encoder.max_document_bytes);
  limits->set_max_working_bytes(encoder.max_working_bytes);
  limits->set_max_concurrent_documents(
      static_cast<uint32_t>(encoder.max_concurrent_documents));
  v1::Runtime* runtime = proto.mutable_runtime();
  runtime->set_server_version(LONGHAND_VERSION);
  runtime->set_onednn_version(model.info.onednn_version);
  runtime->set_isa(model.info.isa);
  runtime->set_worker_count(static_cast<uint32_t>(encoder.workers));
  return proto;
}

}  // namespace longhand
