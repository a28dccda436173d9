// AccessControl: decides for every call who makes it. Owned by the Server,
// outlives every call. Thread-safe.
//
// Without a file of tokens, callers are told apart by their certificates, and
// whoever shows none is the tenant "default". With one, a caller is in the file
// or is refused: with one token in the metadata `authorization: Bearer TOKEN`,
// or without that metadata by a certificate that the file names. The file is
// read again when it changes; if it then holds errors, what was read before
// stays in force.
#ifndef LONGHAND_SERVER_ACCESS_H_
#define LONGHAND_SERVER_ACCESS_H_

#include <grpcpp/server_context.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/access_rules.h"
#include "server/tenant_policy.h"

namespace longhand {

struct AccessConfig {
  std::string tokens_file;  // empty: no authentication by tokens
  // Of tenants without an entry, and of what an entry leaves out.
  TenantPolicy defaults;
  // How often the file is looked at.
  absl::Duration poll_interval = absl::Seconds(2);
};

// The token in `metadata`: "" if nothing there asks to be let in.
// UNAUTHENTICATED (AUTH_INVALID) unless there is one `authorization` with one
// token of RFC 6750.
absl::StatusOr<std::string_view> BearerToken(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

class AccessControl {
 public:
  // Errors are those of reading `config.tokens_file`, and CONFIG_INVALID.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Create(
      const AccessConfig& config);
  ~AccessControl();
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;

  // UNAUTHENTICATED: AUTH_REQUIRED if the call shows nothing to be known by,
  // AUTH_INVALID if what it shows is not in the file.
  absl::StatusOr<Caller> Authenticate(const grpc::ServerContextBase& call) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  explicit AccessControl(const AccessConfig& config);

  absl::Status Load() ABSL_LOCKS_EXCLUDED(mu_);
  void Watch() ABSL_LOCKS_EXCLUDED(mu_);
  void ReloadIfChanged() ABSL_LOCKS_EXCLUDED(mu_);

  const AccessConfig config_;
  const std::shared_ptr<const TenantPolicy> default_policy_;
  // The watcher's, after Create.
  std::string loaded_state_;
  std::string reported_problem_;

  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // Null: no file.
  std::shared_ptr<const AccessRules> rules_ ABSL_GUARDED_BY(mu_);
  std::thread watcher_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ACCESS_H_
