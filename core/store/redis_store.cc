// The store in a Redis or Valkey server that replicas share. redis_scripts.h
// says what a session's keys hold. Besides these there are two sorted sets,
// which only help to find sessions: per tenant the ids, and over all tenants
// ids by expire_time. Sessions are entered before they are made and removed
// after they are gone; an entry that is wrong is put right when it is found.
//
// Our user needs `~PREFIX*` and AUTH, EVALSHA, SCRIPT LOAD, EXISTS, TIME, HSET,
// HGET, HMGET, HDEL, HLEN, HKEYS, HEXISTS, PTTL, PEXPIRE, PEXPIREAT, UNLINK,
// SET, ZADD, ZREM, ZCARD, ZRANGEBYLEX, ZRANGEBYSCORE. The server must not evict
// keys (maxmemory-policy noeviction).

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/store/record_codec.h"
#include "core/store/redis_client.h"
#include "core/store/session_store.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

// Keys stay so long behind a session's expire_time, for gravestones and for
// whoever removes it properly.
constexpr absl::Duration kGrace = absl::Minutes(15);
// Of absl::FromUnixMillis; the end of the year 9999.
constexpr int64_t kLastMillis = 253402300799000;
// Chunks that are asked for in one go.
constexpr uint64_t kReadBatch = 16;
constexpr size_t kMaxOwnerBytes = 255;

int64_t Millis(absl::Time time) {
  return std::clamp<int64_t>(absl::ToUnixMillis(time), 0, kLastMillis);
}
std::string GraceText() {
  return absl::StrCat(absl::ToInt64Milliseconds(kGrace));
}
std::string DurationText(absl::Duration duration) {
  return absl::StrCat(absl::ToInt64Milliseconds(duration));
}
std::string RemovalText(const SessionHead& head) {
  return absl::StrCat(Millis(head.expire_time + kGrace));
}
std::string Text(const SessionDigest& digest) {
  return {digest.begin(), digest.end()};
}

std::string IdText(const SessionId& id) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

std::optional<SessionId> ParseIdText(std::string_view text) {
  SessionId id;
  if (text.size() != 2 * id.size() ||
      text.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  const std::string bytes =
      absl::HexStringToBytes(absl::string_view(text.data(), text.size()));
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

absl::Status UnexpectedReply() {
  return StoreCorruptError(
      "the shared store holds something else than a session");
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}

// What the answer of a script says in its first word.
std::string_view Outcome(const RedisReply& reply) {
  return reply.elements.empty() ? std::string_view()
                                : std::string_view(reply.elements[0].text);
}

// OK, STALE and LOST.
absl::Status StatusOf(const RedisReply& reply) {
  const std::string_view outcome = Outcome(reply);
  if (outcome == "OK") return absl::OkStatus();
  if (outcome == "STALE") return StaleGenerationError();
  if (outcome == "LOST") return StoreLostWritesError();
  if (outcome == "UNSTAGED") {
    return StoreUnavailableError(
        "the shared store dropped what was just written; see its "
        "maxmemory-policy, which must be noeviction");
  }
  return UnexpectedReply();
}

// Of the fields g and h.
absl::StatusOr<StoredSession> ParseSession(const SessionId& id,
                                           const RedisReply& generation,
                                           const RedisReply& head) {
  StoredSession session{id, 0, {}};
  if (!absl::SimpleAtoi(generation.text, &session.generation)) {
    return UnexpectedReply();
  }
  LH_ASSIGN_OR_RETURN(session.head, DecodeHead(head.text));
  return session;
}

class RedisStore : public SessionStore {
 public:
  RedisStore(std::unique_ptr<RedisClient> client, std::string prefix)
      : client_(std::move(client)), prefix_(std::move(prefix)) {}

  std::string_view name() const override { return "redis"; }
  Durability durability() const override { return Durability::kShared; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override;
  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override;
  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override;
  absl::Status Release(const SessionKey& key, uint64_t generation) override;
  absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>> ReadChunks(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& decoder) override;
  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override;
  absl::Status Delete(const SessionKey& key, uint64_t generation) override;
  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override;
  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override;
  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override;
  absl::Status CheckHealth() override;
  SessionStoreStats stats() const override {
    return {.sessions = num_sessions_};
  }

 private:
  // An entry of the set of expirations.
  struct Expiration {
    std::string member;
    SessionKey key;
  };

  // Those that redis_scripts.h lists.
  std::vector<std::string> Keys(const SessionKey& key) const;
  std::string TenantSet(const std::string& tenant) const;
  std::string ExpirationSet() const { return prefix_ + "expirations"; }
  static std::string Member(const SessionKey& key) {
    return IdText(key.id) + key.tenant;
  }

  absl::StatusOr<RedisReply> RunScript(
      RedisScript script, const SessionKey& key,
      const std::vector<std::string>& arguments) {
    return client_->Run(client_->ScriptCommand(script, Keys(key), arguments));
  }
  absl::Status Forget(const SessionKey& key);
  absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>> ReadBatch(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& decoder);
  // Whether the session has expired by `time`; corrects an entry that is wrong.
  absl::StatusOr<bool> CheckExpiration(const Expiration& expiration,
                                       const RedisReply& head, absl::Time time);

  const std::unique_ptr<RedisClient> client_;
  const std::string prefix_;
  std::atomic<uint64_t> num_sessions_{0};  // when it was last asked for
};

std::string TenantHash(const std::string& tenant) {
  Sha256 hash;
  hash.Update(tenant);
  return hash.HexDigest();
}

std::vector<std::string> RedisStore::Keys(const SessionKey& key) const {
  const std::string session = absl::StrCat(prefix_, "{", TenantHash(key.tenant),
                                           ":", IdText(key.id), "}:");
  return {session + "head", session + "versions", session + "chunks"};
}

std::string RedisStore::TenantSet(const std::string& tenant) const {
  return absl::StrCat(prefix_, "tenant:", TenantHash(tenant));
}

absl::StatusOr<Lease> RedisStore::Create(const SessionKey& key,
                                         const SessionHead& head,
                                         const LeaseRequest& request) {
  LH_CHECK(head.num_chunks == 0);
  const std::vector<RedisCommand> commands = {
      {"ZADD", TenantSet(key.tenant), "0", IdText(key.id)},
      {"ZADD", ExpirationSet(), "NX", absl::StrCat(Millis(head.expire_time)),
       Member(key)},
      client_->ScriptCommand(
          RedisScript::kCreate, Keys(key),
          {request.owner, DurationText(request.duration), EncodeHead(head),
           absl::StrCat(head.committed_offset), Text(head.digest),
           RemovalText(head), GraceText()})};
  // The last one may run a second time only if it did not run at all.
  LH_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> replies,
      client_->RunAll(commands.size(), [&](size_t i) { return commands[i]; }));
  if (Outcome(replies.back()) == "EXISTS") return SessionExistsError();
  LH_RETURN_IF_ERROR(StatusOf(replies.back()));
  return Lease{1, head};
}

absl::StatusOr<Lease> RedisStore::Acquire(const SessionKey& key,
                                          const LeaseRequest& request) {
  LH_ASSIGN_OR_RETURN(
      const RedisReply reply,
      RunScript(RedisScript::kAcquire, key,
                {request.owner, DurationText(request.duration)}));
  const std::string_view outcome = Outcome(reply);
  if (outcome == "NOT_FOUND") return SessionNotFoundError();
  if (outcome == "WRONG_REPLICA" && reply.elements.size() == 2) {
    const std::string& owner = reply.elements[1].text;
    if (owner.size() > kMaxOwnerBytes || !IsPrintable(owner)) {
      return UnexpectedReply();
    }
    return WrongReplicaError(owner);
  }
  if (outcome != "OK" || reply.elements.size() != 3) return UnexpectedReply();
  LH_ASSIGN_OR_RETURN(
      StoredSession session,
      ParseSession(key.id, reply.elements[1], reply.elements[2]));
  return Lease{session.generation, std::move(session.head)};
}

absl::Status RedisStore::Renew(const SessionKey& key, uint64_t generation,
                               const LeaseRequest& request) {
  LH_ASSIGN_OR_RETURN(const RedisReply reply,
                      RunScript(RedisScript::kRenew, key,
                                {absl::StrCat(generation), request.owner,
                                 DurationText(request.duration)}));
  return StatusOf(reply);
}

absl::Status RedisStore::Release(const SessionKey& key, uint64_t generation) {
  LH_ASSIGN_OR_RETURN(
      const RedisReply reply,
      RunScript(RedisScript::kRelease, key, {absl::StrCat(generation)}));
  return StatusOf(reply);
}

absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>>
RedisStore::ReadBatch(const SessionKey& key, uint64_t begin, uint64_t end,
                      const StateDecoder& decoder) {
  const std::vector<std::string> keys = Keys(key);
  RedisCommand command = {"HMGET", keys[1]};
  for (uint64_t number = begin; number < end; ++number) {
    command.push_back(absl::StrCat(number));
  }
  LH_ASSIGN_OR_RETURN(const RedisReply versions, client_->Run(command));
  if (versions.elements.size() != end - begin) return UnexpectedReply();
  LH_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> records,
      client_->RunAll(versions.elements.size(), [&](size_t i) -> RedisCommand {
        return {"HGET", keys[2],
                absl::StrCat(begin + i, ":", versions.elements[i].text)};
      }));
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
  for (const RedisReply& record : records) {
    if (record.is_null()) {
      return StoreCorruptError("a session's chunk is missing");
    }
    LH_ASSIGN_OR_RETURN(std::shared_ptr<const ChunkRecord> chunk,
                        DecodeChunk(record.text, decoder));
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>>
RedisStore::ReadChunks(const SessionKey& key, uint64_t begin, uint64_t end,
                       const StateDecoder& decoder) {
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
  while (begin < end) {
    const uint64_t batch_end = std::min(end, begin + kReadBatch);
    auto batch = ReadBatch(key, begin, batch_end, decoder);
    if (!batch.ok()) {
      // Nothing is missing of a session that is not there.
      LH_RETURN_IF_ERROR(ReadHead(key).status());
      return batch.status();
    }
    chunks.insert(chunks.end(), batch->begin(), batch->end());
    begin = batch_end;
  }
  return chunks;
}

absl::Status RedisStore::Commit(const SessionKey& key,
                                const SessionCommit& commit) {
  const SessionHead& head = commit.head;
  LH_CHECK(commit.first_chunk + commit.chunks.size() == head.num_chunks);
  const std::vector<std::string> keys = Keys(key);
  std::vector<std::string> arguments = {absl::StrCat(commit.generation),
                                        absl::StrCat(commit.new_generation),
                                        absl::StrCat(commit.expected_offset),
                                        EncodeHead(head),
                                        absl::StrCat(head.committed_offset),
                                        Text(head.digest),
                                        absl::StrCat(head.num_chunks),
                                        RemovalText(head),
                                        GraceText(),
                                        absl::StrCat(commit.first_chunk)};
  const size_t num_fixed = arguments.size();
  const auto make = [&](size_t i) -> RedisCommand {
    if (i == commit.chunks.size()) {
      return client_->ScriptCommand(RedisScript::kCommit, keys, arguments);
    }
    std::string record = EncodeChunk(*commit.chunks[i]);
    // Its checksum.
    const std::string version = absl::BytesToHexString(
        absl::string_view(record).substr(record.size() - sizeof(uint64_t)));
    if (arguments.size() == num_fixed + i) arguments.push_back(version);
    return client_->ScriptCommand(
        RedisScript::kStage, keys,
        {absl::StrCat(commit.generation),
         absl::StrCat(commit.first_chunk + i, ":", version),
         std::move(record)});
  };
  // Staging may be refused where the commit is not: one that is there already.
  LH_ASSIGN_OR_RETURN(const std::vector<RedisReply> replies,
                      client_->RunAll(commit.chunks.size() + 1, make));
  LH_RETURN_IF_ERROR(StatusOf(replies.back()));
  return client_
      ->Run({"ZADD", ExpirationSet(), absl::StrCat(Millis(head.expire_time)),
             Member(key)})
      .status();
}

absl::Status RedisStore::Forget(const SessionKey& key) {
  const std::vector<RedisCommand> commands = {
      {"ZREM", TenantSet(key.tenant), IdText(key.id)},
      {"ZREM", ExpirationSet(), Member(key)}};
  return client_->RunAll(commands.size(), [&](size_t i) { return commands[i]; })
      .status();
}

absl::Status RedisStore::Delete(const SessionKey& key, uint64_t generation) {
  LH_ASSIGN_OR_RETURN(
      RedisReply reply,
      RunScript(RedisScript::kDelete, key, {absl::StrCat(generation), "0"}));
  if (Outcome(reply) == "STALE" && IsStoreCorrupt(ReadHead(key).status())) {
    LH_ASSIGN_OR_RETURN(reply, RunScript(RedisScript::kDelete, key,
                                         {absl::StrCat(generation), "1"}));
  }
  LH_RETURN_IF_ERROR(StatusOf(reply));
  return Forget(key);
}

absl::StatusOr<std::vector<StoredSession>> RedisStore::List(
    const std::string& tenant, const SessionId* after, size_t limit) {
  std::vector<StoredSession> listed;
  std::string begin =
      after == nullptr ? "-" : absl::StrCat("(", IdText(*after));
  while (listed.size() < limit) {
    const size_t wanted = limit - listed.size();
    LH_ASSIGN_OR_RETURN(
        const RedisReply ids,
        client_->Run({"ZRANGEBYLEX", TenantSet(tenant), begin, "+", "LIMIT",
                      "0", absl::StrCat(wanted)}));
    std::vector<SessionKey> keys;
    for (const RedisReply& element : ids.elements) {
      const std::optional<SessionId> id = ParseIdText(element.text);
      if (!id) return UnexpectedReply();
      keys.push_back({tenant, *id});
    }
    LH_ASSIGN_OR_RETURN(
        const std::vector<RedisReply> heads,
        client_->RunAll(keys.size(), [&](size_t i) -> RedisCommand {
          return {"HMGET", Keys(keys[i])[0], "g", "h"};
        }));
    for (size_t i = 0; i < keys.size(); ++i) {
      if (heads[i].elements.size() != 2) return UnexpectedReply();
      // Gone, or not there yet.
      if (heads[i].elements[0].is_null()) continue;
      LH_ASSIGN_OR_RETURN(
          StoredSession session,
          ParseSession(keys[i].id, heads[i].elements[0], heads[i].elements[1]));
      listed.push_back(std::move(session));
    }
    if (keys.size() < wanted) break;
    begin = absl::StrCat("(", IdText(keys.back().id));
  }
  return listed;
}

absl::StatusOr<StoredSession> RedisStore::ReadHead(const SessionKey& key) {
  LH_ASSIGN_OR_RETURN(const RedisReply reply,
                      client_->Run({"HMGET", Keys(key)[0], "g", "h"}));
  if (reply.elements.size() != 2) return UnexpectedReply();
  if (reply.elements[0].is_null()) return SessionNotFoundError();
  return ParseSession(key.id, reply.elements[0], reply.elements[1]);
}

absl::StatusOr<bool> RedisStore::CheckExpiration(const Expiration& expiration,
                                                 const RedisReply& head,
                                                 absl::Time time) {
  const absl::StatusOr<SessionHead> parsed = DecodeHead(head.text);
  // What can't be read is to be removed as well.
  if (!parsed.ok() || parsed->expire_time < time) return true;
  LH_RETURN_IF_ERROR(
      client_
          ->Run({"ZADD", ExpirationSet(), "XX",
                 absl::StrCat(Millis(parsed->expire_time)), expiration.member})
          .status());
  return false;
}

absl::StatusOr<std::vector<SessionKey>> RedisStore::ListExpired(absl::Time time,
                                                                size_t limit) {
  std::vector<SessionKey> expired;
  size_t passed_over = 0;  // entries that stay where they are
  while (expired.size() < limit) {
    const size_t wanted = limit - expired.size();
    LH_ASSIGN_OR_RETURN(
        const RedisReply entries,
        client_->Run({"ZRANGEBYSCORE", ExpirationSet(), "-inf",
                      absl::StrCat("(", Millis(time)), "WITHSCORES", "LIMIT",
                      absl::StrCat(passed_over), absl::StrCat(wanted)}));
    for (size_t i = 0; i + 1 < entries.elements.size(); i += 2) {
      const std::string& member = entries.elements[i].text;
      const auto id = ParseIdText(member.substr(0, 2 * sizeof(SessionId)));
      double score = 0;
      if (!id || !absl::SimpleAtod(entries.elements[i + 1].text, &score)) {
        return UnexpectedReply();
      }
      const Expiration expiration{member,
                                  {member.substr(2 * sizeof(SessionId)), *id}};
      LH_ASSIGN_OR_RETURN(const RedisReply head,
                          client_->Run({"HGET", Keys(expiration.key)[0], "h"}));
      if (head.is_null() && score < double(Millis(time - kGrace))) {
        LH_RETURN_IF_ERROR(Forget(expiration.key));
        continue;
      }
      if (head.is_null()) {  // one that is being made, perhaps
        ++passed_over;
        continue;
      }
      LH_ASSIGN_OR_RETURN(const bool is_expired,
                          CheckExpiration(expiration, head, time));
      if (!is_expired) continue;
      ++passed_over;
      expired.push_back(expiration.key);
    }
    if (entries.elements.size() < 2 * wanted) break;
  }
  return expired;
}

absl::Status RedisStore::CheckHealth() {
  client_->CloseBreaker();
  const std::vector<RedisCommand> commands = {
      {"SET", prefix_ + "health", "1", "PX", GraceText()},
      {"ZCARD", ExpirationSet()}};
  LH_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> replies,
      client_->RunAll(commands.size(), [&](size_t i) { return commands[i]; }));
  num_sessions_ = uint64_t(std::max<int64_t>(replies[1].integer, 0));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionStore>> MakeRedisStore(
    const SessionStoreOptions& options) {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<RedisClient> client,
                      RedisClient::Create(options));
  return std::make_unique<RedisStore>(std::move(client), options.key_prefix);
}

}  // namespace longhand
