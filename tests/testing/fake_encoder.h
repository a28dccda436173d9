// FakeEncoder: an Encoder without a model, for tests of what calls it. It cuts
// text into chunks of a fixed number of bytes, one byte a token, and answers
// with vectors that say where they come from; what it was not asked for it
// leaves out, and it retrieves from all earlier chunks alike. One worker
// thread; thread-safe.
#ifndef LONGHAND_TESTS_TESTING_FAKE_ENCODER_H_
#define LONGHAND_TESTS_TESTING_FAKE_ENCODER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/encoder.h"
#include "server/served_model.h"

namespace longhand::testing {

constexpr int kFakeLayers = 2;
constexpr int kFakeHeads = 2;

struct FakeEncoderOptions {
  // Sixteen short requests may run at a time.
  EncoderOptions encoder = {.workers = 4};
  int hidden_size = 4;
  size_t bytes_per_chunk = 4;
};

// What happened so far.
struct FakeEncoderStats {
  int opened = 0;
  int done = 0;
  int max_open = 0;
  int chunks = 0;
  int refusals = 0;  // CanAccept said no
  int resumes = 0;   // ResumeOutput was called
  // Append was called while an earlier piece was not consumed.
  int overlapping_appends = 0;
  std::vector<absl::Status> endings;  // one per document that is done
};

class FakeEncoder : public Encoder {
 public:
  explicit FakeEncoder(FakeEncoderOptions options = {});
  ~FakeEncoder() override;

  // Refuses the mechanism "missing" with INVALID_ARGUMENT.
  absl::StatusOr<std::shared_ptr<Document>> Open(
      const EncodeOptions& options, absl::Time deadline,
      std::shared_ptr<EncodeSink> sink) override;
  void Run(absl::AnyInvocable<void()> work) override;
  // On the caller's thread, without limits.
  absl::Status RunPass(ForwardPass& pass, const PassLimits& limits) override;
  absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const override;
  // There is none: aborts.
  const Model& model() const override;
  const EncoderOptions& options() const override;
  int open_documents() const override;

  // Documents whose text begins with "hold" rest until this.
  void ReleaseHeld();

  FakeEncoderStats stats() const;
  // Blocks until `condition` holds for the stats; false after a minute.
  bool WaitFor(std::function<bool(const FakeEncoderStats&)> condition) const;

 private:
  friend class FakeDocument;

  void Work();
  void Update(std::function<void(FakeEncoderStats&)> update);
  bool held() const;

  const FakeEncoderOptions options_;
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = true;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  FakeEncoderStats stats_ ABSL_GUARDED_BY(mu_);
  std::vector<std::weak_ptr<class FakeDocument>> documents_
      ABSL_GUARDED_BY(mu_);
  std::thread worker_;
};

// A model to go with it: vocabulary of 1000, chunks of 3 to 512 tokens.
ServedModel FakeServedModel(int hidden_size = 4);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_FAKE_ENCODER_H_
