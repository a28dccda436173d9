// What the redis store does where the server is away, refuses, is somebody
// else, or holds what nobody wrote.

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/store/redis_client.h"
#include "core/store/session_store.h"
#include "gtest/gtest.h"
#include "tests/core/store/redis_server.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using testing::DigestOf;
using testing::ExpectSameChunk;
using testing::MakeChunks;
using testing::ReasonOf;
using testing::RedisServer;
using testing::TestDecoder;

absl::StatusOr<std::unique_ptr<SessionStore>> TryOpen(
    const SessionStoreOptions& options) {
  return (**SessionStoreRegistry().Find("redis"))(options);
}
std::unique_ptr<SessionStore> Open(const SessionStoreOptions& options) {
  auto store = TryOpen(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

const SessionKey kKey{"tenant", {1, 2, 3}};
const TestDecoder kDecoder;

LeaseRequest Request(const std::string& owner = "a") {
  return {.owner = owner, .duration = absl::Hours(1), .now = absl::Now()};
}

SessionCommit Append(uint64_t generation, int old, int count) {
  SessionCommit commit;
  commit.generation = commit.new_generation = generation;
  commit.expected_offset = uint64_t(old) * 10;
  commit.head.committed_offset = uint64_t(old + count) * 10;
  commit.head.num_chunks = uint64_t(old + count);
  commit.head.digest = DigestOf(uint8_t(old + count));
  commit.head.expire_time = absl::Now() + absl::Hours(1);
  commit.first_chunk = uint64_t(old);
  commit.chunks = MakeChunks(kDecoder, uint32_t(old), old, count);
  return commit;
}

void ExpectChunks(SessionStore& store, int count) {
  EXPECT_EQ(store.ReadHead(kKey)->head.num_chunks, uint64_t(count));
  const auto chunks = store.ReadChunks(kKey, 0, uint64_t(count), kDecoder);
  ASSERT_TRUE(chunks.ok()) << chunks.status();
  const auto expected = MakeChunks(kDecoder, 0, 0, count);
  for (int i = 0; i < count; ++i) {
    ExpectSameChunk(*(*chunks)[i], *expected[i]);
  }
}

// A session of three chunks, and all of it again.
void ExpectWorks(SessionStore& store) {
  EXPECT_TRUE(store.CheckHealth().ok()) << store.CheckHealth();
  const auto lease = store.Create(kKey, {}, Request());
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_TRUE(store.Commit(kKey, Append(1, 0, 3)).ok());
  ExpectChunks(store, 3);
  EXPECT_TRUE(store.Renew(kKey, 1, Request()).ok());
  EXPECT_EQ(store.List("tenant", nullptr, 9)->size(), 1u);
  EXPECT_EQ(store.ListExpired(absl::Now() + absl::Hours(5), 9)->size(), 1u);
  EXPECT_TRUE(store.Release(kKey, 1).ok());
  const auto again = store.Acquire(kKey, Request("b"));
  ASSERT_TRUE(again.ok()) << again.status();
  const absl::Status deleted = store.Delete(kKey, again->generation);
  EXPECT_TRUE(deleted.ok()) << deleted;
}

// Commands as an operator would type them.
RedisReply Ask(const RedisServer& server, const RedisCommand& command) {
  auto client = RedisClient::Create(server.StoreOptions());
  EXPECT_TRUE(client.ok()) << client.status();
  const auto reply = (*client)->Run(command);
  EXPECT_TRUE(reply.ok()) << reply.status();
  return reply.ok() ? *reply : RedisReply();
}

// The session's key whose name ends so.
std::string KeyOf(const RedisServer& server, const std::string& ending) {
  const RedisReply keys = Ask(server, {"KEYS", "longhand:{*}:" + ending});
  EXPECT_EQ(keys.elements.size(), 1u);
  return keys.elements.empty() ? "" : keys.elements[0].text;
}

TEST(RedisStore, OverTcp) {
  const RedisServer server({.tcp = true});
  ExpectWorks(*Open(server.StoreOptions()));
}

TEST(RedisStore, RefusesOptionsThatCannotWork) {
  for (const char* address : {"", "host", "host:", "host:0", "host:65536",
                              "host:1x", ":6379", "::1:6379", "/"}) {
    SessionStoreOptions options;
    options.address = address;
    if (std::string(address) == "/") {
      options.address += std::string(200, 'x');
    }
    EXPECT_EQ(ReasonOf(TryOpen(options)), "STORE_OPEN") << address;
  }
  SessionStoreOptions options;
  options.address = "[::1]:6379";
  EXPECT_TRUE(TryOpen(options).ok());
  options.username = "user";
  EXPECT_EQ(ReasonOf(TryOpen(options)), "STORE_OPEN");
  options.password = "password";
  EXPECT_TRUE(TryOpen(options).ok());
  options.tls_ca_file = "/nowhere/ca.pem";
  EXPECT_EQ(ReasonOf(TryOpen(options)), "STORE_OPEN");
  options.tls_ca_file = "";
  options.tls_cert_file = "/nowhere/cert.pem";
  EXPECT_EQ(ReasonOf(TryOpen(options)), "STORE_OPEN");
}

TEST(RedisStore, ServerMayComeLaterAndGo) {
  RedisServer server;
  server.Kill();
  const auto store = Open(server.StoreOptions());
  EXPECT_EQ(ReasonOf(store->CheckHealth()), "STORE_UNAVAILABLE");
  // More than it takes to stop trying.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ReasonOf(store->ReadHead(kKey)), "STORE_UNAVAILABLE");
  }
  server.Start();
  ExpectWorks(*store);

  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  server.Kill();
  EXPECT_EQ(ReasonOf(store->Commit(kKey, Append(1, 0, 1))),
            "STORE_UNAVAILABLE");
  server.Start();
  EXPECT_TRUE(store->CheckHealth().ok());
  // It kept nothing: the owner learns that the session is not its own any more.
  EXPECT_EQ(ReasonOf(store->Commit(kKey, Append(1, 0, 1))), "STALE_GENERATION");
  ExpectWorks(*store);
}

// A restart ends connections that wait for use; the first call notices.
TEST(RedisStore, RestartBetweenCallsIsNotNoticed) {
  RedisServer server;
  const auto store = Open(server.StoreOptions());
  ExpectWorks(*store);
  server.Kill();
  server.Start();
  EXPECT_EQ(ReasonOf(store->ReadHead(kKey)), "SESSION_NOT_FOUND");
}

TEST(RedisStore, SlowServer) {
  RedisServer server;
  SessionStoreOptions options = server.StoreOptions();
  const auto patient = Open(options);
  ASSERT_TRUE(patient->Create(kKey, {}, Request()).ok());
  options.timeout = absl::Milliseconds(50);
  const auto store = Open(options);
  server.Pause();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ReasonOf(store->ReadHead(kKey)), "STORE_UNAVAILABLE");
  }
  server.Resume();
  EXPECT_TRUE(patient->ReadHead(kKey).ok());
}

// Something that is no Redis answers.
TEST(RedisStore, AnotherServer) {
  const testing::TempDir dir;
  const std::string path = dir.File("sock");
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(
      bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0);
  ASSERT_EQ(listen(listener, 5), 0);
  std::thread web([listener] {
    const int connection = accept(listener, nullptr, nullptr);
    const std::string answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
    EXPECT_EQ(write(connection, answer.data(), answer.size()),
              ssize_t(answer.size()));
    char byte;
    while (read(connection, &byte, 1) > 0) continue;
    close(connection);
  });
  SessionStoreOptions options;
  options.address = path;
  options.timeout = absl::Seconds(20);
  {
    const absl::Status status = Open(options)->ReadHead(kKey).status();
    EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
    EXPECT_TRUE(absl::StrContains(status.message(), "protocol")) << status;
  }
  web.join();
  close(listener);
}

TEST(RedisStore, ScriptsThatWereFlushedAreLoadedAgain) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  Ask(server, {"SCRIPT", "FLUSH"});
  ASSERT_TRUE(store->Commit(kKey, Append(1, 0, 3)).ok());
  Ask(server, {"SCRIPT", "FLUSH"});
  ASSERT_TRUE(store->Commit(kKey, Append(1, 3, 2)).ok());
  const auto chunks = store->ReadChunks(kKey, 0, 5, kDecoder);
  EXPECT_TRUE(chunks.ok()) << chunks.status();
}

// The commands that redis_store.cc lists, and no others.
TEST(RedisStore, AclUser) {
  const RedisServer server;
  RedisCommand command = {"ACL",    "SETUSER", "longhand",     "on",
                          ">right", "~mine:*", "resetchannels"};
  for (const char* allowed :
       {"auth", "evalsha", "script|load", "exists",       "time",  "hset",
        "hget", "hmget",   "hdel",        "hlen",         "hkeys", "hexists",
        "pttl", "pexpire", "pexpireat",   "unlink",       "set",   "zadd",
        "zrem", "zcard",   "zrangebylex", "zrangebyscore"}) {
    command.push_back(absl::StrCat("+", allowed));
  }
  Ask(server, command);
  SessionStoreOptions options = server.StoreOptions();
  options.username = "longhand";
  options.password = "right";
  options.key_prefix = "mine:";
  const auto store = Open(options);
  ExpectWorks(*store);
  // Tidying up takes commands of its own.
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  ASSERT_TRUE(store->Commit(kKey, Append(1, 0, 1)).ok());
  const RedisReply keys = Ask(server, {"KEYS", "mine:{*}:chunks"});
  ASSERT_EQ(keys.elements.size(), 1u);
  Ask(server, {"HSET", keys.elements[0].text, "9:00ff", "half"});
  ASSERT_TRUE(store->Release(kKey, 1).ok());
  EXPECT_TRUE(store->Acquire(kKey, Request()).ok());
  EXPECT_EQ(Ask(server, {"HLEN", keys.elements[0].text}).integer, 1);

  options.key_prefix = "others:";
  absl::Status status = Open(options)->CheckHealth();
  EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
  EXPECT_TRUE(absl::StrContains(status.message(), "ACL")) << status;
  options.password = "wrong";
  status = Open(options)->CheckHealth();
  EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
  EXPECT_TRUE(absl::StrContains(status.message(), "password")) << status;
}

TEST(RedisStore, Tls) {
  const testing::TempDir dir;
  const auto run = [&](const std::string& command) {
    ASSERT_EQ(std::system(absl::StrCat("cd ", dir.path(), " && ", command,
                                       " >openssl.log 2>&1")
                              .c_str()),
              0)
        << testing::ReadAll(dir.File("openssl.log"));
  };
  for (const std::string ca : {"ca", "other"}) {
    run(
        absl::StrCat("openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
                     "-subj /CN=",
                     ca, " -keyout ", ca, ".key -out ", ca, ".pem"));
  }
  testing::WriteAll(dir.File("ip"), "subjectAltName=IP:127.0.0.1\n");
  testing::WriteAll(dir.File("name"), "subjectAltName=DNS:store.example\n");
  for (const std::string name : {"ip", "name"}) {
    run(absl::StrCat("openssl req -newkey rsa:2048 -nodes -subj /CN=x -keyout ",
                     name, ".key -out ", name, ".csr"));
    run(absl::StrCat("openssl x509 -req -days 2 -in ", name,
                     ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ",
                     name, " -out ", name, ".pem"));
  }
  const auto start = [&](const std::string& name) {
    return std::make_unique<RedisServer>(RedisServer::Options{
        .tcp = true,
        .tls = true,
        .arguments = {"--tls-cert-file", dir.File(name + ".pem"),
                      "--tls-key-file", dir.File(name + ".key"),
                      "--tls-ca-cert-file", dir.File("ca.pem")}});
  };
  const auto server = start("ip");
  SessionStoreOptions options = server->StoreOptions();
  options.tls_ca_file = dir.File("ca.pem");
  options.tls_cert_file = dir.File("ip.pem");
  options.tls_key_file = dir.File("ip.key");
  const auto store = Open(options);
  ExpectWorks(*store);
  // More than one TLS record each way.
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  SessionCommit commit = Append(1, 0, 0);
  commit.head.tail = std::string(1 << 20, 't');
  ASSERT_TRUE(store->Commit(kKey, commit).ok());
  EXPECT_EQ(store->ReadHead(kKey)->head.tail, commit.head.tail);

  SessionStoreOptions wrong = options;
  wrong.tls_ca_file = dir.File("other.pem");
  EXPECT_EQ(ReasonOf(Open(wrong)->CheckHealth()), "STORE_UNAVAILABLE");
  wrong = options;  // the server wants a certificate
  wrong.tls_cert_file = wrong.tls_key_file = "";
  EXPECT_EQ(ReasonOf(Open(wrong)->CheckHealth()), "STORE_UNAVAILABLE");
  wrong = server->StoreOptions();  // no TLS
  EXPECT_EQ(ReasonOf(Open(wrong)->CheckHealth()), "STORE_UNAVAILABLE");

  const auto misnamed = start("name");
  wrong = options;
  wrong.address = misnamed->address();
  EXPECT_EQ(ReasonOf(Open(wrong)->CheckHealth()), "STORE_UNAVAILABLE");
}

TEST(RedisStore, FullServer) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  ASSERT_TRUE(store->Commit(kKey, Append(1, 0, 2)).ok());
  Ask(server, {"CONFIG", "SET", "maxmemory", "1"});
  const absl::Status status = store->Commit(kKey, Append(1, 2, 2));
  EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
  EXPECT_TRUE(absl::StrContains(status.message(), "maxmemory")) << status;
  EXPECT_EQ(ReasonOf(store->CheckHealth()), "STORE_UNAVAILABLE");
  ExpectChunks(*store, 2);
  Ask(server, {"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(store->CheckHealth().ok());
  EXPECT_TRUE(store->Commit(kKey, Append(1, 2, 2)).ok());
}

TEST(RedisStore, RecordsThatNobodyWrote) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  ASSERT_TRUE(store->Commit(kKey, Append(1, 0, 2)).ok());
  const std::string chunks = KeyOf(server, "chunks");
  const RedisReply fields = Ask(server, {"HKEYS", chunks});
  ASSERT_EQ(fields.elements.size(), 2u);
  Ask(server, {"HSET", chunks, fields.elements[0].text, "garbage"});
  EXPECT_EQ(ReasonOf(store->ReadChunks(kKey, 0, 2, kDecoder)), "STORE_CORRUPT");
  Ask(server, {"HDEL", chunks, fields.elements[0].text});
  EXPECT_EQ(ReasonOf(store->ReadChunks(kKey, 0, 2, kDecoder)), "STORE_CORRUPT");

  const std::string head = KeyOf(server, "head");
  Ask(server, {"HSET", head, "h", "garbage"});
  EXPECT_EQ(ReasonOf(store->ReadHead(kKey)), "STORE_CORRUPT");
  EXPECT_EQ(ReasonOf(store->Acquire(kKey, Request())), "STORE_CORRUPT");
  EXPECT_EQ(ReasonOf(store->List("tenant", nullptr, 9)), "STORE_CORRUPT");
  Ask(server, {"HSET", head, "o", "\n\x1b[31m", "x", "99999999999999"});
  EXPECT_EQ(ReasonOf(store->Acquire(kKey, Request())), "STORE_CORRUPT");
  // It is to be removed, and can be.
  EXPECT_EQ(store->ListExpired(absl::Now() + absl::Hours(5), 9)->size(), 1u);
  EXPECT_TRUE(store->Delete(kKey, 0).ok());
  EXPECT_EQ(ReasonOf(store->ReadHead(kKey)), "SESSION_NOT_FOUND");
  EXPECT_TRUE(Ask(server, {"KEYS", "longhand:*{*"}).elements.empty());
}

TEST(RedisStore, LeasesGoByTheServersClock) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  LeaseRequest hasty = Request("b");
  hasty.now += absl::Hours(1000);
  EXPECT_EQ(ReasonOf(store->Acquire(kKey, hasty)), "WRONG_REPLICA");
}

// Generations are not below the clock, so that a server that forgot some gives
// none a second time.
TEST(RedisStore, GenerationsSurviveAFailover) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  ASSERT_TRUE(store->Release(kKey, 1).ok());
  const auto first = store->Acquire(kKey, Request());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT(first->generation, uint64_t{1500000000000});
  // As if all of it were lost.
  ASSERT_TRUE(store->Release(kKey, first->generation).ok());
  Ask(server, {"HSET", KeyOf(server, "head"), "g", "1"});
  absl::SleepFor(absl::Milliseconds(2));
  const auto second = store->Acquire(kKey, Request());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->generation, first->generation);
}

TEST(RedisStore, WhatWasNeverCommittedGoesAway) {
  const RedisServer server;
  const auto store = Open(server.StoreOptions());
  ASSERT_TRUE(store->Create(kKey, {}, Request()).ok());
  ASSERT_TRUE(store->Commit(kKey, Append(1, 0, 2)).ok());
  const std::string chunks = KeyOf(server, "chunks");
  // As if a commit of an owner that is gone had ended here.
  Ask(server, {"HSET", chunks, "2:00ff", "half", "0:00ff", "half"});
  ASSERT_TRUE(store->Release(kKey, 1).ok());
  ASSERT_TRUE(store->Acquire(kKey, Request("b")).ok());
  EXPECT_EQ(Ask(server, {"HLEN", chunks}).integer, 2);
  ExpectChunks(*store, 2);
  // Keys do not outlive a session that nobody removes.
  for (const char* key : {"head", "versions", "chunks"}) {
    const int64_t left = Ask(server, {"PTTL", KeyOf(server, key)}).integer;
    EXPECT_GT(left, absl::ToInt64Milliseconds(absl::Minutes(60)));
    EXPECT_LE(left, absl::ToInt64Milliseconds(absl::Minutes(75)));
  }
  // Found again by their entries even where the entry is wrong.
  Ask(server, {"ZADD", "longhand:expirations", "1",
               Ask(server, {"ZRANGE", "longhand:expirations", "0", "0"})
                   .elements[0]
                   .text});
  EXPECT_TRUE(store->ListExpired(absl::Now(), 9)->empty());
  EXPECT_EQ(store->ListExpired(absl::Now() + absl::Hours(2), 9)->size(), 1u);
  // And entries without a session go away.
  Ask(server, {"UNLINK", KeyOf(server, "head")});
  EXPECT_TRUE(store->List("tenant", nullptr, 9)->empty());
  EXPECT_TRUE(store->ListExpired(absl::Now() + absl::Hours(2), 9)->empty());
  EXPECT_EQ(Ask(server, {"ZCARD", "longhand:expirations"}).integer, 0);
}

}  // namespace
}  // namespace longhand
