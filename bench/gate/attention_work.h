// A part of one layer's attention, without the linear layers around it, as a
// Work. Heads as in the default model.
#ifndef LONGHAND_BENCH_GATE_ATTENTION_WORK_H_
#define LONGHAND_BENCH_GATE_ATTENTION_WORK_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "bench/gate/work.h"

namespace longhand::gate {

// What of a layer is counted, see Attention.
enum class AttentionPart {
  kLocal,     // inside the chunks, and the states that they leave
  kRetrieve,  // Exchange and Finish
};

// `chunks` of `rows` rows after `earlier` chunks of the same document.
struct AttentionShape {
  std::string_view name;
  AttentionPart part;
  std::string_view mechanism;
  int chunks;
  int rows;
  int earlier = 0;
  int top_k = 0;  // see RetrievalOptions
};

absl::StatusOr<std::unique_ptr<Work>> MakeAttentionWork(
    const AttentionShape& shape);

}  // namespace longhand::gate

#endif  // LONGHAND_BENCH_GATE_ATTENTION_WORK_H_
