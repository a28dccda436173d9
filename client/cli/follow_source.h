// FollowSource: a file that grows, as a source that waits at its end, as
// `tail -f` does. Borrows the file. One thread reads; Stop may come from
// another.
#ifndef LONGHAND_CLIENT_CLI_FOLLOW_SOURCE_H_
#define LONGHAND_CLIENT_CLI_FOLLOW_SOURCE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cli/file_input.h"
#include "client/content_source.h"

namespace longhand::client {

class FollowSource : public ContentSource {
 public:
  // Looks for more every `interval`.
  FollowSource(FileInput* file, absl::Duration interval)
      : file_(file), interval_(interval) {}

  // The end comes with Stop. OUT_OF_RANGE (INPUT_TRUNCATED) if the file has
  // become shorter than what was read of it.
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override;
  bool Rewind() override { return file_->Rewind(); }
  void Stop() override;

 private:
  FileInput* const file_;
  const absl::Duration interval_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FOLLOW_SOURCE_H_
