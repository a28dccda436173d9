// Appender: SessionAppender over AppendStream and AppendWindow. Internal to the
// client library.
#ifndef LONGHAND_CLIENT_APPENDER_H_
#define LONGHAND_CLIENT_APPENDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/synchronization/mutex.h"
#include "client/append_stream.h"
#include "client/append_window.h"
#include "client/retry.h"
#include "client/session_appender.h"
#include "client/session_channels.h"
#include "client/session_client.h"

namespace longhand::client {

class Appender : public SessionAppender {
 public:
  // All of these must outlive it.
  Appender(SessionClient* client, SessionChannels* channels,
           const ClientOptions* client_options, const AppendOptions& options);

  absl::StatusOr<AppendSummary> Run(ContentSource* source,
                                    const AppendCallbacks& callbacks,
                                    const CallOptions& call) override;
  AppendProgress progress() const override;

 private:
  // Of one run, fixed once it has begun.
  struct Calls {
    const AppendCallbacks* callbacks = nullptr;
    CallOptions call;  // with what is left of the deadline
    absl::Time deadline;
    Cancellation* cancellation = nullptr;
  };

  absl::Status Start(ContentSource* source);
  absl::StatusOr<size_t> FindPieceLimit();
  absl::Status SendAll();
  // Until one append is acknowledged, or the place to send from has moved back.
  absl::Status SendOne(bool close);
  v1::AppendSessionRequest MakeRequest(bool close);
  absl::StatusOr<v1::AppendResult> Exchange(
      const v1::AppendSessionRequest& request);
  void TakeChunk(const v1::AppendSessionResponse& response);

  absl::Status Acknowledge(const v1::AppendSessionRequest& request,
                           const v1::AppendResult& result);
  // Acknowledges `request`, which `session` shows to be done.
  absl::Status Accept(const v1::AppendSessionRequest& request,
                      const v1::Session& session);
  absl::Status HandOutChunks();
  // What the session has now is `offset`, of this digest.
  void MoveTo(uint64_t offset, const std::string& digest);
  void CountProgress(const v1::AppendResult& result, bool best_durability);

  // After a failed attempt: OK if `request` is to be sent again, or, with
  // *moved, if another place is to be sent from.
  absl::Status Recover(const v1::AppendSessionRequest& request, int sends,
                       const absl::Status& status, bool* moved);
  absl::Status WaitAfter(const absl::Status& status);
  absl::Status Reconcile(const v1::AppendSessionRequest& request, int sends,
                         const absl::Status& status, bool* moved);
  absl::Status GoBackTo(const v1::Session& session);

  absl::StatusOr<AppendSummary> Finish();
  CallOptions RemainingCall() const;
  uint64_t Bytes(uint64_t offset) const { return offset * unit_; }

  SessionClient* const client_;
  SessionChannels* const channels_;
  const ClientOptions& client_options_;
  const AppendOptions options_;
  const uint64_t unit_;  // bytes of content that an offset counts

  Calls calls_;
  Cancellation never_;  // stands in when the caller gives none
  std::optional<RetryWait> wait_;
  SessionRoute route_;
  std::unique_ptr<AppendStream> stream_;  // null: to be opened
  std::optional<std::string> pushback_;   // of the last failure
  std::optional<AppendWindow> window_;
  absl::BitGen random_;

  v1::Session session_;  // as it was at the start
  size_t piece_bytes_ = 0;
  uint64_t skipped_bytes_ = 0;
  uint64_t committed_ = 0;  // offset: what the session has
  std::string digest_;      // of the session then; empty: not known
  // The digests at the ends of appends, the start included.
  std::map<uint64_t, std::string> history_;
  bool closed_ = false;
  bool want_durable_ = false;  // the buffer is full of content that is not

  // Chunks of the append in work by index, and its provisional ones.
  std::map<uint32_t, v1::Chunk> held_;
  std::vector<v1::Chunk> provisional_;
  uint64_t next_chunk_ = 0;  // the first that was not handed out
  uint64_t lost_chunks_ = 0;
  bool had_duplicate_ = false;

  mutable absl::Mutex mutex_;
  AppendProgress progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_APPENDER_H_
