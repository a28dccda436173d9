#include "core/session/state_fields.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/engine/encode_options.h"

namespace longhand {
namespace {

// Of the numbers in a state and of what keys cover.
constexpr char kStateFormat[] = "1";

// Enough digits to tell any two floats apart.
std::string Exact(float value) { return absl::StrFormat("%.9g", value); }

}  // namespace

std::vector<FingerprintField> MakeStateFields(const Model& model,
                                              const EncodeOptions& options) {
  const ModelInfo& info = model.info();
  std::vector<FingerprintField> fields;
  const auto add = [&fields](const char* name, std::string value) {
    fields.push_back({name, std::move(value)});
  };
  add("state_format", kStateFormat);
  add("precision", info.effective_precision);
  add("adapter", info.adapter_fingerprint);
  // Weights, tokenizer, and what decides about the last bits.
  add("model", info.fingerprint);
  add("mechanism", options.mechanism);
  add("visibility", std::string(VisibilityName(*options.visibility)));
  add("gate", Exact(*options.gate));
  add("head_gates",
      absl::StrJoin(options.head_gates, ",", [](std::string* out, float gate) {
        absl::StrAppend(out, Exact(gate));
      }));
  add("retrieval_layers", absl::StrJoin(options.retrieval_layers, ","));
  add("features", std::string(FeatureMapName(*options.features)));
  add("merge", std::string(MergeName(*options.merge)));
  add("top_k", absl::StrCat(*options.top_k));
  add("anchors", absl::StrCat(*options.anchors));
  add("anchor_share", Exact(*options.anchor_share));
  add("neighbors", absl::StrCat(*options.neighbors));
  add("state_codec", options.state_codec);
  add("state_rank", absl::StrCat(*options.state_rank));
  for (NamedValue& used : UsedMechanismOptions(model, options)) {
    fields.push_back({std::move(used.name), std::move(used.value)});
  }
  add("chunker", options.chunker);
  add("chunk_tokens", absl::StrCat(*options.chunk_tokens));
  add("min_chunk_tokens", absl::StrCat(*options.min_chunk_tokens));
  add("overlap_tokens", absl::StrCat(*options.overlap_tokens));
  add("pooling", options.pooling);
  return fields;
}

}  // namespace longhand
