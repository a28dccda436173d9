#include "client/cli/encode_options.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/json_output.h"
#include "client/cli/mechanism_flags.h"
#include "client/client_error.h"
#include "nlohmann/json.hpp"

namespace longhand::client {
namespace {

absl::Status InvalidSpans(absl::string_view message) {
  return MakeClientError(
      absl::StatusCode::kInvalidArgument, "INPUT_INVALID",
      absl::StrCat(message,
                   "; give spans as lines BEGIN END (the first byte and one "
                   "past the last) or as a JSON array of such pairs"));
}

v1::ByteSpan MakeSpan(uint64_t begin, uint64_t end) {
  v1::ByteSpan span;
  span.set_begin(begin);
  span.set_end(end);
  return span;
}

// Two numbers.
std::optional<v1::ByteSpan> ParsePair(
    const std::vector<absl::string_view>& words) {
  uint64_t begin = 0;
  uint64_t end = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &begin) ||
      !absl::SimpleAtoi(words[1], &end)) {
    return std::nullopt;
  }
  return MakeSpan(begin, end);
}

absl::StatusOr<std::vector<v1::ByteSpan>> ParseJsonSpans(
    absl::string_view text) {
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_array()) return InvalidSpans("this is not a JSON array");
  std::vector<v1::ByteSpan> spans;
  for (const auto& pair : json) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
        !pair[1].is_number_unsigned()) {
      return InvalidSpans(absl::StrCat("element ", spans.size(),
                                       " is not a pair of byte offsets"));
    }
    spans.push_back(MakeSpan(pair[0].get<uint64_t>(), pair[1].get<uint64_t>()));
  }
  return spans;
}

}  // namespace

v1::EncodeOptions ToOptions(const OptionFlags& flags) {
  v1::EncodeOptions options;
  options.set_model(flags.model);
  options.set_mechanism(flags.mechanism);
  options.set_visibility(ToVisibility(flags.visibility));
  if (flags.gate) options.set_gate(*flags.gate);
  options.mutable_head_gates()->Add(flags.head_gates.begin(),
                                    flags.head_gates.end());
  options.mutable_retrieval_layers()->Add(flags.retrieval_layers.begin(),
                                          flags.retrieval_layers.end());
  options.set_features(flags.features);
  options.set_merge(flags.merge);
  if (flags.top_k) options.set_top_k(*flags.top_k);
  if (flags.anchors) options.set_anchors(*flags.anchors);
  if (flags.anchor_share) options.set_anchor_share(*flags.anchor_share);
  if (flags.neighbors) options.set_neighbors(*flags.neighbors);
  SetMechanismOptions(flags, &options);
  options.set_state_codec(flags.state_codec);
  if (flags.state_rank) options.set_state_rank(*flags.state_rank);
  options.set_chunker(flags.chunker);
  if (flags.chunk_tokens) options.set_chunk_tokens(*flags.chunk_tokens);
  if (flags.min_chunk_tokens) {
    options.set_min_chunk_tokens(*flags.min_chunk_tokens);
  }
  if (flags.overlap_tokens) options.set_overlap_tokens(*flags.overlap_tokens);
  options.set_pooling(flags.pooling);
  if (flags.anchor_weight) options.set_anchor_weight(*flags.anchor_weight);
  if (flags.document_weight) {
    options.set_document_weight(*flags.document_weight);
  }
  return options;
}

std::optional<v1::ByteSpan> ParseSpan(absl::string_view text) {
  return ParsePair(absl::StrSplit(text, ':'));
}

absl::StatusOr<std::vector<v1::ByteSpan>> ParseSpans(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (!text.empty() && text.front() == '[') return ParseJsonSpans(text);
  std::vector<v1::ByteSpan> spans;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const auto span = ParsePair(
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty()));
    if (!span) {
      return InvalidSpans(absl::StrCat("line ", number, " is not a span"));
    }
    spans.push_back(*span);
  }
  return spans;
}

}  // namespace longhand::client
