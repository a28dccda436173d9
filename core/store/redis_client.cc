#include "core/store/redis_client.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr size_t kMaxIdle = 16;
constexpr int kFailuresToOpen = 3;
constexpr absl::Duration kOpenTime = absl::Seconds(1);

// As EVALSHA names scripts.
std::string Sha1Hex(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  LH_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(),
                      nullptr) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

std::vector<std::string> ScriptHashes() {
  std::vector<std::string> hashes;
  for (const std::string_view script : kRedisScripts) {
    hashes.push_back(Sha1Hex(script));
  }
  return hashes;
}

bool IsNoScript(const RedisReply& reply) {
  return reply.is_error() && absl::StartsWith(reply.text, "NOSCRIPT");
}

// What an operator can do, by the first word of the error.
absl::Status StatusOfError(const std::string& error) {
  const std::string code = error.substr(0, error.find(' '));
  struct Help {
    absl::string_view code, what;
  };
  static constexpr Help kHelp[] = {
      {"LOADING", "the shared store still loads its data; wait"},
      {"BUSY",
       "the shared store is busy with a script; wait, or see who runs "
       "it"},
      {"READONLY",
       "the shared store is a replica; configure the address of "
       "the primary"},
      {"MASTERDOWN",
       "the shared store is a replica without its primary; see "
       "the failover"},
      {"NOREPLICAS",
       "the shared store has too few replicas to write; see "
       "them, or min-replicas-to-write"},
      {"OOM",
       "the shared store's memory is full; raise its maxmemory, or let "
       "sessions expire sooner"},
      {"MISCONF", "the shared store can't save to its disk; see its log"},
      {"NOAUTH", "the shared store wants a password; configure it"},
      {"WRONGPASS",
       "the shared store does not accept user and password; see "
       "both"},
      {"NOPERM",
       "the shared store's ACL does not let our user do this; see "
       "the documentation for the commands and keys that it needs"},
      {"MOVED",
       "the shared store is a cluster; put a proxy in front that "
       "follows its redirections"},
      {"CROSSSLOT",
       "the shared store is a cluster; put a proxy in front that "
       "follows its redirections"},
  };
  for (const Help& help : kHelp) {
    if (code == help.code) {
      return StoreUnavailableError({help.what.data(), help.what.size()});
    }
  }
  // The rest of the text could hold what is nobody's business.
  return StoreUnavailableError(
      absl::StrCat("the shared store answers with the error ",
                   absl::CHexEscape(code.substr(0, 32)), "; see its log"));
}

std::vector<std::string_view> Views(const RedisCommand& command) {
  return {command.begin(), command.end()};
}

}  // namespace

struct RedisClient::Connection {
  explicit Connection(std::unique_ptr<RedisTransport> opened)
      : transport(std::move(opened)),
        reader([wire = transport.get()] { return wire->Receive(); }) {}

  absl::Status Send(const RedisCommand& command) {
    return transport->Send(FormatRedisCommand(Views(command)));
  }
  // The reply may be an error.
  absl::StatusOr<RedisReply> Ask(const RedisCommand& command) {
    LH_RETURN_IF_ERROR(Send(command));
    return reader.Read();
  }

  const std::unique_ptr<RedisTransport> transport;
  RespReader reader;
};

absl::StatusOr<std::unique_ptr<RedisClient>> RedisClient::Create(
    const SessionStoreOptions& options) {
  LH_ASSIGN_OR_RETURN(RedisAddress address, ParseRedisAddress(options.address));
  if (!options.username.empty() && options.password.empty()) {
    return StoreOpenError("the shared store's user needs a password");
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty() ||
      (options.tls_ca_file.empty() && !options.tls_cert_file.empty())) {
    return StoreOpenError(
        "a TLS certificate for the shared store needs its key, and a key its "
        "certificate, and both a CA file");
  }
  std::shared_ptr<const TlsContext> tls;
  if (!options.tls_ca_file.empty()) {
    LH_ASSIGN_OR_RETURN(
        tls, TlsContext::Create(options.tls_ca_file, options.tls_cert_file,
                                options.tls_key_file));
  }
  return std::unique_ptr<RedisClient>(
      new RedisClient(options, std::move(address), std::move(tls)));
}

RedisClient::RedisClient(const SessionStoreOptions& options,
                         RedisAddress address,
                         std::shared_ptr<const TlsContext> tls)
    : address_(std::move(address)),
      username_(options.username),
      password_(options.password),
      tls_(std::move(tls)),
      timeout_(options.timeout),
      script_hashes_(ScriptHashes()) {}

RedisClient::~RedisClient() = default;

RedisCommand RedisClient::ScriptCommand(
    RedisScript script, const std::vector<std::string>& keys,
    const std::vector<std::string>& arguments) const {
  RedisCommand command = {"EVALSHA", script_hashes_[size_t(script)],
                          absl::StrCat(keys.size())};
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

absl::StatusOr<std::unique_ptr<RedisClient::Connection>> RedisClient::Connect()
    const {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<RedisTransport> transport,
                      RedisTransport::Connect(address_, tls_, timeout_));
  auto connection = std::make_unique<Connection>(std::move(transport));
  if (password_.empty()) return connection;
  RedisCommand command = {"AUTH"};
  if (!username_.empty()) command.push_back(username_);
  command.push_back(password_);
  LH_ASSIGN_OR_RETURN(const RedisReply reply, connection->Ask(command));
  if (reply.is_error()) return StatusOfError(reply.text);
  return connection;
}

absl::StatusOr<std::unique_ptr<RedisClient::Connection>>
RedisClient::TakeConnection() {
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Now() < open_until_) {
      return StoreUnavailableError(
          "the shared store did not answer several times; see that it runs");
    }
    while (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      // The server may have ended it meanwhile.
      if (connection->transport->IsQuiet()) return connection;
    }
  }
  auto connection = Connect();
  if (!connection.ok()) CountFailure();
  return connection;
}

void RedisClient::CountFailure() {
  absl::MutexLock lock(&mutex_);
  if (++failures_ >= kFailuresToOpen) open_until_ = absl::Now() + kOpenTime;
}

void RedisClient::CloseBreaker() {
  absl::MutexLock lock(&mutex_);
  open_until_ = absl::InfinitePast();
}

void RedisClient::GiveBack(std::unique_ptr<Connection> connection) {
  absl::MutexLock lock(&mutex_);
  failures_ = 0;
  if (idle_.size() < kMaxIdle && !connection->reader.has_rest()) {
    idle_.push_back(std::move(connection));
  }
}

absl::Status RedisClient::LoadScripts(Connection& connection) const {
  for (const std::string_view script : kRedisScripts) {
    LH_ASSIGN_OR_RETURN(
        const RedisReply reply,
        connection.Ask({"SCRIPT", "LOAD", std::string(script)}));
    if (reply.is_error()) return StatusOfError(reply.text);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RedisReply>> RedisClient::RunAll(
    size_t count, absl::FunctionRef<RedisCommand(size_t)> make) {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, TakeConnection());
  const auto run = [&]() -> absl::StatusOr<std::vector<RedisReply>> {
    for (size_t i = 0; i < count; ++i) {
      LH_RETURN_IF_ERROR(connection->Send(make(i)));
    }
    std::vector<RedisReply> replies;
    for (size_t i = 0; i < count; ++i) {
      LH_ASSIGN_OR_RETURN(RedisReply reply, connection->reader.Read());
      replies.push_back(std::move(reply));
    }
    return replies;
  };
  auto replies = run();
  if (replies.ok() &&
      std::any_of(replies->begin(), replies->end(), IsNoScript)) {
    const absl::Status loaded = LoadScripts(*connection);
    replies = loaded.ok() ? run() : loaded;
  }
  if (!replies.ok()) {
    CountFailure();
    return replies.status();
  }
  GiveBack(std::move(connection));
  for (const RedisReply& reply : *replies) {
    if (reply.is_error()) return StatusOfError(reply.text);
  }
  return replies;
}

absl::StatusOr<RedisReply> RedisClient::Run(const RedisCommand& command) {
  LH_ASSIGN_OR_RETURN(std::vector<RedisReply> replies,
                      RunAll(1, [&command](size_t) { return command; }));
  return std::move(replies[0]);
}

}  // namespace longhand
