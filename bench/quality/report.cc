#include "bench/quality/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"

namespace longhand::quality {
namespace {

constexpr uint64_t kBootstrapSeed = 1;

const VariantResult* FindVariant(const std::vector<VariantResult>& results,
                                 const std::string& name) {
  for (const VariantResult& result : results) {
    if (result.variant.name == name) return &result;
  }
  return nullptr;
}

bool IsWanted(const ReportOptions& options, Half half) {
  return std::find(options.halves.begin(), options.halves.end(), half) !=
         options.halves.end();
}

size_t NameWidth(const std::vector<VariantResult>& results) {
  size_t width = 7;
  for (const VariantResult& result : results) {
    width = std::max(width, result.variant.name.size());
  }
  return width;
}

std::string FormatCosts(const std::vector<VariantResult>& results) {
  const int width = static_cast<int>(NameWidth(results));
  std::string out = absl::StrFormat("%-*s %7s %9s %9s %9s\n", width, "variant",
                                    "chunks", "rows", "tokens/s", "speed");
  for (const VariantResult& result : results) {
    absl::StrAppendFormat(&out, "%-*s %7d %9d", width, result.variant.name,
                          result.chunks, result.encoded_tokens);
    if (result.speed.has_value()) {
      absl::StrAppendFormat(&out, " %9.0f %8.2fx",
                            result.speed->tokens_per_second,
                            result.speed->relative);
    }
    out += '\n';
  }
  return out;
}

std::string FormatRow(const VariantResult& result, const TaskResult& task,
                      const TaskResult* baseline, const ReportOptions& options,
                      int width) {
  std::string out = absl::StrFormat("%-*s %6.4f %6.3f %6.3f %9.3f", width,
                                    result.variant.name, task.metrics.mrr,
                                    task.metrics.recall_at_1,
                                    task.metrics.recall_at_10, task.undivided);
  if (baseline != nullptr && baseline != &task) {
    const Interval difference =
        MrrDifference(task, *baseline, options.resamples);
    absl::StrAppendFormat(&out, "  %+.4f [%+.4f, %+.4f]", difference.mean,
                          difference.low, difference.high);
  }
  return out + "\n";
}

nlohmann::json TaskJson(const TaskResult& task, const TaskResult* baseline,
                        const ReportOptions& options) {
  nlohmann::json object = {{"task", task.task},
                           {"half", HalfName(task.half)},
                           {"queries", task.metrics.queries},
                           {"mrr", task.metrics.mrr},
                           {"recall_at_1", task.metrics.recall_at_1},
                           {"recall_at_10", task.metrics.recall_at_10},
                           {"undivided", task.undivided}};
  if (baseline != nullptr) {
    const Interval difference =
        MrrDifference(task, *baseline, options.resamples);
    object["mrr_difference"] = {{"mean", difference.mean},
                                {"low", difference.low},
                                {"high", difference.high}};
  }
  return object;
}

nlohmann::json VariantJson(const VariantResult& result,
                           const VariantResult* baseline,
                           const ReportOptions& options) {
  nlohmann::json object = {{"name", result.variant.name},
                           {"options", result.variant.parameters},
                           {"chunks", result.chunks},
                           {"encoded_tokens", result.encoded_tokens},
                           {"tasks", nlohmann::json::array()}};
  if (result.speed.has_value()) {
    object["tokens_per_second"] = result.speed->tokens_per_second;
    object["relative_speed"] = result.speed->relative;
  }
  for (size_t i = 0; i < result.tasks.size(); ++i) {
    if (!IsWanted(options, result.tasks[i].half)) continue;
    object["tasks"].push_back(TaskJson(
        result.tasks[i], baseline ? &baseline->tasks[i] : nullptr, options));
  }
  return object;
}

}  // namespace

Interval MrrDifference(const TaskResult& result, const TaskResult& baseline,
                       int resamples) {
  LH_CHECK(result.ranks.size() == baseline.ranks.size());
  std::vector<double> differences;
  for (size_t i = 0; i < result.ranks.size(); ++i) {
    differences.push_back(ReciprocalRank(result.ranks[i]) -
                          ReciprocalRank(baseline.ranks[i]));
  }
  return BootstrapMean(differences, result.groups, resamples, kBootstrapSeed);
}

std::string FormatTables(const std::vector<VariantResult>& results,
                         const ReportOptions& options) {
  if (results.empty()) return "";
  std::string out = FormatCosts(results);
  const VariantResult* const baseline = FindVariant(results, options.baseline);
  const int width = static_cast<int>(NameWidth(results));
  for (size_t i = 0; i < results[0].tasks.size(); ++i) {
    const TaskResult& task = results[0].tasks[i];
    if (!IsWanted(options, task.half)) continue;
    absl::StrAppendFormat(&out, "\n%s, %s half: %d queries\n", task.task,
                          absl::StrCat(HalfName(task.half).data()),
                          task.metrics.queries);
    absl::StrAppendFormat(
        &out, "%-*s %6s %6s %6s %9s  %s\n", width, "variant", "MRR", "R@1",
        "R@10", "undivided",
        baseline == nullptr
            ? ""
            : absl::StrCat("MRR - ", options.baseline, " [95 %]"));
    for (const VariantResult& result : results) {
      out +=
          FormatRow(result, result.tasks[i],
                    baseline ? &baseline->tasks[i] : nullptr, options, width);
    }
  }
  return out;
}

nlohmann::json MakeReport(const std::vector<VariantResult>& results,
                          const ReportOptions& options, const ModelInfo& model,
                          const Corpus& corpus, const QueryFile& queries) {
  const VariantResult* const baseline = FindVariant(results, options.baseline);
  nlohmann::json report = {{"model", model.name},
                           {"fingerprint", model.fingerprint},
                           {"precision", model.effective_precision},
                           {"corpus_sha256", corpus.sha256},
                           {"queries_sha256", queries.sha256},
                           {"baseline", baseline ? options.baseline : ""},
                           {"variants", nlohmann::json::array()}};
  for (const VariantResult& result : results) {
    report["variants"].push_back(VariantJson(result, baseline, options));
  }
  return report;
}

}  // namespace longhand::quality
