// Which server a session's calls go to: the one of ClientOptions, or, for a
// session that lies elsewhere, the owner that the server named (WRONG_REPLICA,
// metadata "owner"). Internal to the client library. SessionChannels is
// thread-safe; a SessionRoute belongs to one call and one thread.
#ifndef LONGHAND_CLIENT_SESSION_CHANNELS_H_
#define LONGHAND_CLIENT_SESSION_CHANNELS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "client/channel_factory.h"
#include "client/session_client.h"
#include "grpcpp/client_context.h"
#include "longhand/v1/model_service.grpc.pb.h"
#include "longhand/v1/session_service.grpc.pb.h"

namespace longhand::client {

// Whether this is HOST:PORT or [IPV6]:PORT and nothing else that gRPC takes for
// a target, such as a path.
bool IsHostAndPort(absl::string_view address);

class SessionChannels {
 public:
  using Stub = v1::SessionService::StubInterface;

  SessionChannels(std::unique_ptr<ChannelFactory> factory,
                  const std::string& target, RedirectOptions redirects);

  const std::shared_ptr<Stub>& base() const { return base_; }
  v1::ModelService::StubInterface* models() const { return models_.get(); }

  // The server at `owner`; null if redirects are off, if that is no address, if
  // it may not have the token or if no connection to it comes about in time.
  std::shared_ptr<Stub> Owner(const std::string& owner);

 private:
  const std::unique_ptr<ChannelFactory> factory_;
  const RedirectOptions redirects_;
  std::shared_ptr<Stub> base_;
  std::unique_ptr<v1::ModelService::StubInterface> models_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> owners_
      ABSL_GUARDED_BY(mutex_);
};

class SessionRoute {
 public:
  // Empty `session_id`: a call that is about no session in particular.
  SessionRoute(SessionChannels* channels, std::string session_id)
      : channels_(channels),
        session_id_(std::move(session_id)),
        stub_(channels->base()) {}

  SessionChannels::Stub* stub() const { return stub_.get(); }

  // Adds the metadata x-session-id, for balancers that route by it.
  void Label(grpc::ClientContext* context) const;

  // Where the next attempt goes: to the owner that `status` names, else back to
  // the first server.
  void AfterFailure(const absl::Status& status);

 private:
  SessionChannels* const channels_;
  const std::string session_id_;
  std::shared_ptr<SessionChannels::Stub> stub_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_SESSION_CHANNELS_H_
