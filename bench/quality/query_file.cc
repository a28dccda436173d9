#include "bench/quality/query_file.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/quality/json_lines.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

constexpr int64_t kMaxOffset = int64_t{1} << 40;

absl::Status Invalid(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "QUERIES_INVALID", what);
}

absl::StatusOr<Query> ParseQuery(const nlohmann::json& object) {
  Query query;
  std::string half;
  LH_ASSIGN_OR_RETURN(query.task, GetString(object, "task"));
  LH_ASSIGN_OR_RETURN(query.document, GetString(object, "document"));
  LH_ASSIGN_OR_RETURN(half, GetString(object, "half"));
  LH_ASSIGN_OR_RETURN(query.text, GetString(object, "text"));
  LH_ASSIGN_OR_RETURN(query.gold.begin,
                      GetInt(object, "gold_begin", 0, kMaxOffset));
  LH_ASSIGN_OR_RETURN(query.gold.end,
                      GetInt(object, "gold_end", 0, kMaxOffset));
  if (query.gold.begin >= query.gold.end) {
    return Invalid("gold_end must lie behind gold_begin");
  }
  if (half != "dev" && half != "test") return Invalid("half: dev or test");
  query.half = half == "dev" ? Half::kDev : Half::kTest;
  const bool known =
      std::any_of(Tasks().begin(), Tasks().end(),
                  [&](const Task& task) { return task.name == query.task; });
  if (!known) return Invalid(absl::StrCat("unknown task ", query.task));
  return query;
}

}  // namespace

absl::StatusOr<QueryFile> ReadQueries(const std::string& path) {
  QueryFile file;
  LH_ASSIGN_OR_RETURN(
      file.sha256,
      ReadJsonLines(path, "QUERIES_INVALID", [&](const nlohmann::json& object) {
        absl::StatusOr<Query> query = ParseQuery(object);
        if (query.ok()) file.queries.push_back(*std::move(query));
        return query.status();
      }));
  return file;
}

absl::Status WriteQueries(const std::string& path,
                          const std::vector<Query>& queries) {
  std::ofstream out(path, std::ios::binary);
  for (const Query& query : queries) {
    const nlohmann::json object = {{"task", query.task},
                                   {"document", query.document},
                                   {"half", HalfName(query.half)},
                                   {"text", query.text},
                                   {"gold_begin", query.gold.begin},
                                   {"gold_end", query.gold.end}};
    out << object.dump() << '\n';
  }
  out.close();
  if (!out) {
    return MakeError(absl::StatusCode::kInternal, "FILE_UNWRITABLE",
                     absl::StrCat(path, " could not be written"));
  }
  return absl::OkStatus();
}

}  // namespace longhand::quality
