#include "bench/quality/variants.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

using Json = nlohmann::json;

absl::Status Invalid(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "VARIANTS_INVALID",
                   what);
}

// Readers of one value; false for a wrong type.
bool Read(const Json& value, std::string* out) {
  if (!value.is_string()) return false;
  *out = value.get<std::string>();
  return true;
}
bool Read(const Json& value, std::optional<float>* out) {
  if (!value.is_number()) return false;
  *out = value.get<float>();
  return true;
}
bool Read(const Json& value, std::optional<int>* out) {
  if (!value.is_number_integer()) return false;
  *out = value.get<int>();
  return true;
}
template <typename T>
bool Read(const Json& value, std::vector<T>* out) {
  const auto right = [](const Json& entry) {
    return std::is_integral_v<T> ? entry.is_number_integer()
                                 : entry.is_number();
  };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), right)) {
    return false;
  }
  *out = value.get<std::vector<T>>();
  return true;
}
bool Read(const Json& value, std::optional<Visibility>* out) {
  for (const Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional,
        Visibility::kTwoPass}) {
    if (value == VisibilityName(visibility)) *out = visibility;
  }
  return out->has_value();
}
bool Read(const Json& value, std::optional<FeatureMap>* out) {
  if (value.is_string()) *out = FeatureMapFromName(value.get<std::string>());
  return out->has_value();
}
bool Read(const Json& value, std::optional<Merge>* out) {
  if (value.is_string()) *out = MergeFromName(value.get<std::string>());
  return out->has_value();
}

bool Read(const Json& value, MechanismOptions* out) {
  if (!value.is_object()) return false;
  for (const auto& [key, number] : value.items()) {
    const auto fields = MechanismFields();
    const auto field = std::find_if(
        fields.begin(), fields.end(),
        [&key = key](const MechanismField& f) { return f.name == key; });
    if (field == fields.end() || !Read(number, &(out->*field->value))) {
      return false;
    }
  }
  return true;
}

absl::Status ParseAddition(const Json& object, Variant* variant) {
  std::string name;
  double weight = 0;
  LH_ASSIGN_OR_RETURN(name, GetString(object, "add"));
  LH_ASSIGN_OR_RETURN(weight, GetDouble(object, "weight", -100, 100));
  variant->kind = VariantKind::kAdded;
  variant->weight = static_cast<float>(weight);
  if (name == "first_chunk") {
    variant->addition = Addition::kFirstChunk;
  } else if (name == "document_mean") {
    variant->addition = Addition::kDocumentMean;
  } else {
    return Invalid("add: first_chunk or document_mean");
  }
  return absl::OkStatus();
}

absl::Status CheckKeys(const Json& object) {
  static const auto* const kKeys = new std::set<std::string>{
      "name", "of", "add", "weight", "prefix", "options", "on_request"};
  for (const auto& [key, value] : object.items()) {
    if (kKeys->count(key) == 0) return Invalid("unknown key " + key);
  }
  return absl::OkStatus();
}

absl::StatusOr<Variant> ParseVariant(const Json& object) {
  if (!object.is_object()) return Invalid("a variant is an object");
  LH_RETURN_IF_ERROR(CheckKeys(object));
  Variant variant;
  LH_ASSIGN_OR_RETURN(variant.name, GetString(object, "name"));
  LH_ASSIGN_OR_RETURN(variant.of, GetString(object, "of", ""));
  LH_ASSIGN_OR_RETURN(variant.on_request, GetBool(object, "on_request", false));
  variant.parameters = object.value("options", Json::object());
  LH_ASSIGN_OR_RETURN(variant.options, ParseEncodeOptions(variant.parameters));
  if (object.contains("add")) {
    LH_RETURN_IF_ERROR(ParseAddition(object, &variant));
  } else if (object.contains("prefix")) {
    if (object["prefix"] != "topic") return Invalid("prefix: topic");
    variant.kind = VariantKind::kPrefixed;
  }
  if ((variant.kind == VariantKind::kEncoded) != variant.of.empty()) {
    return Invalid("of goes with add and prefix, and with nothing else");
  }
  return variant;
}

absl::Status CheckNames(const std::vector<Variant>& variants) {
  std::map<std::string, VariantKind> earlier;
  for (const Variant& variant : variants) {
    if (!variant.of.empty()) {
      const auto base = earlier.find(variant.of);
      if (base == earlier.end() || base->second != VariantKind::kEncoded) {
        return Invalid(absl::StrCat(variant.name, ": of must name an earlier ",
                                    "variant that the encoder makes"));
      }
    }
    if (!earlier.emplace(variant.name, variant.kind).second) {
      return Invalid(absl::StrCat("two variants are called ", variant.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EncodeOptions> ParseEncodeOptions(const Json& object) {
  EncodeOptions options;
  const auto into = [](auto* field) {
    return [field](const Json& value) { return Read(value, field); };
  };
  const std::map<std::string, std::function<bool(const Json&)>> fields = {
      {"mechanism", into(&options.mechanism)},
      {"visibility", into(&options.visibility)},
      {"gate", into(&options.gate)},
      {"head_gates", into(&options.head_gates)},
      {"retrieval_layers", into(&options.retrieval_layers)},
      {"features", into(&options.features)},
      {"merge", into(&options.merge)},
      {"top_k", into(&options.top_k)},
      {"anchors", into(&options.anchors)},
      {"anchor_share", into(&options.anchor_share)},
      {"neighbors", into(&options.neighbors)},
      {"state_codec", into(&options.state_codec)},
      {"state_rank", into(&options.state_rank)},
      {"mechanism_options", into(&options.mechanism_options)},
      {"global_tokens", into(&options.global_tokens)},
      {"chunker", into(&options.chunker)},
      {"chunk_tokens", into(&options.chunk_tokens)},
      {"min_chunk_tokens", into(&options.min_chunk_tokens)},
      {"overlap_tokens", into(&options.overlap_tokens)},
      {"pooling", into(&options.pooling)},
      {"anchor_weight", into(&options.anchor_weight)},
      {"document_weight", into(&options.document_weight)},
  };
  if (!object.is_object()) return Invalid("options: an object was expected");
  for (const auto& [key, value] : object.items()) {
    const auto field = fields.find(key);
    if (field == fields.end()) return Invalid("unknown option " + key);
    if (!field->second(value)) {
      return Invalid(absl::StrCat(key, ": not a value for it: ", value.dump()));
    }
  }
  return options;
}

absl::StatusOr<std::vector<Variant>> ParseVariants(std::string_view text) {
  LH_ASSIGN_OR_RETURN(const Json file, ParseJson(text));
  const auto list = file.is_object() ? file.find("variants") : file.end();
  if (list == file.end() || !list->is_array() || list->empty()) {
    return Invalid("an object with an array `variants` was expected");
  }
  std::vector<Variant> variants;
  for (const Json& object : *list) {
    absl::StatusOr<Variant> variant = ParseVariant(object);
    if (!variant.ok()) {
      return WithContext(variant.status(), "VARIANTS_INVALID",
                         absl::StrCat("variant ", variants.size() + 1));
    }
    variants.push_back(*std::move(variant));
  }
  LH_RETURN_IF_ERROR(CheckNames(variants));
  return variants;
}

absl::StatusOr<std::vector<Variant>> SelectVariants(
    const std::vector<Variant>& all, const std::vector<std::string>& names) {
  std::set<std::string> wanted(names.begin(), names.end());
  if (names.empty()) {
    for (const Variant& variant : all) {
      if (!variant.on_request) wanted.insert(variant.name);
    }
  }
  for (const std::string& name : names) {
    const auto variant =
        std::find_if(all.begin(), all.end(),
                     [&](const Variant& v) { return v.name == name; });
    if (variant == all.end()) {
      return MakeError(absl::StatusCode::kNotFound, "VARIANT_UNKNOWN",
                       absl::StrCat("there is no variant ", name));
    }
    if (!variant->of.empty()) wanted.insert(variant->of);
  }
  std::vector<Variant> selected;
  for (const Variant& variant : all) {
    if (wanted.count(variant.name) > 0) selected.push_back(variant);
  }
  return selected;
}

}  // namespace longhand::quality
