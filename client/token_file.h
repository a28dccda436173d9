// TokenFile: the bearer token that goes with the calls of a client, kept in a
// file so that it shows on no command line and can be replaced while the client
// runs. Internal to the client library. Thread-safe.
#ifndef LONGHAND_CLIENT_TOKEN_FILE_H_
#define LONGHAND_CLIENT_TOKEN_FILE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/support/client_interceptor.h"

namespace longhand::client {

// Whether calls to this gRPC target cannot leave the machine: a Unix socket,
// localhost or an address of the loopback network. False where in doubt.
bool IsLocalTarget(absl::string_view target);

class TokenFile {
 public:
  // Reasons: TOKEN_FILE_UNREADABLE, and TOKEN_FILE_INVALID unless the file is
  // one token of RFC 6750, white space at its end aside. No message holds any
  // of it.
  static absl::StatusOr<std::shared_ptr<TokenFile>> Open(
      const std::string& path);

  // Looks at the file again every second, and keeps the last good token.
  std::string Get() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit TokenFile(const std::string& path) : path_(path) {}

  const std::string path_;
  absl::Mutex mutex_;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  absl::Time read_time_ ABSL_GUARDED_BY(mutex_);
};

// Adds `authorization: Bearer TOKEN` to every call of a channel. Not gRPC's
// call credentials: those refuse channels without TLS, Unix sockets included.
class TokenInterceptorFactory
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(std::shared_ptr<TokenFile> token)
      : token_(std::move(token)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override;

 private:
  const std::shared_ptr<TokenFile> token_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_TOKEN_FILE_H_
