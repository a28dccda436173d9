#include "client/cli/option_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/json_output.h"
#include "client/cli/text_display.h"

namespace longhand::client {

std::string DescribeOptions(const v1::EncodeOptions& options) {
  std::string text = absl::StrCat("mechanism ", options.mechanism(),
                                  ", visibility ", ToName(options.visibility()),
                                  ", chunker ", options.chunker());
  if (options.has_chunk_tokens()) {
    absl::StrAppend(&text, " of ", options.chunk_tokens(), " tokens");
  }
  absl::StrAppend(&text, ", pooling ", options.pooling());
  const auto name = [&text](const char* label, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, ", ", label, " ", value);
  };
  const auto number = [&text](const char* label, double value) {
    if (value != 0) absl::StrAppend(&text, ", ", label, " ", value);
  };
  if (options.head_gates_size() > 0) {
    absl::StrAppend(&text, ", ", options.head_gates_size(), " head gates");
  } else if (options.has_gate()) {
    absl::StrAppend(&text, ", gate ", options.gate());
  }
  name("retrieval layers", absl::StrJoin(options.retrieval_layers(), " "));
  name("features", options.features());
  name("merge", options.merge());
  number("top-k", options.top_k());
  if (options.top_k() != 0 || options.anchor_share() != 0) {
    number("anchors", options.anchors());
  }
  number("anchor share", options.anchor_share());
  number("neighbours", options.neighbors());
  number("global tokens", options.global_tokens_size());
  name("states", options.state_codec());
  number("least tokens", options.min_chunk_tokens());
  number("overlap", options.overlap_tokens());
  number("anchor weight", options.anchor_weight());
  number("document weight", options.document_weight());
  return ToDisplayLine(text);
}

}  // namespace longhand::client
