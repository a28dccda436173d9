#include "client/cli/comparison_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/text_display.h"
#include "client/client_error.h"

namespace longhand::client {
namespace {

// The reason that scripts can act on.
std::string Reason(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  return detail ? detail->reason : absl::StatusCodeToString(status.code());
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

double TokensPerSecond(const MechanismResult& result) {
  return Rate(result.encoded.summary.received_tokens(),
              absl::Seconds(result.total_seconds));
}

std::string FormatCosine(const std::optional<double>& cosine) {
  return cosine ? absl::StrFormat("%.4f", *cosine) : "-";
}

std::string FormatShare(const std::optional<double>& share) {
  return share ? absl::StrFormat("%.1f%%", *share * 100) : "-";
}

std::vector<std::string> Cells(const MechanismResult& result) {
  const v1::EncodeSummary& summary = result.encoded.summary;
  const VectorAgreement& agreement = result.agreement;
  return {
      ToDisplayLine(result.mechanism),
      FormatCount(summary.chunk_count()),
      FormatCount(summary.received_tokens()),
      FormatTime(absl::Seconds(result.total_seconds)),
      FormatTime(absl::Seconds(result.compute_seconds)),
      FormatCount(static_cast<uint64_t>(std::llround(TokensPerSecond(result)))),
      FormatBytes(summary.state_bytes()),
      FormatBytes(summary.peak_working_bytes()),
      FormatCosine(agreement.document_cosine),
      FormatCosine(agreement.mean_cosine),
      FormatCosine(agreement.min_cosine),
      FormatShare(agreement.same_nearest_share)};
}

Json OrNull(const std::optional<double>& value) {
  return value ? Json(static_cast<float>(*value)) : Json();
}

Json ErrorToJson(const absl::Status& status) {
  return {{"code", absl::StatusCodeToString(status.code())},
          {"reason", Reason(status)},
          {"message", std::string(status.message())}};
}

Json ResultToJson(const MechanismResult& result) {
  Json json = {{"mechanism", result.mechanism},
               {"unused_options", result.unused_options}};
  if (!result.status.ok()) {
    json["error"] = ErrorToJson(result.status);
    return json;
  }
  const v1::EncodeSummary& summary = result.encoded.summary;
  const VectorAgreement& agreement = result.agreement;
  json["options"] = ToJson(summary.options());
  json["chunk_count"] = summary.chunk_count();
  json["received_tokens"] = summary.received_tokens();
  json["encoded_tokens"] = summary.encoded_tokens();
  json["total_seconds"] = static_cast<float>(result.total_seconds);
  json["compute_seconds"] = static_cast<float>(result.compute_seconds);
  json["tokens_per_second"] = static_cast<float>(TokensPerSecond(result));
  json["state_bytes"] = summary.state_bytes();
  json["peak_working_bytes"] = summary.peak_working_bytes();
  json["document_cosine"] = OrNull(agreement.document_cosine);
  json["mean_chunk_cosine"] = OrNull(agreement.mean_cosine);
  json["min_chunk_cosine"] = OrNull(agreement.min_cosine);
  json["same_nearest_share"] = OrNull(agreement.same_nearest_share);
  return json;
}

// A line for each option that was left out.
std::string DescribeUnused(const std::vector<MechanismResult>& results) {
  std::vector<std::string> options;  // in the order in which they come up
  for (const MechanismResult& result : results) {
    for (const std::string& option : result.unused_options) {
      if (!Contains(options, option)) options.push_back(option);
    }
  }
  std::string text;
  for (const std::string& option : options) {
    std::vector<std::string> names;
    for (const MechanismResult& result : results) {
      if (Contains(result.unused_options, option)) {
        names.push_back(result.mechanism);
      }
    }
    absl::StrAppend(&text, "left out   ",
                    ToDisplayLine(absl::StrCat(option, " for ",
                                               absl::StrJoin(names, ", "))),
                    "\n");
  }
  return text;
}

}  // namespace

std::string FormatComparison(const ComparisonHead& head,
                             const std::vector<MechanismResult>& results,
                             const Terminal& terminal) {
  Table table({{"MECHANISM"},
               {"CHUNKS", true},
               {"TOKENS", true},
               {"TOTAL", true},
               {"COMPUTE", true},
               {"TOKENS/S", true},
               {"STATES", true},
               {"PEAK", true},
               {"DOCUMENT", true},
               {"CHUNK MEAN", true},
               {"MIN", true},
               {"NEAREST", true}});
  for (const MechanismResult& result : results) {
    if (result.status.ok()) {
      table.AddRow(Cells(result));
    } else {
      table.AddNote(absl::StrCat(
          ToDisplayLine(result.mechanism), "  failed: ",
          ToDisplayLine(absl::StrCat(result.status.message(), " [",
                                     Reason(result.status), "]"))));
    }
  }
  std::string text = absl::StrCat(
      table.Render(terminal), "\nreference  ", ToDisplayLine(head.reference),
      ": DOCUMENT to NEAREST are the agreement with its vectors\n");
  if (head.repeat > 1) {
    absl::StrAppend(&text, "times      medians of ", head.repeat, " runs\n");
  }
  absl::StrAppend(&text, DescribeUnused(results), "model      ",
                  ToDisplayLine(head.model.name()), "\n");
  return text;
}

Json ComparisonToJson(const ComparisonHead& head,
                      const std::vector<MechanismResult>& results) {
  uint64_t bytes = 0;
  Json rows = Json::array();
  for (const MechanismResult& result : results) {
    if (result.status.ok()) bytes = result.encoded.summary.received_bytes();
    rows.push_back(ResultToJson(result));
  }
  return {{"format", "longhand.compare.v1"},
          {"input", {{"name", head.input_name}, {"bytes", bytes}}},
          {"model",
           {{"name", head.model.name()},
            {"fingerprint", head.model.fingerprint()}}},
          {"reference", head.reference},
          {"repeat", head.repeat},
          {"mechanisms", std::move(rows)}};
}

}  // namespace longhand::client
