#include "bench/quality/corpus.h"

#include <algorithm>
#include <map>
#include <utility>

#include "bench/quality/json_lines.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

constexpr char kSplitKey[] = "longhand-quality-split-1";
constexpr int64_t kMaxOffset = int64_t{1} << 40;

absl::StatusOr<Section> ParseSection(const nlohmann::json& object) {
  Section section;
  LH_ASSIGN_OR_RETURN(section.heading, GetString(object, "heading"));
  LH_ASSIGN_OR_RETURN(section.begin, GetInt(object, "begin", 0, kMaxOffset));
  LH_ASSIGN_OR_RETURN(section.body, GetInt(object, "body", 0, kMaxOffset));
  return section;
}

absl::StatusOr<CorpusDocument> ParseDocument(const nlohmann::json& object) {
  CorpusDocument document;
  LH_ASSIGN_OR_RETURN(document.id, GetString(object, "id"));
  LH_ASSIGN_OR_RETURN(document.collection, GetString(object, "collection"));
  LH_ASSIGN_OR_RETURN(document.title, GetString(object, "title"));
  LH_ASSIGN_OR_RETURN(document.topic, GetString(object, "topic"));
  LH_ASSIGN_OR_RETURN(document.text, GetString(object, "text"));
  const auto sections = object.find("sections");
  if (sections == object.end() || !sections->is_array()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CORPUS_INVALID",
                     "sections: an array was expected");
  }
  for (const nlohmann::json& entry : *sections) {
    LH_ASSIGN_OR_RETURN(Section section, ParseSection(entry));
    if (section.begin > section.body || section.body >= document.text.size()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "CORPUS_INVALID",
                       "sections: a section lies outside the text");
    }
    document.sections.push_back(std::move(section));
  }
  return document;
}

std::string SplitKey(std::string_view id) {
  Sha256 hash;
  hash.UpdateField(std::string_view(kSplitKey));
  hash.UpdateField(id);
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<Corpus> ReadCorpus(const std::string& path) {
  Corpus corpus;
  LH_ASSIGN_OR_RETURN(
      corpus.sha256,
      ReadJsonLines(path, "CORPUS_INVALID", [&](const nlohmann::json& object) {
        absl::StatusOr<CorpusDocument> document = ParseDocument(object);
        if (document.ok()) corpus.documents.push_back(*std::move(document));
        return document.status();
      }));
  return corpus;
}

std::string_view HalfName(Half half) {
  return half == Half::kDev ? "dev" : "test";
}

std::vector<Half> SplitHalves(absl::Span<const std::string> ids) {
  std::vector<std::pair<std::string, size_t>> order;
  for (size_t i = 0; i < ids.size(); ++i) {
    order.emplace_back(SplitKey(ids[i]), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<Half> halves(ids.size(), Half::kTest);
  for (size_t i = 0; i < (ids.size() + 1) / 2; ++i) {
    halves[order[i].second] = Half::kDev;
  }
  return halves;
}

std::vector<Half> SplitCorpus(const Corpus& corpus) {
  std::map<std::string, std::vector<size_t>> collections;
  for (size_t i = 0; i < corpus.documents.size(); ++i) {
    collections[corpus.documents[i].collection].push_back(i);
  }
  std::vector<Half> halves(corpus.documents.size());
  for (const auto& [name, members] : collections) {
    std::vector<std::string> ids;
    for (const size_t i : members) ids.push_back(corpus.documents[i].id);
    const std::vector<Half> split = SplitHalves(ids);
    for (size_t i = 0; i < members.size(); ++i) halves[members[i]] = split[i];
  }
  return halves;
}

}  // namespace longhand::quality
