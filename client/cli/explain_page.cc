#include "client/cli/explain_page.h"

#include <openssl/sha.h>

#include <cmath>
#include <cstdint>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/color_scale.h"
#include "client/cli/explain_page_parts.h"
#include "client/cli/explain_svg.h"
#include "client/cli/json_output.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

// As a Content-Security-Policy names an inline part that may be used.
std::string SourceHash(absl::string_view part) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(part.data()), part.size(),
         digest);
  return absl::StrCat(
      "'sha256-",
      absl::Base64Escape(absl::string_view(
          reinterpret_cast<const char*>(digest), sizeof(digest))),
      "'");
}

// Nothing may be loaded; the page's own style and script alone are used.
std::string Policy() {
  return absl::StrCat(
      "default-src 'none'; base-uri 'none'; form-action "
      "'none'; img-src data:; style-src ",
      SourceHash(kExplainCss), "; script-src ", SourceHash(kExplainJs));
}

// JSON that stays inside its <script> whatever it holds.
std::string ScriptJson(const Json& json) {
  return absl::StrReplaceAll(
      json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace),
      {{"<", "\\u003c"}, {">", "\\u003e"}, {"&", "\\u0026"}});
}

// All weights as base64 of little-endian uint16 q, weight = (q / 65535)^2:
// plane by plane (first the mean, then by layer and head), in it row by row.
class WeightPacker {
 public:
  void Add(float weight) {
    const double root = std::sqrt(std::min(std::max(weight, 0.0F), 1.0F));
    const auto quantum = static_cast<uint16_t>(std::lround(root * 65535));
    bytes_ += static_cast<char>(quantum & 0xFF);
    bytes_ += static_cast<char>(quantum >> 8);
  }
  std::string Finish() const { return absl::Base64Escape(bytes_); }

 private:
  std::string bytes_;
};

std::string PackWeights(const RetrievalMap& map) {
  WeightPacker packer;
  const size_t rows = map.groups().size();
  const auto add_plane = [&](auto weight) {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t column = 0; column < map.columns(row); ++column) {
        packer.Add(weight(row, column));
      }
    }
  };
  add_plane(
      [&map](size_t row, size_t column) { return map.Weight(row, column); });
  if (!map.options().keep_heads) return packer.Finish();
  for (int layer = 0; layer < map.options().layers; ++layer) {
    for (int head = 0; head < map.options().heads; ++head) {
      add_plane([&map, layer, head](size_t row, size_t column) {
        return map.HeadWeight(layer, head, row, column);
      });
    }
  }
  return packer.Finish();
}

Json RowsToJson(const RetrievalMap& map, const PageContent& content) {
  Json rows = Json::array();
  for (size_t i = 0; i < map.groups().size(); ++i) {
    const MapGroup& group = map.groups()[i];
    const PageText& text = content.texts[i];
    rows.push_back({{"first", group.first_chunk},
                    {"end", group.end_chunk},
                    {"begin_byte", group.begin_byte},
                    {"end_byte", group.end_byte},
                    {"tokens", group.tokens},
                    {"words", FitWidth(ToDisplayLine(text.text), 60)},
                    {"text", ToDisplayText(text.text)},
                    {"is_whole", text.is_whole}});
  }
  return rows;
}

Json ToJson(const RetrievalMap& map, const PageContent& content) {
  Json facts = Json::array();
  for (const auto& [label, value] : content.facts) {
    facts.push_back({label, ToDisplayLine(value)});
  }
  return {{"facts", std::move(facts)},
          {"chunks", map.chunk_count()},
          {"chunks_per_row", map.chunks_per_row()},
          {"causal", map.causal()},
          {"layers", map.options().layers},
          {"heads", map.options().heads},
          {"has_heads", map.options().keep_heads},
          {"retrieving_layers", content.retrieving_layers},
          {"layer", content.layer},
          {"head", content.head},
          {"colors", ScaleColors()},
          {"rows", RowsToJson(map, content)}};
}

// `page` with each @NAME@ replaced by parts[NAME]. What is put in is not looked
// at again.
std::string Fill(absl::string_view page,
                 const std::map<std::string, std::string>& parts) {
  std::string filled;
  for (;;) {
    const size_t begin = page.find('@');
    const size_t end =
        begin == page.npos ? page.npos : page.find('@', begin + 1);
    if (end == page.npos) break;
    absl::StrAppend(&filled, page.substr(0, begin));
    absl::StrAppend(
        &filled,
        parts.at(std::string(page.substr(begin + 1, end - begin - 1))));
    page.remove_prefix(end + 1);
  }
  return absl::StrCat(filled, page);
}

}  // namespace

std::string MakePage(const RetrievalMap& map, const PageContent& content) {
  return Fill(kExplainHtml,
              {{"POLICY", EscapeMarkup(Policy())},
               {"NAME", EscapeMarkup(ToDisplayLine(content.name))},
               {"STYLE", kExplainCss},
               {"DATA", ScriptJson(ToJson(map, content))},
               {"WEIGHTS", PackWeights(map)},
               {"SCRIPT", kExplainJs}});
}

}  // namespace longhand::client
