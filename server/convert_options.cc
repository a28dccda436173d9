#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/attention/mechanism_options.h"
#include "core/attention/retrieval_options.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/convert.h"

namespace longhand {
namespace {

constexpr std::pair<Visibility, v1::Visibility> kVisibilities[] = {
    {Visibility::kCausal, v1::VISIBILITY_CAUSAL},
    {Visibility::kBidirectional, v1::VISIBILITY_BIDIRECTIONAL},
    {Visibility::kTwoPass, v1::VISIBILITY_TWO_PASS}};

constexpr std::pair<bool EncodeOptions::*, v1::Output> kOutputs[] = {
    {&EncodeOptions::document_vector, v1::OUTPUT_DOCUMENT_VECTOR},
    {&EncodeOptions::chunk_vectors, v1::OUTPUT_CHUNK_VECTORS},
    {&EncodeOptions::token_vectors, v1::OUTPUT_TOKEN_VECTORS},
    {&EncodeOptions::retrieval_weights, v1::OUTPUT_RETRIEVAL_WEIGHTS},
    {&EncodeOptions::head_weights, v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS}};

absl::Status Invalid(std::string_view reason, std::string_view message,
                     std::map<std::string, std::string> metadata = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   std::move(metadata));
}

absl::Status OutOfRange(std::string_view field, double min, double max) {
  return Invalid(
      absl::StrCat(absl::AsciiStrToUpper(ToAbsl(field)), "_OUT_OF_RANGE"),
      absl::StrCat(ToAbsl(field), " must be from ", min, " to ", max),
      {{"min", absl::StrCat(min)}, {"max", absl::StrCat(max)}});
}

absl::StatusOr<std::optional<Visibility>> VisibilityFromProto(int visibility) {
  if (visibility == v1::VISIBILITY_UNSPECIFIED) {
    return std::optional<Visibility>();
  }
  for (const auto& [value, proto] : kVisibilities) {
    if (visibility == proto) return std::optional(value);
  }
  return Invalid("VISIBILITY_UNKNOWN",
                 absl::StrCat("visibility has no value ", visibility,
                              "; use VISIBILITY_CAUSAL, "
                              "VISIBILITY_BIDIRECTIONAL or "
                              "VISIBILITY_TWO_PASS"));
}

absl::Status OutputsFromProto(
    const google::protobuf::RepeatedField<int>& outputs,
    EncodeOptions* options) {
  if (outputs.empty()) return absl::OkStatus();
  for (const auto& [member, proto] : kOutputs) options->*member = false;
  for (int output : outputs) {
    bool known = false;
    for (const auto& [member, proto] : kOutputs) {
      if (output != proto) continue;
      options->*member = true;
      known = true;
    }
    if (!known) {
      return Invalid("OUTPUT_UNKNOWN",
                     absl::StrCat("outputs has no value ", output,
                                  "; leave outputs empty for document and "
                                  "chunk vectors"));
    }
  }
  return absl::OkStatus();
}

// The value that `name` names; nothing for an empty name.
template <typename Value>
absl::StatusOr<std::optional<Value>> FromName(
    std::string_view field, const std::string& name,
    std::optional<Value> (*from_name)(std::string_view),
    const std::vector<std::string_view>& known) {
  if (name.empty()) return std::optional<Value>();
  const std::optional<Value> value = from_name(name);
  if (value.has_value()) return value;
  const std::string names =
      absl::StrJoin(known, ", ", [](std::string* out, std::string_view one) {
        absl::StrAppend(out, ToAbsl(one));
      });
  return Invalid(absl::StrCat(absl::AsciiStrToUpper(ToAbsl(field)), "_UNKNOWN"),
                 absl::StrCat("there are no ", ToAbsl(field),
                              " of that name; known: ", names),
                 {{"known", names}});
}

// A number that is carried on as an int; the encoder knows its true bounds.
absl::Status SetInt(std::string_view field, bool has_value, uint32_t value,
                    std::optional<int>* result) {
  if (!has_value) return absl::OkStatus();
  constexpr uint32_t kMax = std::numeric_limits<int>::max();
  if (value > kMax) return OutOfRange(field, 0, kMax);
  *result = static_cast<int>(value);
  return absl::OkStatus();
}

absl::Status SetChunkTokens(const v1::EncodeOptions& options,
                            const ServedModel& model, EncodeOptions* result) {
  if (!options.has_chunk_tokens()) return absl::OkStatus();
  const int minimum = model.special_tokens_per_chunk + 1;
  const int maximum = model.config.max_positions();
  if (options.chunk_tokens() < static_cast<uint32_t>(minimum) ||
      options.chunk_tokens() > static_cast<uint32_t>(maximum)) {
    return Invalid(
        "CHUNK_TOKENS_OUT_OF_RANGE",
        absl::StrCat("chunk_tokens must be from ", minimum, " to ", maximum,
                     " for this model"),
        {{"min", absl::StrCat(minimum)}, {"max", absl::StrCat(maximum)}});
  }
  result->chunk_tokens = static_cast<int>(options.chunk_tokens());
  return absl::OkStatus();
}

absl::Status SetGate(const v1::EncodeOptions& options, EncodeOptions* result) {
  if (!options.has_gate()) return absl::OkStatus();
  // Written so that NaN fails.
  if (!(options.gate() >= 0 && options.gate() <= 1)) {
    return OutOfRange("gate", 0, 1);
  }
  result->gate = options.gate();
  return absl::OkStatus();
}

absl::Status SetLayers(const v1::EncodeOptions& options,
                       EncodeOptions* result) {
  for (uint32_t layer : options.retrieval_layers()) {
    std::optional<int> number;
    LH_RETURN_IF_ERROR(SetInt("retrieval_layers", true, layer, &number));
    result->retrieval_layers.push_back(*number);
  }
  return absl::OkStatus();
}

absl::Status SetNumbers(const v1::EncodeOptions& options,
                        EncodeOptions* result) {
  LH_RETURN_IF_ERROR(
      SetInt("top_k", options.has_top_k(), options.top_k(), &result->top_k));
  LH_RETURN_IF_ERROR(SetInt("anchors", options.has_anchors(), options.anchors(),
                            &result->anchors));
  LH_RETURN_IF_ERROR(SetInt("neighbors", options.has_neighbors(),
                            options.neighbors(), &result->neighbors));
  LH_RETURN_IF_ERROR(SetInt("state_rank", options.has_state_rank(),
                            options.state_rank(), &result->state_rank));
  LH_RETURN_IF_ERROR(SetInt("min_chunk_tokens", options.has_min_chunk_tokens(),
                            options.min_chunk_tokens(),
                            &result->min_chunk_tokens));
  LH_RETURN_IF_ERROR(SetInt("overlap_tokens", options.has_overlap_tokens(),
                            options.overlap_tokens(), &result->overlap_tokens));
  if (options.has_anchor_share()) result->anchor_share = options.anchor_share();
  if (options.has_anchor_weight()) {
    result->anchor_weight = options.anchor_weight();
  }
  if (options.has_document_weight()) {
    result->document_weight = options.document_weight();
  }
  return absl::OkStatus();
}

// The message's field of that name.
const google::protobuf::FieldDescriptor* ProtoField(
    const MechanismField& field) {
  const auto* proto = v1::MechanismOptions::descriptor()->FindFieldByName(
      std::string(field.name));
  LH_CHECK(proto != nullptr);
  return proto;
}

absl::Status SetMechanismOptions(const v1::MechanismOptions& proto,
                                 MechanismOptions* result) {
  const google::protobuf::Reflection* reflection = proto.GetReflection();
  for (const MechanismField& field : MechanismFields()) {
    const google::protobuf::FieldDescriptor* number = ProtoField(field);
    if (!reflection->HasField(proto, number)) continue;
    const uint32_t value = reflection->GetUInt32(proto, number);
    // The rest of the bounds is the encoder's to check.
    if (value > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
      return Invalid(
          "MECHANISM_OPTION_OUT_OF_RANGE",
          absl::StrCat(ToAbsl(field.name), " is ", value,
                       "; give a number from ", field.min, " to ", field.max),
          {{"field", std::string(field.name)},
           {"min", absl::StrCat(field.min)},
           {"max", absl::StrCat(field.max)}});
    }
    result->*field.value = static_cast<int>(value);
  }
  return absl::OkStatus();
}

absl::Status SetGlobalTokens(const v1::EncodeOptions& options,
                             EncodeOptions* result) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  for (uint64_t token : options.global_tokens()) {
    if (token > kMax) {
      return Invalid("GLOBAL_TOKENS_INVALID",
                     absl::StrCat("global_tokens has ", token,
                                  ", which no document reaches; give the "
                                  "tokens' places in the document, from 0, "
                                  "ascending"));
    }
    result->global_tokens.push_back(static_cast<int64_t>(token));
  }
  return absl::OkStatus();
}

void AddMechanism(const EncodeOptions& options, v1::EncodeOptions* proto) {
  proto->set_mechanism(options.mechanism);
  for (const MechanismField& field : MechanismFields()) {
    const std::optional<int>& value = options.mechanism_options.*field.value;
    if (!value) continue;
    v1::MechanismOptions* numbers = proto->mutable_mechanism_options();
    numbers->GetReflection()->SetUInt32(numbers, ProtoField(field),
                                        static_cast<uint32_t>(*value));
  }
  proto->mutable_global_tokens()->Assign(options.global_tokens.begin(),
                                         options.global_tokens.end());
}

void AddRetrieval(const EncodeOptions& options, v1::EncodeOptions* proto) {
  for (const auto& [value, visibility] : kVisibilities) {
    if (options.visibility == value) proto->set_visibility(visibility);
  }
  if (options.gate.has_value()) proto->set_gate(*options.gate);
  proto->mutable_head_gates()->Assign(options.head_gates.begin(),
                                      options.head_gates.end());
  proto->mutable_retrieval_layers()->Assign(options.retrieval_layers.begin(),
                                            options.retrieval_layers.end());
  if (options.features.has_value()) {
    proto->set_features(std::string(FeatureMapName(*options.features)));
  }
  if (options.merge.has_value()) {
    proto->set_merge(std::string(MergeName(*options.merge)));
  }
  if (options.top_k.has_value()) proto->set_top_k(*options.top_k);
  if (options.anchors.has_value()) proto->set_anchors(*options.anchors);
  if (options.anchor_share.has_value()) {
    proto->set_anchor_share(*options.anchor_share);
  }
  if (options.neighbors.has_value()) proto->set_neighbors(*options.neighbors);
  proto->set_state_codec(options.state_codec);
  if (options.state_rank.has_value()) {
    proto->set_state_rank(*options.state_rank);
  }
}

void AddChunks(const EncodeOptions& options, v1::EncodeOptions* proto) {
  proto->set_chunker(options.chunker);
  if (options.chunk_tokens.has_value()) {
    proto->set_chunk_tokens(*options.chunk_tokens);
  }
  if (options.min_chunk_tokens.has_value()) {
    proto->set_min_chunk_tokens(*options.min_chunk_tokens);
  }
  if (options.overlap_tokens.has_value()) {
    proto->set_overlap_tokens(*options.overlap_tokens);
  }
  for (const ByteSpan& span : options.spans) {
    v1::ByteSpan* part = proto->add_spans();
    part->set_begin(span.begin);
    part->set_end(span.end);
  }
}

}  // namespace

absl::StatusOr<EncodeOptions> FromProto(const v1::EncodeOptions& options,
                                        const ServedModel& model) {
  LH_RETURN_IF_ERROR(CheckModelName(options.model(), model));
  EncodeOptions result;
  result.mechanism = options.mechanism();
  result.chunker = options.chunker();
  result.pooling = options.pooling();
  result.state_codec = options.state_codec();
  LH_ASSIGN_OR_RETURN(result.visibility,
                      VisibilityFromProto(options.visibility()));
  LH_ASSIGN_OR_RETURN(result.features,
                      FromName("features", options.features(),
                               FeatureMapFromName, FeatureMapNames()));
  LH_ASSIGN_OR_RETURN(result.merge, FromName("merge", options.merge(),
                                             MergeFromName, MergeNames()));
  LH_RETURN_IF_ERROR(SetGate(options, &result));
  result.head_gates.assign(options.head_gates().begin(),
                           options.head_gates().end());
  LH_RETURN_IF_ERROR(SetLayers(options, &result));
  LH_RETURN_IF_ERROR(SetChunkTokens(options, model, &result));
  LH_RETURN_IF_ERROR(SetNumbers(options, &result));
  LH_RETURN_IF_ERROR(SetMechanismOptions(options.mechanism_options(),
                                         &result.mechanism_options));
  LH_RETURN_IF_ERROR(SetGlobalTokens(options, &result));
  for (const v1::ByteSpan& span : options.spans()) {
    result.spans.push_back({span.begin(), span.end()});
  }
  LH_RETURN_IF_ERROR(OutputsFromProto(options.outputs(), &result));
  return result;
}

v1::EncodeOptions ToProto(const EncodeOptions& options,
                          const ServedModel& model) {
  v1::EncodeOptions proto;
  proto.set_model(model.info.name);
  AddMechanism(options, &proto);
  AddRetrieval(options, &proto);
  AddChunks(options, &proto);
  proto.set_pooling(options.pooling);
  if (options.anchor_weight.has_value()) {
    proto.set_anchor_weight(*options.anchor_weight);
  }
  if (options.document_weight.has_value()) {
    proto.set_document_weight(*options.document_weight);
  }
  for (const auto& [member, output] : kOutputs) {
    if (options.*member) proto.add_outputs(output);
  }
  return proto;
}

}  // namespace longhand
