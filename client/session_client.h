// SessionClient: documents that grow, for C++ programs. One object holds one
// channel to a server, and one to each owner that the server names; it is
// thread-safe: share it. Calls block the calling thread. Every error is an
// absl::Status; GetErrorDetail (client_error.h) reads the stable reason and
// metadata that the server sent with it.
//
//   auto client = longhand::client::SessionClient::Connect({});
//   auto session = (*client)->Create({});
//   longhand::client::IstreamSource text(&file);
//   auto done = (*client)->NewAppender({session->session_id()})->Run(&text);
//
// Retries are those of RetryOptions. A retry of Create, Fork or Import after a
// lost answer may leave a session behind that nobody knows; it expires.
#ifndef LONGHAND_CLIENT_SESSION_CLIENT_H_
#define LONGHAND_CLIENT_SESSION_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/client_options.h"
#include "client/content_source.h"
#include "client/encode_result.h"
#include "client/session_appender.h"
#include "client/session_result.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

// What to do when a session lies on another server, which the answer names
// (WRONG_REPLICA, metadata "owner", HOST:PORT).
struct RedirectOptions {
  // The next attempt goes to the owner, with the same credentials, if a
  // connection to it comes about within connect_timeout; if that attempt fails,
  // the one after it goes to ClientOptions.target again. Switch it off where
  // servers cannot be reached by the addresses that they know of each other;
  // the target is then asked until it has the session.
  bool follow = true;
  absl::Duration connect_timeout = absl::Seconds(2);
};

// Takes the chunks that a rewind or an edit changed, in document order. A
// status that is not OK ends the call with that status.
using OnChunk = std::function<absl::Status(Chunk)>;

class SessionClient {
 public:
  // Reads the TLS files (errors: those of opening them). Does not wait for the
  // server: a server that cannot be reached shows as UNAVAILABLE in the calls.
  static absl::StatusOr<std::unique_ptr<SessionClient>> Connect(
      const ClientOptions& options, const RedirectOptions& redirects = {});
  virtual ~SessionClient() = default;

  virtual absl::StatusOr<v1::Session> Create(
      const v1::CreateSessionRequest& request,
      const CallOptions& call = {}) = 0;
  virtual absl::StatusOr<v1::Session> Get(absl::string_view session_id,
                                          const CallOptions& call = {}) = 0;
  // All of the caller's sessions, in order of their ids, however many pages
  // that takes.
  virtual absl::StatusOr<std::vector<v1::Session>> List(
      const CallOptions& call = {}) = 0;
  virtual absl::Status Delete(absl::string_view session_id,
                              const CallOptions& call = {}) = 0;

  // DATA_LOSS (INCOMPLETE_RESULT, BAD_VECTOR) if the answer makes no sense.
  virtual absl::StatusOr<QueryResult> Query(
      const v1::QuerySessionRequest& request, const CallOptions& call = {}) = 0;

  virtual absl::StatusOr<v1::Session> Fork(
      const v1::ForkSessionRequest& request, const CallOptions& call = {}) = 0;

  // These apply the change once at most: without if_state_digest they ask for
  // the session's digest first and send it. An attempt that failed may have
  // been applied nevertheless; where the next one finds the session changed,
  // the error is ABORTED, reason OUTCOME_UNKNOWN: look at the session.
  virtual absl::StatusOr<v1::ChangeResult> Rewind(
      const v1::RewindSessionRequest& request, const OnChunk& on_chunk = {},
      const CallOptions& call = {}) = 0;
  virtual absl::StatusOr<v1::ChangeResult> Edit(
      const v1::EditSessionRequest& request, const OnChunk& on_chunk = {},
      const CallOptions& call = {}) = 0;

  // Hands the snapshot to `sink` in pieces of any size. Not repeated once the
  // first one was handed out.
  virtual absl::Status Export(
      absl::string_view session_id,
      const std::function<absl::Status(absl::string_view)>& sink,
      const CallOptions& call = {}) = 0;
  // A new session from the snapshot in `source`, which is borrowed. Repeated if
  // `source` can be rewound or was not read. Without a ttl: the old one's.
  virtual absl::StatusOr<v1::Session> Import(ContentSource* source,
                                             std::optional<absl::Duration> ttl,
                                             const CallOptions& call = {}) = 0;

  // The appender borrows this client.
  virtual std::unique_ptr<SessionAppender> NewAppender(
      const AppendOptions& options) = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_SESSION_CLIENT_H_
