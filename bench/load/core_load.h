// A closed loop of documents on an Encoder, without server, client and gRPC:
// what the core gives to the load that `longhand load` sends. Called from one
// thread.
#ifndef LONGHAND_BENCH_LOAD_CORE_LOAD_H_
#define LONGHAND_BENCH_LOAD_CORE_LOAD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/documents/document_run.h"
#include "client/load_corpus.h"
#include "client/load_histogram.h"
#include "client/load_plan.h"
#include "core/engine/encoder.h"

namespace longhand::load {

struct CoreLoadOptions {
  int clients = 32;         // documents that are open at one time
  uint64_t requests = 160;  // documents in all
  // The clients begin one after the other, evenly within that time.
  absl::Duration ramp_up;
};

struct ClassResult {
  uint64_t documents = 0;
  uint64_t tokens = 0;  // special tokens not counted
  client::LatencyHistogram latency;
};

struct CoreLoadResult {
  std::vector<ClassResult> classes;  // as in the mix
  documents::ElapsedTime time;       // until the last document ended
};

// Each client opens its next document when its last one has ended. The first
// document that fails ends it with its error.
absl::StatusOr<CoreLoadResult> RunCoreLoad(Encoder& encoder,
                                           const client::LoadPlan& plan,
                                           const client::LoadCorpus& corpus,
                                           const CoreLoadOptions& options);

}  // namespace longhand::load

#endif  // LONGHAND_BENCH_LOAD_CORE_LOAD_H_
