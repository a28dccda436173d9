#include "bench/documents/long_document.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "bench/documents/median.h"
#include "bench/documents/process_memory.h"
#include "core/base/status_macros.h"

namespace longhand::documents {
namespace {

constexpr int64_t kStretches = 10;
// Some batches of chunks, so that every buffer has its full size.
constexpr int64_t kWarmUpTokens = 16'384;

double PerSecond(double count, absl::Duration time) {
  return count / absl::ToDoubleSeconds(time);
}

// Speeds between the tenths of a document.
class StretchClock {
 public:
  StretchClock(int64_t tokens, std::function<void(const StretchSpeed&)> report)
      : tokens_(tokens), report_(std::move(report)) {}

  void Advance(uint64_t encoded_tokens) {
    const int64_t tenth = int64_t(encoded_tokens) * kStretches / tokens_;
    if (tenth <= tenth_) return;
    const ElapsedTime now = stopwatch_.Elapsed();
    const double count = double(encoded_tokens - last_tokens_);
    report_({.end_token = encoded_tokens,
             .per_second = PerSecond(count, now.wall - last_.wall),
             .per_cpu_second = PerSecond(count, now.cpu - last_.cpu)});
    last_ = now;
    last_tokens_ = encoded_tokens;
    tenth_ = tenth;
  }

 private:
  const int64_t tokens_;
  const std::function<void(const StretchSpeed&)> report_;
  const Stopwatch stopwatch_;
  ElapsedTime last_;
  uint64_t last_tokens_ = 0;
  int64_t tenth_ = 0;  // the last that was reached
};

}  // namespace

bool MemoryUse::IsWithin(uint64_t workspace_limit) const {
  return double(peak) - double(loaded) <=
         1.1 * double(states) + double(workspace_limit);
}

absl::StatusOr<LongDocumentResult> MeasureLongDocument(
    Encoder& encoder, const SourceText& source,
    const LongDocumentOptions& options,
    std::function<void(const StretchSpeed&)> on_stretch) {
  LongDocumentResult result;
  ResetMemoryPeak();
  LH_ASSIGN_OR_RETURN(ProcessMemory memory, ReadProcessMemory());
  result.memory.loaded = memory.resident_bytes;
  LH_RETURN_IF_ERROR(
      EncodeDocument(encoder, options.encode,
                     DocumentFeed(&source, options.kind,
                                  std::min(options.tokens, kWarmUpTokens)))
          .status());
  ResetMemoryPeak();
  LH_ASSIGN_OR_RETURN(memory, ReadProcessMemory());
  result.memory.warm = memory.resident_bytes;

  StretchClock clock(options.tokens, std::move(on_stretch));
  LH_ASSIGN_OR_RETURN(
      result.run,
      EncodeDocument(encoder, options.encode,
                     DocumentFeed(&source, options.kind, options.tokens),
                     {.on_progress = [&clock](const EncodeProgress& progress) {
                       clock.Advance(progress.encoded_tokens);
                     }}));
  clock.Advance(result.run.summary.received_tokens);
  LH_ASSIGN_OR_RETURN(memory, ReadProcessMemory());
  result.memory.peak = memory.peak_resident_bytes;
  result.memory.states = result.run.summary.state_bytes;
  return result;
}

absl::StatusOr<SpeedRatio> CompareWithIndependent(
    Encoder& encoder, const SourceText& source,
    const LongDocumentOptions& options, int rounds) {
  EncodeOptions independent;
  independent.mechanism = "independent";
  const DocumentFeed feed(&source, options.kind, options.tokens);
  std::vector<double> wall, cpu;
  for (int round = 0; round < rounds; ++round) {
    LH_ASSIGN_OR_RETURN(const DocumentRun alone,
                        EncodeDocument(encoder, independent, feed));
    LH_ASSIGN_OR_RETURN(const DocumentRun chosen,
                        EncodeDocument(encoder, options.encode, feed));
    wall.push_back(absl::FDivDuration(alone.time.wall, chosen.time.wall));
    cpu.push_back(absl::FDivDuration(alone.time.cpu, chosen.time.cpu));
  }
  return SpeedRatio{.wall = Median(std::move(wall)),
                    .cpu = Median(std::move(cpu))};
}

}  // namespace longhand::documents
