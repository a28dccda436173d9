// Work: a piece of computation whose instructions the gate counts, on the
// calling thread. Owns what it computes with. Prepare and Run may be called any
// number of times, by turns, and do the same each time. Not thread-safe.
#ifndef LONGHAND_BENCH_GATE_WORK_H_
#define LONGHAND_BENCH_GATE_WORK_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/compute/compute_context.h"

namespace longhand::gate {

// Where a work finds what it computes with; not every work needs all.
struct WorkFiles {
  std::string model;      // a model directory; its tokenizer is not read
  std::string tokenizer;  // a tokenizer.json
  std::string text;       // any UTF-8 text
};

class Work {
 public:
  virtual ~Work() = default;
  // What goes before and is not counted.
  virtual void Prepare(ComputeContext&) {}
  virtual absl::Status Run(ComputeContext& compute) = 0;
};

struct WorkInfo {
  std::string_view name;
  // Whether it is done by the Rust crate, another compiler's code.
  bool is_rust = false;
};

std::vector<WorkInfo> Works();

// INVALID_ARGUMENT (WORK_UNKNOWN), listing the known ones; errors of the files.
absl::StatusOr<std::unique_ptr<Work>> MakeWork(std::string_view name,
                                               const WorkFiles& files);

}  // namespace longhand::gate

#endif  // LONGHAND_BENCH_GATE_WORK_H_
