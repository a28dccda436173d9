#include "core/engine/encode_options.h"

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/chunking/registry.h"
#include "core/pooling/registry.h"

namespace longhand {
namespace {

constexpr char kDefaultMechanism[] = "bsbr";
constexpr char kDefaultChunker[] = "fixed";
constexpr char kDefaultStateCodec[] = "f32";
constexpr float kDefaultGate = 0.4f;
constexpr int kDefaultChunkTokens = 128;
// Chosen with bench/quality, see docs/retrieval.md.
constexpr float kDefaultAnchorWeight = 0.6f;
constexpr float kDefaultDocumentWeight = -0.85f;
// Weights above this leave nothing of a chunk's own vector.
constexpr float kMaxContextWeight = 100;
// Spans of one document; they are kept until they are pooled.
constexpr size_t kMaxSpans = 100'000;
// Every token sees each of them.
constexpr size_t kMaxGlobalTokens = 1024;
// No document is that long.
constexpr int64_t kLastGlobalToken = int64_t{1} << 40;

absl::Status Invalid(std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

template <typename T>
void Fill(T& value, const T& fallback) {
  if (value == T()) value = fallback;
}

int SpecialTokens(const Model& model) {
  return static_cast<int>(model.prefix_ids().size() +
                          model.suffix_ids().size());
}

absl::Status CheckChunkTokens(const Model& model,
                              const EncodeOptions& options) {
  const int least = SpecialTokens(model) + 1;
  const int most = model.config().max_positions();
  const int chunk_tokens = *options.chunk_tokens;
  if (chunk_tokens < least || chunk_tokens > most) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "CHUNK_TOKENS_OUT_OF_RANGE",
        absl::StrCat("chunk_tokens is ", chunk_tokens, "; this model takes ",
                     least, " to ", most),
        {{"min", absl::StrCat(least)}, {"max", absl::StrCat(most)}});
  }
  return absl::OkStatus();
}

absl::Status CheckContextWeight(std::string_view name, float weight,
                                float least) {
  if (weight >= least && weight <= kMaxContextWeight) return absl::OkStatus();
  return Invalid(
      "CONTEXT_WEIGHT_OUT_OF_RANGE",
      absl::StrCat(ToAbsl(name), " is ", weight, "; give a number from ", least,
                   " to ", kMaxContextWeight, " (0: nothing is added)"));
}

absl::Status CheckSpans(const EncodeOptions& options) {
  if (options.spans.size() > kMaxSpans) {
    return Invalid("TOO_MANY_SPANS",
                   absl::StrCat("there are ", options.spans.size(),
                                " spans, the limit is ", kMaxSpans,
                                "; send the document again with the others"));
  }
  for (size_t i = 0; i < options.spans.size(); ++i) {
    const ByteSpan& span = options.spans[i];
    if (span.begin < span.end) continue;
    return Invalid("SPAN_INVALID",
                   absl::StrCat("span ", i, " is [", span.begin, ", ", span.end,
                                "), which is empty; give the first byte and "
                                "one past the last"));
  }
  if (!options.spans.empty() && options.pooling == "cls") {
    return Invalid("OUTPUT_UNAVAILABLE",
                   "a span has no [CLS] token to be pooled from; use the "
                   "pooling \"mean\" or \"max\" with spans");
  }
  return absl::OkStatus();
}

absl::Status CheckGlobalTokens(const std::vector<int64_t>& tokens) {
  if (tokens.size() > kMaxGlobalTokens) {
    return Invalid("TOO_MANY_GLOBAL_TOKENS",
                   absl::StrCat("there are ", tokens.size(),
                                " global_tokens, the limit is ",
                                kMaxGlobalTokens, "; choose fewer"));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] > (i == 0 ? -1 : tokens[i - 1]) &&
        tokens[i] <= kLastGlobalToken) {
      continue;
    }
    return Invalid(
        "GLOBAL_TOKENS_INVALID",
        absl::StrCat("global_tokens has ", tokens[i], " at place ", i,
                     "; give the tokens' places in the document, from 0 to ",
                     kLastGlobalToken, ", ascending"));
  }
  return absl::OkStatus();
}

// The fields that were set, by their public names.
std::vector<std::string_view> SetFields(const EncodeOptions& options) {
  std::vector<std::string_view> set;
  const auto add = [&set](bool is_set, std::string_view name) {
    if (is_set) set.push_back(name);
  };
  add(options.anchor_share.has_value(), "anchor_share");
  add(options.anchors.has_value(), "anchors");
  add(options.features.has_value(), "features");
  add(options.gate.has_value(), "gate");
  add(!options.head_gates.empty(), "head_gates");
  add(options.merge.has_value(), "merge");
  add(options.min_chunk_tokens.value_or(0) != 0, "min_chunk_tokens");
  add(options.neighbors.has_value(), "neighbors");
  add(options.overlap_tokens.value_or(0) != 0, "overlap_tokens");
  add(!options.retrieval_layers.empty(), "retrieval_layers");
  add(!options.state_codec.empty(), "state_codec");
  add(options.state_rank.has_value(), "state_rank");
  add(options.top_k.has_value(), "top_k");
  add(options.visibility.has_value(), "visibility");
  add(!options.global_tokens.empty(), "global_tokens");
  for (const MechanismField& field : MechanismFields()) {
    add((options.mechanism_options.*field.value).has_value(), field.name);
  }
  return set;
}

bool Holds(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// `what` ("mechanism \"x\"") does not look at `unused`.
absl::Status CheckUsed(const std::string& what,
                       const std::vector<std::string_view>& unused,
                       const EncodeOptions& options, bool exchanges) {
  for (std::string_view field : SetFields(options)) {
    // Nothing to be retrieved is what it does anyway.
    if (field == "gate" && *options.gate == 0 && !exchanges) continue;
    if (!Holds(unused, field)) continue;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "OPTION_UNUSED",
        absl::StrCat("the ", what, " does not look at ", ToAbsl(field),
                     "; leave it out, or choose "
                     "another one"),
        {{"field", std::string(field)}});
  }
  return absl::OkStatus();
}

bool IsAboutVisibility(const absl::Status& status) {
  if (status.ok()) return false;
  const auto detail = GetErrorDetail(status);
  if (!detail || detail->reason != "RETRIEVAL_OPTIONS") return false;
  const auto field = detail->metadata.find("field");
  return field != detail->metadata.end() && field->second == "visibility";
}

absl::Status CheckVisibility(const EncodeOptions& options,
                             const EncodeOptions& resolved) {
  if (!options.visibility || *options.visibility == *resolved.visibility) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "RETRIEVAL_OPTIONS",
      absl::StrCat("the mechanism \"", resolved.mechanism,
                   "\" knows the visibility \"",
                   ToAbsl(VisibilityName(*resolved.visibility)),
                   "\" alone; leave visibility out, or choose another "
                   "mechanism"),
      {{"field", "visibility"}});
}

// What stands before a chunk's own tokens is then special or not: the attention
// can't tell.
absl::Status CheckGlobalSpecial(const Attention& attention,
                                const Chunker& chunker,
                                const EncodeOptions& options) {
  if (*options.mechanism_options.global_special == 0 ||
      !Holds(attention.mechanism_options(), "global_special") ||
      Holds(chunker.unused_options(), "overlap_tokens")) {
    return absl::OkStatus();
  }
  return Invalid("MECHANISM_OPTIONS",
                 absl::StrCat("global_special does not go with the chunker \"",
                              options.chunker,
                              "\", whose chunks overlap; choose another "
                              "chunker, or leave global_special out"));
}

absl::Status CheckOutputs(const Attention& attention,
                          const EncodeOptions& options) {
  if ((options.retrieval_weights || options.head_weights) &&
      !attention.reports_weights()) {
    return Invalid("OUTPUT_UNAVAILABLE",
                   absl::StrCat("the mechanism \"", options.mechanism, "\"",
                                *options.gate == 0 ? " with gate 0" : "",
                                " has no retrieval weights; leave that output "
                                "out, or choose another mechanism"));
  }
  return absl::OkStatus();
}

// All bits of a number.
std::string Exact(float value) {
  return absl::StrCat(absl::Hex(std::bit_cast<uint32_t>(value)));
}

std::string Exact(const std::vector<float>& values) {
  return absl::StrJoin(values, ",", [](std::string* out, float value) {
    absl::StrAppend(out, Exact(value));
  });
}

RetrievalOptions ToRetrieval(const EncodeOptions& options) {
  RetrievalOptions retrieval;
  retrieval.visibility = *options.visibility;
  retrieval.gate = *options.gate;
  retrieval.head_gates = options.head_gates;
  retrieval.layers = options.retrieval_layers;
  retrieval.features = *options.features;
  retrieval.merge = *options.merge;
  retrieval.top_k = *options.top_k;
  retrieval.anchors = *options.anchors;
  retrieval.anchor_share = *options.anchor_share;
  retrieval.neighbors = *options.neighbors;
  return retrieval;
}

}  // namespace

EncodeOptions BuiltInDefaults(const Model& model,
                              const EncodeOptions& defaults) {
  EncodeOptions filled = defaults;
  const ModelConfig& config = model.config();
  Fill(filled.mechanism, config.default_mechanism.empty()
                             ? std::string(kDefaultMechanism)
                             : config.default_mechanism);
  Fill<std::optional<Visibility>>(filled.visibility, Visibility::kCausal);
  Fill<std::optional<float>>(filled.gate, kDefaultGate);
  Fill<std::optional<FeatureMap>>(filled.features, FeatureMap::kElu);
  Fill<std::optional<Merge>>(filled.merge, Merge::kGate);
  Fill<std::optional<int>>(filled.top_k, 0);
  Fill<std::optional<int>>(filled.anchors, 1);
  Fill<std::optional<float>>(filled.anchor_share, 0.0f);
  Fill<std::optional<int>>(filled.neighbors, 0);
  Fill<std::string>(filled.state_codec, kDefaultStateCodec);
  Fill<std::optional<int>>(filled.state_rank, StateCodecOptions().rank);
  FillMechanismOptions(DefaultMechanismOptions(), &filled.mechanism_options);
  Fill<std::string>(filled.chunker, kDefaultChunker);
  Fill<std::optional<int>>(
      filled.chunk_tokens,
      config.default_chunk_rows > 0
          ? config.default_chunk_rows
          : std::min(kDefaultChunkTokens, config.max_positions()));
  Fill<std::optional<int>>(filled.min_chunk_tokens, 0);
  Fill<std::optional<int>>(filled.overlap_tokens, 0);
  Fill<std::string>(filled.pooling, model.pooling());
  // A model that brings its own mechanism is left as it is.
  const bool mixes = config.default_mechanism.empty();
  Fill<std::optional<float>>(filled.anchor_weight,
                             mixes ? kDefaultAnchorWeight : 0.0f);
  Fill<std::optional<float>>(filled.document_weight,
                             mixes ? kDefaultDocumentWeight : 0.0f);
  return filled;
}

absl::StatusOr<EncodeOptions> ResolveEncodeOptions(
    const Model& model, const EncodeOptions& options,
    const EncodeOptions& defaults) {
  EncodeOptions resolved = options;
  Fill(resolved.mechanism, defaults.mechanism);
  Fill(resolved.visibility, defaults.visibility);
  Fill(resolved.gate, defaults.gate);
  Fill(resolved.head_gates, defaults.head_gates);
  Fill(resolved.retrieval_layers, defaults.retrieval_layers);
  Fill(resolved.features, defaults.features);
  Fill(resolved.merge, defaults.merge);
  Fill(resolved.top_k, defaults.top_k);
  Fill(resolved.anchors, defaults.anchors);
  Fill(resolved.anchor_share, defaults.anchor_share);
  Fill(resolved.neighbors, defaults.neighbors);
  Fill(resolved.state_codec, defaults.state_codec);
  Fill(resolved.state_rank, defaults.state_rank);
  FillMechanismOptions(defaults.mechanism_options, &resolved.mechanism_options);
  Fill(resolved.global_tokens, defaults.global_tokens);
  Fill(resolved.chunker, defaults.chunker);
  Fill(resolved.chunk_tokens, defaults.chunk_tokens);
  Fill(resolved.min_chunk_tokens, defaults.min_chunk_tokens);
  Fill(resolved.overlap_tokens, defaults.overlap_tokens);
  Fill(resolved.pooling, defaults.pooling);
  Fill(resolved.anchor_weight, defaults.anchor_weight);
  Fill(resolved.document_weight, defaults.document_weight);

  LH_RETURN_IF_ERROR(PoolerRegistry().Find(resolved.pooling).status());
  LH_RETURN_IF_ERROR(CheckChunkTokens(model, resolved));
  LH_RETURN_IF_ERROR(
      CheckContextWeight("anchor_weight", *resolved.anchor_weight, 0));
  LH_RETURN_IF_ERROR(CheckContextWeight(
      "document_weight", *resolved.document_weight, -kMaxContextWeight));
  LH_RETURN_IF_ERROR(CheckSpans(resolved));
  LH_RETURN_IF_ERROR(MakeStateCodec(resolved).status());
  LH_RETURN_IF_ERROR(CheckMechanismInput(resolved));
  absl::StatusOr<std::unique_ptr<const Attention>> made =
      MakeAttention(model, resolved);
  // An operator's default must not make a mechanism unusable that does not know
  // it; all know this one, or force their own.
  if (!options.visibility && IsAboutVisibility(made.status())) {
    resolved.visibility = Visibility::kCausal;
    made = MakeAttention(model, resolved);
  }
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<const Attention> attention,
                      std::move(made));
  // A mechanism may know one visibility only.
  resolved.visibility = attention->retrieval().visibility;
  LH_RETURN_IF_ERROR(CheckVisibility(options, resolved));
  LH_RETURN_IF_ERROR(
      CheckUsed(absl::StrCat("mechanism \"", resolved.mechanism, "\""),
                UnusedOptions(*attention), options, attention->exchanges()));
  LH_ASSIGN_OR_RETURN(std::unique_ptr<Chunker> chunker,
                      MakeChunker(model, resolved));
  LH_RETURN_IF_ERROR(
      CheckUsed(absl::StrCat("chunker \"", resolved.chunker, "\""),
                chunker->unused_options(), options, attention->exchanges()));
  LH_RETURN_IF_ERROR(CheckGlobalSpecial(*attention, *chunker, resolved));
  LH_RETURN_IF_ERROR(CheckOutputs(*attention, resolved));
  return resolved;
}

absl::Status CheckMechanismInput(const EncodeOptions& options) {
  LH_RETURN_IF_ERROR(CheckMechanismOptions(options.mechanism_options));
  return CheckGlobalTokens(options.global_tokens);
}

std::vector<std::string> AvailableMechanisms(const Model& model) {
  std::vector<std::string> available;
  EncodeOptions options = BuiltInDefaults(model, EncodeOptions());
  for (const std::string& name : AttentionRegistry().Names()) {
    options.mechanism = name;
    if (MakeAttention(model, options).ok()) available.push_back(name);
  }
  return available;
}

std::vector<std::string_view> UnusedOptions(const Attention& attention) {
  std::vector<std::string_view> unused = attention.unused_options();
  const std::vector<std::string_view> used = attention.mechanism_options();
  const auto add = [&](std::string_view name) {
    if (!Holds(used, name)) unused.push_back(name);
  };
  for (const MechanismField& field : MechanismFields()) add(field.name);
  add("global_tokens");
  return unused;
}

std::vector<NamedValue> UsedMechanismOptions(const Model& model,
                                             const EncodeOptions& options) {
  const auto attention = MakeAttention(model, options);
  LH_CHECK(attention.ok());
  const auto used = (*attention)->mechanism_options();
  std::vector<NamedValue> values;
  for (const MechanismField& field : MechanismFields()) {
    if (!Holds(used, field.name)) continue;
    const int value = *(options.mechanism_options.*field.value);
    values.push_back({std::string(field.name), absl::StrCat(value)});
  }
  if (Holds(used, "global_tokens")) {
    values.push_back(
        {"global_tokens", absl::StrJoin(options.global_tokens, ",")});
  }
  return values;
}

absl::StatusOr<std::unique_ptr<const Attention>> MakeAttention(
    const Model& model, const EncodeOptions& options) {
  LH_ASSIGN_OR_RETURN(AttentionFactory * make,
                      AttentionRegistry().Find(options.mechanism));
  LH_RETURN_IF_ERROR(model.CheckMechanism(options.mechanism));
  const ModelConfig& config = model.config();
  return make({.num_heads = config.num_heads,
               .head_dim = config.head_dim(),
               .num_layers = config.num_layers,
               .retrieval = ToRetrieval(options),
               .mechanism = options.mechanism_options,
               .global_tokens = options.global_tokens,
               .adapter = model.adapter(),
               .extras = model.layer_extras()});
}

absl::StatusOr<std::unique_ptr<const StateCodec>> MakeStateCodec(
    const EncodeOptions& options) {
  LH_ASSIGN_OR_RETURN(StateCodecFactory * make,
                      StateCodecRegistry().Find(options.state_codec));
  return make({.rank = *options.state_rank});
}

absl::StatusOr<std::unique_ptr<Chunker>> MakeChunker(
    const Model& model, const EncodeOptions& options) {
  LH_ASSIGN_OR_RETURN(ChunkerFactory * make,
                      ChunkerRegistry().Find(options.chunker));
  return make({.max_tokens = *options.chunk_tokens - SpecialTokens(model),
               .min_tokens = *options.min_chunk_tokens,
               .overlap_tokens = *options.overlap_tokens,
               .token_table = {model.embedding().tokens.span(),
                               model.config().hidden_size}});
}

StateFingerprint MakeStateFingerprint(const Model& model,
                                      const EncodeOptions& options) {
  Sha256 hash;
  hash.UpdateField(model.info().fingerprint);
  hash.UpdateField(options.mechanism);
  hash.UpdateField(VisibilityName(*options.visibility));
  hash.UpdateField(Exact(*options.gate));
  hash.UpdateField(Exact(options.head_gates));
  hash.UpdateField(absl::StrJoin(options.retrieval_layers, ","));
  hash.UpdateField(FeatureMapName(*options.features));
  hash.UpdateField(MergeName(*options.merge));
  hash.UpdateField(absl::StrCat(*options.top_k, ",", *options.anchors, ",",
                                Exact(*options.anchor_share), ",",
                                *options.neighbors));
  hash.UpdateField(options.state_codec);
  hash.UpdateField(absl::StrCat(*options.state_rank));
  for (const NamedValue& used : UsedMechanismOptions(model, options)) {
    hash.UpdateField(used.name);
    hash.UpdateField(used.value);
  }
  hash.UpdateField(options.chunker);
  hash.UpdateField(absl::StrCat(*options.chunk_tokens, ",",
                                *options.min_chunk_tokens, ",",
                                *options.overlap_tokens));
  return hash.Digest();
}

}  // namespace longhand
