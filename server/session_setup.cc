#include "server/session_setup.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/memory_budget.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/session/encoder_session_model.h"
#include "core/session/session_manager.h"
#include "core/store/session_store.h"
#include "server/logging.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxSecretBytes = uint64_t{64} << 10;
constexpr size_t kMinSnapshotKeyBytes = 32;
// For sessions, where the operator names none and the encoder takes half.
constexpr uint64_t kMemoryShare = 4;
constexpr uint64_t kUnknownMemoryBytes = uint64_t{1} << 30;

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   message);
}

// The first line of a file; empty if no file is named.
absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  if (path.empty()) return std::string();
  LH_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSecretBytes));
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  if (text.empty()) {
    return Invalid(absl::StrCat("the first line of ", path,
                                ", which is to be a password, is empty"));
  }
  return text;
}

absl::StatusOr<std::string> ReadSnapshotKey(const std::string& path) {
  if (path.empty()) return std::string();
  LH_ASSIGN_OR_RETURN(std::string key, ReadFile(path, kMaxSecretBytes));
  if (key.size() < kMinSnapshotKeyBytes) {
    return Invalid(absl::StrCat(path, " has ", key.size(),
                                " bytes; --session-snapshot-key-file needs ",
                                kMinSnapshotKeyBytes, " random ones at least"));
  }
  return key;
}

uint64_t MemoryBytes(uint64_t configured) {
  if (configured > 0) return configured;
  const uint64_t available = DetectMemoryBudget().bytes;
  return available == 0 ? kUnknownMemoryBytes : available / kMemoryShare;
}

absl::StatusOr<SessionManagerOptions> ManagerOptions(
    const ServerConfig& config, const EncoderOptions& encoder) {
  const SessionConfig& sessions = config.sessions;
  SessionManagerOptions options = sessions.manager;
  options.max_memory_bytes = MemoryBytes(sessions.memory_bytes);
  options.max_cache_bytes =
      std::min(sessions.cache_bytes.value_or(options.max_memory_bytes / 4),
               options.max_memory_bytes);
  options.max_document_bytes = encoder.max_document_bytes;
  options.owner = sessions.owner.empty()
                      ? DefaultOwner(config.listen, HostName())
                      : sessions.owner;
  LH_ASSIGN_OR_RETURN(options.snapshot_key,
                      ReadSnapshotKey(sessions.snapshot_key_file));
  return options;
}

absl::StatusOr<std::unique_ptr<SessionStore>> OpenStore(
    const SessionConfig& config, uint64_t memory_bytes) {
  LH_ASSIGN_OR_RETURN(SessionStoreFactory * open,
                      SessionStoreRegistry().Find(config.store));
  SessionStoreOptions options = config.store_options;
  // The memory store keeps the very chunks that the manager accounts for, and
  // the manager knows whose turn it is to go: the store's limit comes second.
  options.max_bytes = memory_bytes;
  LH_ASSIGN_OR_RETURN(options.password,
                      ReadPassword(config.redis_password_file));
  return open(options);
}

void LogSessions(const SessionParts& parts) {
  const SessionManagerOptions& options = parts.manager->options();
  Log(LogLevel::kInfo, "sessions are kept",
      {{"store", parts.store_name},
       {"durability", DurabilityName(parts.manager->durability())},
       {"owner", options.owner},
       {"max_memory_bytes", options.max_memory_bytes},
       {"max_cache_bytes", options.max_cache_bytes},
       {"max_append_bytes", options.max_append_bytes},
       {"max_sessions_per_tenant", options.max_sessions_per_tenant},
       {"default_ttl_seconds", absl::ToDoubleSeconds(options.default_ttl)},
       {"max_ttl_seconds", absl::ToDoubleSeconds(options.max_ttl)},
       {"signed_snapshots", !options.snapshot_key.empty()}});
}

}  // namespace

std::string DefaultOwner(std::string_view listen, std::string_view host_name) {
  for (std::string_view all : {"0.0.0.0:", "[::]:", "*:"}) {
    if (listen.starts_with(all)) {
      return absl::StrCat(ToAbsl(host_name), ":",
                          ToAbsl(listen.substr(all.size())));
    }
  }
  return std::string(listen);
}

absl::StatusOr<SessionParts> OpenSessions(const ServerConfig& config,
                                          Encoder* encoder) {
  SessionParts parts;
  if (config.sessions.store == "none") {
    Log(LogLevel::kInfo, "no sessions are kept");
    return parts;
  }
  LH_ASSIGN_OR_RETURN(SessionManagerOptions options,
                      ManagerOptions(config, encoder->options()));
  parts.store_name = config.sessions.store;
  LH_ASSIGN_OR_RETURN(parts.store,
                      OpenStore(config.sessions, options.max_memory_bytes));
  parts.model = MakeEncoderSessionModel(encoder);
  LH_ASSIGN_OR_RETURN(parts.manager, SessionManager::Create(
                                         parts.model.get(), parts.store.get(),
                                         SessionEnvironment::Real(), options));
  LogSessions(parts);
  return parts;
}

}  // namespace longhand
