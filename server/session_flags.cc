#include "server/session_flags.h"

#include <map>
#include <string>
#include <string_view>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "server/flag_group.h"
#include "server/listen_address.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxMemoryBytes = uint64_t{1} << 46;
constexpr size_t kMaxOwnerBytes = 255;

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   message);
}

void AddStoreFlags(FlagGroup& group, SessionConfig* config) {
  SessionStoreOptions& store = config->store_options;
  group
      .AddWithDefault(
          "--session-store", &config->store,
          "Where sessions are kept when they are not in use: memory (lost with "
          "the process), rocksdb (a directory), redis (shared by servers), or "
          "none: no sessions at all")
      ->type_name("NAME");
  group
      .Add("--session-dir", &store.path,
           "rocksdb: its directory, made if it is missing; for one server")
      ->type_name("DIR");
  static const std::map<std::string, bool> kOnCorruption = {
      {"fail", false}, {"quarantine", true}};
  group
      .Add("--session-on-corruption", &store.quarantine_corrupt,
           "rocksdb: what to do at the start with a database that cannot be "
           "opened: fail (do not start) or quarantine (move it aside and start "
           "empty)")
      ->transform(CLI::CheckedTransformer(kOnCorruption).description(""))
      ->default_str("fail")
      ->type_name("NAME");
}

void AddRedisFlags(FlagGroup& group, SessionConfig* config) {
  SessionStoreOptions& store = config->store_options;
  group
      .Add("--session-redis-address", &store.address,
           "redis: the server, Redis or Valkey; or the absolute path of a Unix "
           "socket")
      ->type_name("HOST:PORT");
  group
      .Add("--session-redis-username", &store.username,
           "redis: the ACL user [default]")
      ->type_name("NAME");
  group
      .Add("--session-redis-password-file", &config->redis_password_file,
           "redis: a file with the password in its first line")
      ->type_name("FILE");
  group
      .Add("--session-redis-tls-ca", &store.tls_ca_file,
           "redis: use TLS and accept certificates issued by this CA, PEM")
      ->type_name("FILE");
  group
      .Add("--session-redis-tls-cert", &store.tls_cert_file,
           "redis: certificate to show, PEM")
      ->type_name("FILE");
  group
      .Add("--session-redis-tls-key", &store.tls_key_file,
           "redis: its private key, PEM")
      ->type_name("FILE");
  group
      .AddWithDefault("--session-redis-prefix", &store.key_prefix,
                      "redis: what all keys begin with")
      ->type_name("TEXT");
  group
      .Add("--session-owner", &config->owner,
           "redis: name of this server among those that share the store, and "
           "what clients are told to call; at most 255 printable characters "
           "[--listen, with the machine's name in place of 0.0.0.0 and [::]]")
      ->type_name("HOST:PORT");
}

void AddMemoryFlags(FlagGroup& group, SessionConfig* config) {
  SessionManagerOptions& manager = config->manager;
  group.AddSize("--session-memory-bytes", &config->memory_bytes, 0,
                kMaxMemoryBytes,
                "Chunk states, text and tokens of all sessions in memory; 0: a "
                "quarter of the memory of the machine or the cgroup");
  group.AddSize("--session-cache-bytes", &config->cache_bytes, 0,
                kMaxMemoryBytes,
                "Of which chunks may be kept that no session has any more, to "
                "be taken by the next that has the same text; 0: none [a "
                "quarter of --session-memory-bytes]");
  group.AddSize("--session-max-append-bytes", &manager.max_append_bytes, 1,
                uint64_t{1} << 30,
                "Content of one append; token ids count four bytes each");
  group.AddInt("--session-max-per-tenant", &manager.max_sessions_per_tenant, 1,
               1 << 24,
               "Sessions of one tenant, which is a client certificate's name, "
               "or everybody where there are none");
  group.AddInt("--session-threads", &config->threads, 1, 1024,
               "Session calls in work at one time; four times as many wait, "
               "more are refused with UNAVAILABLE");
}

void AddLifeFlags(FlagGroup& group, SessionConfig* config) {
  SessionManagerOptions& manager = config->manager;
  group.AddDuration("--session-default-ttl", &manager.default_ttl, 1,
                    "Life after the last use of a session that names none");
  group.AddDuration("--session-max-ttl", &manager.max_ttl, 1,
                    "The longest life that a session may ask for");
  group.AddDuration("--session-idle-release", &manager.idle_release, 0.01,
                    "A session that is not used for so long gives its memory "
                    "back, and its lease to other servers");
  group.AddDuration("--session-write-behind", &manager.write_behind, 0,
                    "Appends that need not be durable reach the store after so "
                    "long");
  group.AddDuration("--session-lease", &manager.lease_duration, 1,
                    "redis: how long the sessions of a server that died stay "
                    "its own");
  group
      .Add("--session-snapshot-key-file", &config->snapshot_key_file,
           "Sign exported sessions with the bytes of this file, 32 at least, "
           "and import only those that are signed so")
      ->type_name("FILE");
}

absl::Status CheckStoreFlags(const SessionConfig& config) {
  const SessionStoreOptions& store = config.store_options;
  const bool redis = config.store == "redis";
  if (config.store == "rocksdb" && store.path.empty()) {
    return Invalid("--session-store rocksdb needs --session-dir");
  }
  if (config.store != "rocksdb" && !store.path.empty()) {
    return Invalid("--session-dir needs --session-store rocksdb");
  }
  if (redis && store.address.empty()) {
    return Invalid("--session-store redis needs --session-redis-address");
  }
  for (const auto& [flag, value] :
       {std::pair("--session-redis-address", &store.address),
        {"--session-redis-username", &store.username},
        {"--session-redis-password-file", &config.redis_password_file},
        {"--session-redis-tls-ca", &store.tls_ca_file},
        {"--session-redis-tls-cert", &store.tls_cert_file},
        {"--session-redis-tls-key", &store.tls_key_file}}) {
    if (!redis && !value->empty()) {
      return Invalid(absl::StrCat(flag, " needs --session-store redis"));
    }
  }
  if (store.tls_cert_file.empty() != store.tls_key_file.empty()) {
    return Invalid(
        "--session-redis-tls-cert and --session-redis-tls-key go together; "
        "give both");
  }
  if (!store.tls_cert_file.empty() && store.tls_ca_file.empty()) {
    return Invalid("--session-redis-tls-cert needs --session-redis-tls-ca");
  }
  return absl::OkStatus();
}

bool IsPrintable(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

}  // namespace

void AddSessionFlags(CLI::App* app, SessionConfig* config) {
  FlagGroup group(app, "Sessions");
  AddStoreFlags(group, config);
  AddMemoryFlags(group, config);
  AddLifeFlags(group, config);
  AddRedisFlags(group, config);
}

absl::Status CheckSessionConfig(const SessionConfig& config,
                                const std::string& listen) {
  if (absl::Status status = CheckStoreFlags(config); !status.ok()) {
    return status;
  }
  if (config.manager.default_ttl > config.manager.max_ttl) {
    return Invalid("--session-default-ttl is above --session-max-ttl");
  }
  if (config.memory_bytes > 0 &&
      config.cache_bytes.value_or(0) > config.memory_bytes) {
    return Invalid("--session-cache-bytes is above --session-memory-bytes");
  }
  if (config.owner.size() > kMaxOwnerBytes || !IsPrintable(config.owner)) {
    return Invalid(
        "--session-owner must have at most 255 printable characters, without "
        "spaces");
  }
  // Two servers of one name would both believe that a session is theirs.
  if (config.store == "redis" && config.owner.empty() &&
      (IsLocalAddress(listen) || listen.ends_with(":0"))) {
    return Invalid(absl::StrCat(
        "--session-store redis needs --session-owner here: ", listen,
        " does not tell this server from others; give the HOST:PORT that "
        "clients reach it at"));
  }
  return absl::OkStatus();
}

}  // namespace longhand
