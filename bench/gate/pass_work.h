// The forward pass of some chunks through all layers of a model, as a Work.
#ifndef LONGHAND_BENCH_GATE_PASS_WORK_H_
#define LONGHAND_BENCH_GATE_PASS_WORK_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bench/gate/work.h"

namespace longhand::gate {

// `chunks` of `rows` rows after `earlier` chunks of the same document.
struct PassShape {
  std::string_view name;
  std::string precision;
  std::string_view mechanism;
  int chunks;
  int rows;
  int earlier = 0;
};

// Model::Load's errors for the directory `model`.
absl::StatusOr<std::unique_ptr<Work>> MakePassWork(const PassShape& shape,
                                                   const std::string& model);

}  // namespace longhand::gate

#endif  // LONGHAND_BENCH_GATE_PASS_WORK_H_
