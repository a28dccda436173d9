// StreamReactor: the base of streaming calls, in both directions or in one. It
// lets nothing happen for a caller who may not call, and keeps the rules of
// gRPC's callback API in one place: one read and one write in flight, nothing
// after Finish, always a Finish. Derived classes see messages one at a time and
// say when they want the next; they send from any thread into a bounded queue.
// A stream owns itself until gRPC is done with it; whoever still holds a
// reference may call it safely later. Thread-safe.
//
// All gRPC operations are started by Pump, by one thread at a time and without
// the lock: state is changed under the lock, then whichever thread pumps acts
// on it. So Finish cannot overtake an operation that is being started, and no
// reaction can meet its own lock.
#ifndef LONGHAND_SERVER_STREAM_REACTOR_H_
#define LONGHAND_SERVER_STREAM_REACTOR_H_

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "server/call.h"
#include "server/metrics.h"
#include "server/service_context.h"

namespace longhand {

// In place of the message type of a direction in which one message goes, which
// gRPC's method handler gets as an argument.
struct NoStream {};

// gRPC's reactor for the directions that are streams. Reactions to the other
// one are never called.
template <typename Request, typename Response>
class DirectionsReactor : public grpc::ServerBidiReactor<Request, Response> {};

template <typename Response>
class DirectionsReactor<NoStream, Response>
    : public grpc::ServerWriteReactor<Response> {
 public:
  virtual void OnReadDone(bool ok) = 0;
  void StartRead(NoStream*) {}
};

template <typename Request>
class DirectionsReactor<Request, NoStream>
    : public grpc::ServerReadReactor<Request> {
 public:
  virtual void OnWriteDone(bool ok) = 0;
  void StartWrite(const NoStream*) {}
};

template <typename Request, typename Response>
class StreamReactor
    : public DirectionsReactor<Request, Response>,
      public std::enable_shared_from_this<StreamReactor<Request, Response>> {
 public:
  void OnReadDone(bool ok) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final { Abort(CancelReason(deadline())); }
  void OnDone() final;

 protected:
  // `context` is gRPC's, valid until OnDone.
  StreamReactor(const ServiceContext& service, const MethodMetrics& method,
                grpc::CallbackServerContext* context)
      : context_(context),
        limits_(service.limits),
        call_(service, method, context, service.limits.max_stream),
        last_activity_(absl::Now()) {}

  // Starts the call of a reactor that was just made, and gives what gRPC wants.
  // There is no other way, so nothing can be done before it is known who calls:
  // only then does `begin` get the reactor, on this thread, and is a message
  // read. An error of `begin` ends the call.
  // Begin: absl::Status(Reactor&).
  template <typename Reactor, typename Begin>
  static Reactor* Launch(std::shared_ptr<Reactor> reactor, Begin begin);

  // A message, which the implementation may take apart. Not called again
  // before this has returned and ReadNext has been called.
  virtual void OnMessage(Request& request) = 0;
  // The client has sent everything.
  virtual void OnEnd() = 0;
  // The stream ends early; stop the work for it. May come more than once and
  // beside OnMessage.
  virtual void OnAbort(const absl::Status& why) = 0;
  // The queue has room again after HasRoom said no.
  virtual void OnRoom() = 0;
  // The call ends with `status`; the last moment at which what gRPC gave to the
  // method handler may be used. Where responses are no stream and `status` is
  // OK, the response must be set here.
  virtual void OnFinishing(const absl::Status& /*status*/) {}
  // gRPC is done with the stream: drop references to the work.
  virtual void OnFinished() = 0;

  // Asks for the next message. OnMessage or OnEnd follows.
  void ReadNext() ABSL_LOCKS_EXCLUDED(mu_);
  // Queues a message. Dropped if the stream is closed. Aborts the stream with
  // RESOURCE_EXHAUSTED (UNREAD_RESPONSES) if all streams together have too much
  // that clients do not read.
  void Send(Response response) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether there is room in the queue. If not, OnRoom follows.
  bool HasRoom() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the stream: if OK after what is queued, else at once. The first error
  // wins.
  void Close(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the stream after what is queued, also if `status` is an error.
  void CloseAfterQueue(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // Close, and OnAbort.
  void Abort(const absl::Status& why);

  absl::Time deadline() const { return call_.deadline(); }
  const ServiceContext& service() const { return call_.service(); }
  // From `begin` on.
  const Caller& caller() const { return call_.caller(); }
  // For the log; before the call is ended.
  void AddWork(const CallWork& work) { call_.AddWork(work); }

 private:
  enum class Action { kNone, kRead, kWrite, kCancel, kFinish };
  struct Queued {
    Response response;
    size_t bytes;
  };

  bool FullLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return queued_bytes_ >= limits_.max_queued_bytes ||
           queue_.size() >= limits_.max_queued_messages || TotalFullLocked();
  }
  // Half empty, so that a document does not wake for every message.
  bool RoomyLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return queued_bytes_ <= limits_.max_queued_bytes / 2 &&
           queue_.size() <= limits_.max_queued_messages / 2 &&
           !TotalFullLocked();
  }
  // Who has read everything does not wait for those who do not; so a write that
  // ends always finds out when there is room again.
  bool TotalFullLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return queued_bytes_ > 0 && service().unread.full();
  }
  // So much of what was queued is gone.
  void ForgetLocked(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    queued_bytes_ -= bytes;
    service().unread.Remove(bytes);
  }
  absl::Status TooMuchUnread() const;

  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  Action NextAction() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Action action) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishCall() ABSL_LOCKS_EXCLUDED(mu_);
  void ArmTimer() ABSL_LOCKS_EXCLUDED(mu_);
  void OnTimer();

  grpc::CallbackServerContext* const context_;
  const RequestLimits limits_;
  ServerCall call_;
  std::shared_ptr<StreamReactor> self_;  // set by Launch, cleared in OnDone

  // Each is gRPC's while its operation is in flight, else the pump's or
  // OnReadDone's.
  Request reading_;
  Queued writing_ = {};

  absl::Mutex mu_;
  bool pumping_ ABSL_GUARDED_BY(mu_) = false;
  bool read_wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool read_in_flight_ ABSL_GUARDED_BY(mu_) = false;
  bool handling_ ABSL_GUARDED_BY(mu_) = false;  // in OnMessage or OnEnd
  bool write_in_flight_ ABSL_GUARDED_BY(mu_) = false;
  bool room_wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool cancel_wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool in_timer_ ABSL_GUARDED_BY(mu_) = false;
  // The timer has seen the error that the stream ends with.
  bool overdue_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // An error that waits for the queue.
  bool flushing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // the one in flight included
  absl::Time last_activity_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mu_);
};

template <typename Request, typename Response>
template <typename Reactor, typename Begin>
Reactor* StreamReactor<Request, Response>::Launch(
    std::shared_ptr<Reactor> reactor, Begin begin) {
  StreamReactor& base = *reactor;
  base.self_ = reactor;
  if constexpr (std::is_same_v<Request, NoStream>) base.call_.Received();
  absl::Status status = base.call_.Authenticate();
  if (status.ok()) {
    base.ArmTimer();
    status = begin(*reactor);
  }
  if (!status.ok()) {
    base.Close(status);
  } else if constexpr (!std::is_same_v<Request, NoStream>) {
    base.ReadNext();
  }
  return reactor.get();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::OnReadDone(bool ok) {
  Request request;
  {
    absl::MutexLock lock(&mu_);
    read_in_flight_ = false;
    last_activity_ = absl::Now();
    if (closing_) return;
    handling_ = true;
    std::swap(request, reading_);
  }
  if (ok) {
    call_.Received();
    OnMessage(request);
  } else if (context_->IsCancelled()) {
    // Not the end of the document. OnCancel closes the stream.
  } else {
    OnEnd();
  }
  {
    absl::MutexLock lock(&mu_);
    handling_ = false;
  }
  Pump();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::OnWriteDone(bool ok) {
  bool room = false;
  {
    absl::MutexLock lock(&mu_);
    write_in_flight_ = false;
    ForgetLocked(writing_.bytes);
    writing_ = {};
    last_activity_ = absl::Now();
    if (room_wanted_ && RoomyLocked()) {
      room_wanted_ = false;
      room = true;
    }
  }
  if (ok) {
    call_.Sent();
  } else {
    Abort(CancelReason(deadline()));
  }
  Pump();
  if (room) OnRoom();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::OnDone() {
  std::shared_ptr<StreamReactor> self = std::move(self_);
  std::unique_ptr<grpc::Alarm> alarm;
  {
    absl::MutexLock lock(&mu_);
    alarm = std::move(alarm_);
  }
  OnFinished();
  call_.Done();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::ReadNext() {
  {
    absl::MutexLock lock(&mu_);
    read_wanted_ = true;
  }
  Pump();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::Send(Response response) {
  const size_t bytes = response.ByteSizeLong();
  bool counted = false;
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    counted = service().unread.Add(bytes);
    if (counted) {
      queued_bytes_ += bytes;
      queue_.push_back({std::move(response), bytes});
      // Else it is the client's turn already.
      if (!write_in_flight_) last_activity_ = absl::Now();
    }
  }
  if (!counted) return Abort(TooMuchUnread());
  Pump();
}

template <typename Request, typename Response>
absl::Status StreamReactor<Request, Response>::TooMuchUnread() const {
  const uint64_t limit = service().unread.most_bytes();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "UNREAD_RESPONSES",
      absl::StrCat("the server keeps no more than ", limit,
                   " bytes of responses that clients have not read; read "
                   "responses while you send"),
      {{"limit_bytes", absl::StrCat(limit)}});
}

template <typename Request, typename Response>
bool StreamReactor<Request, Response>::HasRoom() {
  absl::MutexLock lock(&mu_);
  if (closing_ || !FullLocked()) return true;
  room_wanted_ = true;
  return false;
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::Close(const absl::Status& status) {
  std::deque<Queued> dropped;
  {
    absl::MutexLock lock(&mu_);
    if (finished_ || (closing_ && status.ok())) return;
    // An error counts even while a close waits for its queue.
    if (closing_ && !status_.ok() && !flushing_) return;
    if (!flushing_) status_ = status;
    closing_ = true;
    flushing_ = false;
    if (!status.ok()) {
      dropped.swap(queue_);
      ForgetLocked(queued_bytes_ - (write_in_flight_ ? writing_.bytes : 0));
    }
  }
  Pump();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::CloseAfterQueue(
    const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    closing_ = true;
    flushing_ = !status.ok();
    status_ = status;
  }
  Pump();
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::Abort(const absl::Status& why) {
  Close(why);
  OnAbort(why);
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::Pump() {
  // Finish may lead to OnDone on another thread.
  std::shared_ptr<StreamReactor> self = this->shared_from_this();
  mu_.Lock();
  if (!pumping_) {
    pumping_ = true;
    for (Action action; (action = NextAction()) != Action::kNone;) {
      mu_.Unlock();
      Perform(action);
      mu_.Lock();
    }
    pumping_ = false;
  }
  mu_.Unlock();
}

template <typename Request, typename Response>
typename StreamReactor<Request, Response>::Action
StreamReactor<Request, Response>::NextAction() {
  if (finished_) return Action::kNone;
  if (cancel_wanted_) {
    cancel_wanted_ = false;
    return Action::kCancel;
  }
  if (!write_in_flight_ && !queue_.empty()) {
    writing_ = std::move(queue_.front());
    queue_.pop_front();
    write_in_flight_ = true;
    return Action::kWrite;
  }
  if (closing_) {
    // Who is in OnTimer may still need what is the server's.
    if (write_in_flight_ || in_timer_) return Action::kNone;
    finished_ = true;
    return Action::kFinish;
  }
  if (read_wanted_ && !read_in_flight_ && !handling_) {
    read_wanted_ = false;
    read_in_flight_ = true;
    return Action::kRead;
  }
  return Action::kNone;
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::Perform(Action action) {
  switch (action) {
    case Action::kNone:
      return;
    case Action::kRead:
      return this->StartRead(&reading_);
    case Action::kWrite:
      return this->StartWrite(&writing_.response);
    case Action::kCancel:
      return context_->TryCancel();
    case Action::kFinish:
      return FinishCall();
  }
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::FinishCall() {
  absl::Status status;
  {
    absl::MutexLock lock(&mu_);
    status = status_;
  }
  OnFinishing(status);
  if (std::is_same_v<Response, NoStream> && status.ok()) call_.Sent();
  this->Finish(call_.End(status));
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::ArmTimer() {
  std::weak_ptr<StreamReactor> weak = this->weak_from_this();
  const absl::Duration step = std::clamp(
      limits_.stall_timeout / 4, absl::Milliseconds(10), absl::Seconds(5));
  const absl::Time now = absl::Now();
  const absl::Time next =
      now < deadline() ? std::min(deadline(), now + step) : now + step;
  std::unique_ptr<grpc::Alarm> alarm;
  absl::MutexLock lock(&mu_);
  if (finished_) return;
  // An alarm cannot be set again from its own callback.
  alarm = std::make_unique<grpc::Alarm>();
  alarm->Set(absl::ToChronoTime(next), [weak](bool fired) {
    if (!fired) return;
    if (std::shared_ptr<StreamReactor> self = weak.lock()) self->OnTimer();
  });
  std::swap(alarm, alarm_);
}

template <typename Request, typename Response>
void StreamReactor<Request, Response>::OnTimer() {
  absl::Status why;
  {
    absl::MutexLock lock(&mu_);
    // Then the server may be gone.
    if (finished_) return;
    in_timer_ = true;
    const absl::Time now = absl::Now();
    if (closing_ && !status_.ok() && !flushing_) {
      // The status cannot pass a message that the client does not read. For
      // that it has had time since the timer before.
      cancel_wanted_ = write_in_flight_ && std::exchange(overdue_, true);
    } else if (now >= deadline()) {
      why = CancelReason(deadline());
    } else if ((read_in_flight_ || write_in_flight_) &&
               now - last_activity_ >= limits_.stall_timeout) {
      // No status of those that count as errors of the service.
      why = MakeError(absl::StatusCode::kAborted, "CLIENT_STALLED",
                      "the client neither sent nor read for too long");
    }
    if (!why.ok()) overdue_ = true;
  }
  if (!why.ok()) Abort(why);
  {
    absl::MutexLock lock(&mu_);
    in_timer_ = false;
  }
  Pump();
  ArmTimer();
}

}  // namespace longhand

#endif  // LONGHAND_SERVER_STREAM_REACTOR_H_
