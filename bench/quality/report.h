// What the experiment prints and writes. Pure functions.
#ifndef LONGHAND_BENCH_QUALITY_REPORT_H_
#define LONGHAND_BENCH_QUALITY_REPORT_H_

#include <string>
#include <vector>

#include "bench/quality/experiment.h"
#include "core/model/model.h"
#include "nlohmann/json.hpp"

namespace longhand::quality {

struct ReportOptions {
  std::string baseline;  // the variant that differences are taken to
  std::vector<Half> halves;
  int resamples = 2000;  // of the bootstrap
};

// The difference of two variants' reciprocal ranks, task by task, half by half.
// REQUIRES: both come from the same queries.
Interval MrrDifference(const TaskResult& result, const TaskResult& baseline,
                       int resamples);

// Tables for people: costs, then one table for each task and half. Differences
// are empty without the baseline among `results`.
std::string FormatTables(const std::vector<VariantResult>& results,
                         const ReportOptions& options);

// The same for programs, with what they were computed from.
nlohmann::json MakeReport(const std::vector<VariantResult>& results,
                          const ReportOptions& options, const ModelInfo& model,
                          const Corpus& corpus, const QueryFile& queries);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_REPORT_H_
