// queries.jsonl: one query per line, so that several systems answer the same
// ones. Pure functions apart from the file system.
#ifndef LONGHAND_BENCH_QUALITY_QUERY_FILE_H_
#define LONGHAND_BENCH_QUALITY_QUERY_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/quality/queries.h"

namespace longhand::quality {

struct QueryFile {
  std::vector<Query> queries;
  std::string sha256;  // of the file
};

// NOT_FOUND (FILE_MISSING) or INVALID_ARGUMENT (QUERIES_INVALID, with the
// line).
absl::StatusOr<QueryFile> ReadQueries(const std::string& path);

// INTERNAL (FILE_UNWRITABLE).
absl::Status WriteQueries(const std::string& path,
                          const std::vector<Query>& queries);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_QUERY_FILE_H_
