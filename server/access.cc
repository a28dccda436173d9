#include "server/access.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/grpc_status.h"
#include "server/logging.h"
#include "server/tenant.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 20;
constexpr size_t kMaxTokenBytes = 4096;
constexpr absl::string_view kScheme = "bearer ";

absl::Status Required() {
  return MakeError(absl::StatusCode::kUnauthenticated, "AUTH_REQUIRED",
                   "this server wants to know who calls; send the metadata "
                   "authorization: Bearer TOKEN");
}

// The same text whatever is wrong: it must not tell a guesser anything.
absl::Status InvalidToken() {
  return MakeError(absl::StatusCode::kUnauthenticated, "AUTH_INVALID",
                   "the metadata authorization is not one valid bearer token; "
                   "ask the server's operator for one");
}

// RFC 6750, b64token.
bool IsToken(absl::string_view text) {
  const size_t end = text.find_last_not_of('=');
  if (end == text.npos || text.size() > kMaxTokenBytes) return false;
  return std::all_of(
      text.begin(), text.begin() + static_cast<ptrdiff_t>(end) + 1,
      [](unsigned char c) {
        return absl::ascii_isalnum(c) ||
               absl::string_view("-._~+/").find(static_cast<char>(c)) !=
                   absl::string_view::npos;
      });
}

// What tells one state of a file from another. A Secret volume swaps a link,
// so the inode counts as much as the time. "" if there is no such file.
std::string StateOf(const std::string& path) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return "";
  return absl::StrCat(file.st_dev, " ", file.st_ino, " ", file.st_size, " ",
                      file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec);
}

}  // namespace

absl::StatusOr<std::string_view> BearerToken(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto [begin, end] = metadata.equal_range("authorization");
  if (begin == end) return std::string_view();
  if (std::next(begin) != end) return InvalidToken();
  absl::string_view value(begin->second.data(), begin->second.size());
  if (!absl::StartsWithIgnoreCase(value, kScheme)) return InvalidToken();
  value = absl::StripLeadingAsciiWhitespace(value.substr(kScheme.size()));
  if (!IsToken(value)) return InvalidToken();
  return ToStd(value);
}

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Create(
    const AccessConfig& config) {
  std::unique_ptr<AccessControl> access(new AccessControl(config));
  if (config.tokens_file.empty()) return access;
  absl::Status status = access->Load();
  if (!status.ok())
    return WithContext(status, "CONFIG_INVALID", "--auth-tokens");
  access->watcher_ = std::thread([raw = access.get()] { raw->Watch(); });
  return access;
}

AccessControl::AccessControl(const AccessConfig& config)
    : config_(config),
      default_policy_(std::make_shared<const TenantPolicy>(config.defaults)) {}

AccessControl::~AccessControl() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (watcher_.joinable()) watcher_.join();
}

absl::StatusOr<Caller> AccessControl::Authenticate(
    const grpc::ServerContextBase& call) const {
  std::shared_ptr<const AccessRules> rules;
  {
    absl::MutexLock lock(&mu_);
    rules = rules_;
  }
  if (rules == nullptr) return Caller{TenantOf(call), default_policy_};
  LH_ASSIGN_OR_RETURN(const std::string_view token,
                      BearerToken(call.client_metadata()));
  if (token.empty()) {
    const Caller* caller = rules->FindCertificate(TenantOf(call));
    if (caller == nullptr) return Required();
    return *caller;
  }
  const Caller* caller = rules->FindToken(token);
  if (caller == nullptr) return InvalidToken();
  return *caller;
}

absl::Status AccessControl::Load() {
  // Before it is read: a change in between is seen as one the next time.
  const std::string state = StateOf(config_.tokens_file);
  LH_ASSIGN_OR_RETURN(std::string text,
                      ReadFile(config_.tokens_file, kMaxFileBytes));
  LH_ASSIGN_OR_RETURN(
      AccessRules rules,
      AccessRules::Parse(text, config_.tokens_file, config_.defaults));
  Log(LogLevel::kInfo, "tenants read",
      {{"file", config_.tokens_file}, {"tenants", rules.num_tenants()}});
  auto shared = std::make_shared<const AccessRules>(std::move(rules));
  loaded_state_ = state;
  absl::MutexLock lock(&mu_);
  rules_ = std::move(shared);
  return absl::OkStatus();
}

void AccessControl::Watch() {
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_),
                               config_.poll_interval)) {
        return;
      }
    }
    ReloadIfChanged();
  }
}

void AccessControl::ReloadIfChanged() {
  const std::string state = StateOf(config_.tokens_file);
  if (state == loaded_state_) return;
  const absl::Status status = Load();
  if (status.ok()) {
    reported_problem_.clear();
    return;
  }
  // Tried again each time, said once.
  std::string problem = absl::StrCat(state, " ", status.message());
  if (problem == reported_problem_) return;
  reported_problem_ = std::move(problem);
  Log(LogLevel::kWarning, "tenants not read; those read before stay",
      {{"reason", StatusReason(status)},
       {"message", std::string(status.message())}});
}

}  // namespace longhand
