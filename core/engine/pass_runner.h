// PassRunner: a forward pass on the scheduler's workers while its caller waits.
// Owned by the scheduler while it runs.
#ifndef LONGHAND_CORE_ENGINE_PASS_RUNNER_H_
#define LONGHAND_CORE_ENGINE_PASS_RUNNER_H_

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "core/engine/encoder.h"
#include "core/engine/scheduler.h"
#include "core/model/forward_pass.h"

namespace longhand {

class PassRunner final : public Phase,
                         public std::enable_shared_from_this<PassRunner> {
 public:
  // As Encoder::RunPass, without the memory. All arguments must outlive the
  // call.
  static absl::Status Run(ForwardPass& pass, const PassLimits& limits,
                          Scheduler* scheduler);

  PassRunner(ForwardPass& pass, const PassLimits& limits, Scheduler* scheduler)
      : pass_(pass), limits_(limits), scheduler_(scheduler) {}

  // Phase.
  void RunItem(int item, ComputeContext& compute) override;
  void OnComplete() override;

 private:
  enum class Stop { kNo, kCancelled, kDeadline, kOutOfMemory };

  // True if there is more to do, and it was submitted.
  bool GoOn();
  // Notices that it is time to stop.
  bool MustStop();
  absl::Status result() const;

  ForwardPass& pass_;
  const PassLimits limits_;
  Scheduler* const scheduler_;
  std::atomic<Stop> stop_{Stop::kNo};
  absl::Notification done_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_PASS_RUNNER_H_
