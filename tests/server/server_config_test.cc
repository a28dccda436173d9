#include "server/server_config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "core/attention/mechanism_options.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/listen_address.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "longhand-server");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

// Sets an environment variable for one test.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value) : name_(name) {
    setenv(name, value, 1);
  }
  ~ScopedEnv() { unsetenv(name_); }

 private:
  const char* const name_;
};

class ScopedFile {
 public:
  explicit ScopedFile(const std::string& text)
      : path_(::testing::TempDir() + "config." + std::to_string(getpid())) {
    std::ofstream(path_) << text;
  }
  ~ScopedFile() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  const std::string path_;
};

TEST(ServerConfigTest, DefaultsAreSafe) {
  const auto command = Parse({});
  ASSERT_TRUE(command.ok()) << command.status();
  const ServerConfig& config = command->config;
  EXPECT_EQ(config.listen, "127.0.0.1:50051");
  EXPECT_EQ(config.metrics_listen, "127.0.0.1:9464");
  EXPECT_FALSE(config.reflection);
  EXPECT_FALSE(config.allow_core_dumps);
  EXPECT_EQ(config.max_message_bytes, 4U << 20);
  EXPECT_EQ(config.max_concurrent_streams, 64);
  EXPECT_EQ(config.keepalive, absl::Seconds(30));
  EXPECT_EQ(config.tls.reload_interval, absl::Seconds(10));
  EXPECT_EQ(config.grpc_memory_bytes, 512U << 20);
  EXPECT_EQ(config.max_unread_bytes, 256U << 20);
  EXPECT_EQ(config.max_request, absl::Minutes(10));
  EXPECT_EQ(config.max_stream, absl::Hours(1));
  EXPECT_EQ(config.drain_timeout, absl::Seconds(20));
  EXPECT_EQ(config.model.directory, "models/all-MiniLM-L6-v2");
  EXPECT_FALSE(config.encoder.defaults.gate.has_value());
  EXPECT_FALSE(command->exit_text.has_value());
}

TEST(ServerConfigTest, FlagsAreRead) {
  const auto command = Parse({"--model",
                              "m",
                              "--model-name",
                              "n",
                              "--workers=3",
                              "--max-document-bytes=2MiB",
                              "--keepalive-seconds=60",
                              "--tls-reload-seconds=2.5",
                              "--max-working-bytes=1 GB",
                              "--default-visibility",
                              "bidirectional",
                              "--default-gate=0.25",
                              "--default-chunk-tokens=64",
                              "--max-message-bytes=65536",
                              "--max-unread-bytes=70KB",
                              "--drain-delay-seconds=0.5",
                              "--reflection",
                              "--log-format",
                              "json",
                              "--log-level=debug",
                              "--metrics-listen",
                              ""});
  ASSERT_TRUE(command.ok()) << command.status();
  const ServerConfig& config = command->config;
  EXPECT_EQ(config.model.directory, "m");
  EXPECT_EQ(config.model.name, "n");
  EXPECT_EQ(config.encoder.workers, 3);
  EXPECT_EQ(config.encoder.max_document_bytes, 2U << 20);
  EXPECT_EQ(config.encoder.max_working_bytes, 1000000000U);
  EXPECT_EQ(config.encoder.defaults.visibility, Visibility::kBidirectional);
  EXPECT_EQ(config.encoder.defaults.gate, 0.25F);
  EXPECT_EQ(config.encoder.defaults.chunk_tokens, 64);
  EXPECT_EQ(config.max_message_bytes, 65536U);
  EXPECT_EQ(config.max_unread_bytes, 70000U);
  EXPECT_EQ(config.drain_delay, absl::Milliseconds(500));
  EXPECT_EQ(config.keepalive, absl::Minutes(1));
  EXPECT_EQ(config.tls.reload_interval, absl::Milliseconds(2500));
  EXPECT_TRUE(config.reflection);
  EXPECT_EQ(config.log.format, LogFormat::kJson);
  EXPECT_EQ(config.log.level, LogLevel::kDebug);
  EXPECT_EQ(config.metrics_listen, "");
}

TEST(ServerConfigTest, DefaultsOfRequestsAreRead) {
  const auto command =
      Parse({"--default-visibility=two_pass", "--default-features=softmax",
             "--default-merge=balanced_lse", "--default-top-k=5",
             "--default-anchors=2", "--default-anchor-share=0.5",
             "--default-neighbors=1", "--default-retrieval-layers=0,2,5",
             "--default-state-codec=low_rank", "--default-state-rank=4",
             "--default-min-chunk-tokens=30", "--default-overlap-tokens=16",
             "--default-anchor-weight=0.25", "--default-document-weight=-2",
             "--precision=bf16", "--adapter=a.safetensors"});
  ASSERT_TRUE(command.ok()) << command.status();
  const EncodeOptions& defaults = command->config.encoder.defaults;
  EXPECT_EQ(defaults.visibility, Visibility::kTwoPass);
  EXPECT_EQ(defaults.features, FeatureMap::kSoftmax);
  EXPECT_EQ(defaults.merge, Merge::kBalancedLse);
  EXPECT_EQ(defaults.top_k, 5);
  EXPECT_EQ(defaults.anchors, 2);
  EXPECT_EQ(defaults.anchor_share, 0.5F);
  EXPECT_EQ(defaults.neighbors, 1);
  EXPECT_THAT(defaults.retrieval_layers, ElementsAre(0, 2, 5));
  EXPECT_EQ(defaults.state_codec, "low_rank");
  EXPECT_EQ(defaults.state_rank, 4);
  EXPECT_EQ(defaults.min_chunk_tokens, 30);
  EXPECT_EQ(defaults.overlap_tokens, 16);
  EXPECT_EQ(defaults.anchor_weight, 0.25F);
  EXPECT_EQ(defaults.document_weight, -2.0F);
  EXPECT_EQ(command->config.model.precision, "bf16");
  EXPECT_EQ(command->config.model.adapter_file, "a.safetensors");
}

TEST(ServerConfigTest, EveryNumberOfMechanismsHasAFlag) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok()) << help.status();
  for (const MechanismField& field : MechanismFields()) {
    std::string flag = "--default-" + std::string(field.name);
    std::replace(flag.begin(), flag.end(), '_', '-');
    EXPECT_THAT(*help->exit_text, HasSubstr(flag));
    for (const int value : {field.min, field.max}) {
      const std::string given = flag + "=" + std::to_string(value);
      const auto command = Parse({given.c_str()});
      ASSERT_TRUE(command.ok()) << command.status();
      MechanismOptions expected;
      expected.*field.value = value;
      EXPECT_EQ(command->config.encoder.defaults.mechanism_options, expected)
          << flag;
    }
    for (const int value : {field.min - 1, field.max + 1}) {
      const std::string given = flag + "=" + std::to_string(value);
      EXPECT_FALSE(Parse({given.c_str()}).ok()) << given;
    }
  }
  const auto command = Parse({"--default-global-tokens=0,7,12345678901"});
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_THAT(command->config.encoder.defaults.global_tokens,
              ElementsAre(0, 7, 12345678901));
  EXPECT_FALSE(Parse({"--default-global-tokens=0,x"}).ok());
  EXPECT_FALSE(Parse({"--default-global-tokens=-1"}).ok());
}

TEST(ServerConfigTest, SessionsAreKeptInMemoryByDefault) {
  const auto command = Parse({});
  ASSERT_TRUE(command.ok()) << command.status();
  const SessionConfig& sessions = command->config.sessions;
  EXPECT_EQ(sessions.store, "memory");
  EXPECT_EQ(sessions.memory_bytes, 0U);
  EXPECT_EQ(sessions.cache_bytes, std::nullopt);
  EXPECT_EQ(sessions.threads, 16);
  EXPECT_EQ(sessions.owner, "");
  EXPECT_FALSE(sessions.store_options.quarantine_corrupt);
  EXPECT_EQ(sessions.store_options.key_prefix, "longhand:");
  EXPECT_EQ(sessions.manager.default_ttl, absl::Hours(1));
  EXPECT_EQ(sessions.manager.max_ttl, absl::Hours(24 * 30));
  EXPECT_EQ(sessions.manager.max_append_bytes, 1U << 20);
}

TEST(ServerConfigTest, SessionFlagsAreRead) {
  const auto command = Parse({"--session-store=redis",
                              "--session-redis-address=redis.test:6379",
                              "--session-redis-username=u",
                              "--session-redis-password-file=p",
                              "--session-redis-tls-ca=ca",
                              "--session-redis-tls-cert=c",
                              "--session-redis-tls-key=k",
                              "--session-redis-prefix=x:",
                              "--session-owner=me:1",
                              "--session-memory-bytes=1GiB",
                              "--session-cache-bytes=64MiB",
                              "--session-default-ttl=0.5e2",
                              "--session-max-ttl=7200",
                              "--session-max-per-tenant=5",
                              "--session-lease=7",
                              "--session-idle-release=0.25",
                              "--session-write-behind=0",
                              "--session-max-append-bytes=2MiB",
                              "--session-snapshot-key-file=key",
                              "--session-threads=3"});
  ASSERT_TRUE(command.ok()) << command.status();
  const SessionConfig& sessions = command->config.sessions;
  const SessionStoreOptions& store = sessions.store_options;
  EXPECT_EQ(sessions.store, "redis");
  EXPECT_EQ(store.address, "redis.test:6379");
  EXPECT_EQ(store.username, "u");
  EXPECT_EQ(sessions.redis_password_file, "p");
  EXPECT_EQ(store.tls_ca_file, "ca");
  EXPECT_EQ(store.tls_cert_file, "c");
  EXPECT_EQ(store.tls_key_file, "k");
  EXPECT_EQ(store.key_prefix, "x:");
  EXPECT_EQ(sessions.owner, "me:1");
  EXPECT_EQ(sessions.memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(sessions.cache_bytes, uint64_t{64} << 20);
  EXPECT_EQ(sessions.manager.default_ttl, absl::Seconds(50));
  EXPECT_EQ(sessions.manager.max_ttl, absl::Hours(2));
  EXPECT_EQ(sessions.manager.max_sessions_per_tenant, 5);
  EXPECT_EQ(sessions.manager.lease_duration, absl::Seconds(7));
  EXPECT_EQ(sessions.manager.idle_release, absl::Milliseconds(250));
  EXPECT_EQ(sessions.manager.write_behind, absl::ZeroDuration());
  EXPECT_EQ(sessions.manager.max_append_bytes, 2U << 20);
  EXPECT_EQ(sessions.snapshot_key_file, "key");
  EXPECT_EQ(sessions.threads, 3);

  const auto rocksdb = Parse({"--session-store=rocksdb", "--session-dir=d",
                              "--session-on-corruption=quarantine"});
  ASSERT_TRUE(rocksdb.ok()) << rocksdb.status();
  EXPECT_EQ(rocksdb->config.sessions.store_options.path, "d");
  EXPECT_TRUE(rocksdb->config.sessions.store_options.quarantine_corrupt);
}

TEST(ServerConfigTest, ContradictingSessionFlagsAreExplained) {
  struct Case {
    std::vector<const char*> flags;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{"--session-store=rocksdb"}, "needs --session-dir"},
      {{"--session-dir=d"}, "--session-dir needs --session-store rocksdb"},
      {{"--session-store=redis", "--session-owner=o"},
       "needs --session-redis-address"},
      {{"--session-redis-address=a:1"},
       "--session-redis-address needs --session-store redis"},
      {{"--session-redis-password-file=f"},
       "--session-redis-password-file needs --session-store redis"},
      {{"--session-store=redis", "--session-redis-address=a:1",
        "--session-owner=o", "--session-redis-tls-ca=c",
        "--session-redis-tls-cert=c"},
       "go together"},
      {{"--session-store=redis", "--session-redis-address=a:1",
        "--session-owner=o", "--session-redis-tls-cert=c",
        "--session-redis-tls-key=k"},
       "needs --session-redis-tls-ca"},
      // One name for many servers.
      {{"--session-store=redis", "--session-redis-address=a:1"},
       "needs --session-owner here: 127.0.0.1:50051"},
      {{"--session-store=redis", "--session-redis-address=a:1",
        "--listen=0.0.0.0:0", "--insecure-allow-remote-plaintext"},
       "needs --session-owner here"},
      {{"--session-owner=two words"}, "--session-owner"},
      {{"--session-default-ttl=100", "--session-max-ttl=99"},
       "--session-default-ttl is above"},
      {{"--session-memory-bytes=1MiB", "--session-cache-bytes=2MiB"},
       "--session-cache-bytes is above"},
  };
  for (const Case& c : cases) {
    const auto command = Parse(c.flags);
    ASSERT_FALSE(command.ok()) << c.message;
    EXPECT_EQ(GetErrorDetail(command.status())->reason, "CONFIG_INVALID");
    EXPECT_THAT(std::string(command.status().message()), HasSubstr(c.message));
  }
  EXPECT_TRUE(Parse({"--session-store=redis", "--session-redis-address=a:1",
                     "--listen=0.0.0.0:1", "--insecure-allow-remote-plaintext"})
                  .ok());
  EXPECT_TRUE(Parse({"--session-store=none"}).ok());
}

TEST(ServerConfigTest, BadValuesAreRefused) {
  const std::vector<std::vector<const char*>> cases = {
      {"--no-such-flag"},
      {"positional"},
      {"--workers", "-1"},
      {"--workers", "two"},
      {"--workers", "99999999999999999999"},
      {"--max-concurrent-documents", "0"},
      {"--max-message-bytes", "1"},
      {"--max-message-bytes", "2GiB"},
      {"--max-message-bytes", "4 elephants"},
      {"--max-message-bytes", "-1"},
      {"--max-document-bytes", "0"},
      {"--max-unread-bytes", "4194303"},  // one message is more
      {"--max-request-seconds", "0"},
      {"--max-request-seconds", "nan"},
      {"--drain-timeout-seconds", "-1"},
      {"--default-gate", "1.5"},
      {"--default-gate", "nan"},
      {"--default-visibility", "sideways"},
      {"--default-features", "relu"},
      {"--default-merge", "sum"},
      {"--default-top-k", "-1"},
      {"--default-top-k", "1.5"},
      {"--default-anchor-share", "2"},
      {"--default-anchor-weight", "inf"},
      {"--default-anchor-weight", "-1"},
      {"--default-document-weight", "-101"},
      {"--default-retrieval-layers", "1,,2"},
      {"--default-retrieval-layers", "1,x"},
      {"--default-retrieval-layers", "-1"},
      {"--default-state-rank", "0"},
      {"--log-level", "loud"},
      {"--log-format", "xml"},
      {"--listen", "50051"},
      {"--listen", "127.0.0.1:70000"},
      {"--listen", "::1:50051"},
      {"--metrics-listen", "here"},
      {"--tls-cert", "cert.pem"},
      {"--tls-key", "key.pem"},
      {"--tls-client-ca", "ca.pem"},
      {"--tls-reload-seconds", "0"},
      {"--keepalive-seconds", "0.5"},
      {"--keepalive-seconds", "nan"},
      {"--short-request-tokens", "0"},
      {"--short-request-tokens", "2KiB"},
      {"--config", "no-such-file.toml"},
      {"--session-threads", "0"},
      {"--session-threads", "1025"},
      {"--session-max-per-tenant", "0"},
      {"--session-max-per-tenant", "16777217"},
      {"--session-max-append-bytes", "0"},
      {"--session-max-append-bytes", "2GiB"},
      {"--session-memory-bytes", "-1"},
      {"--session-cache-bytes", "1 elephant"},
      {"--session-default-ttl", "0"},
      {"--session-default-ttl", "nan"},
      {"--session-default-ttl", "soon"},
      {"--session-max-ttl", "2592001"},
      {"--session-lease", "0.5"},
      {"--session-idle-release", "0"},
      {"--session-write-behind", "-1"},
      {"--session-on-corruption", "pray"},
  };
  for (const auto& arguments : cases) {
    const auto command = Parse(arguments);
    EXPECT_EQ(command.status().code(), absl::StatusCode::kInvalidArgument)
        << arguments.front() << " " << arguments.back();
    EXPECT_FALSE(command.status().message().empty());
  }
}

TEST(ServerConfigTest, RemotePlaintextNeedsTheFlag) {
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1",
                              "example.test:1", "127.example.test:1"}) {
    const auto refused = Parse({"--listen", address});
    ASSERT_FALSE(refused.ok()) << address;
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("CVE-2023-1428"));
    EXPECT_TRUE(
        Parse({"--listen", address, "--insecure-allow-remote-plaintext"}).ok());
    EXPECT_TRUE(
        Parse({"--listen", address, "--tls-cert", "c", "--tls-key", "k"}).ok());
  }
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:1", "[::1]:1",
                              "localhost:1", "unix:/tmp/socket"}) {
    EXPECT_TRUE(Parse({"--listen", address}).ok()) << address;
  }
}

TEST(ServerConfigTest, CommandLineBeatsFileBeatsEnvironment) {
  const ScopedEnv workers("LONGHAND_WORKERS", "2");
  const ScopedEnv streams("LONGHAND_MAX_CONCURRENT_STREAMS", "11");
  const ScopedEnv chunks("LONGHAND_MAX_BATCH_CHUNKS", "8");
  const ScopedEnv lease("LONGHAND_SESSION_LEASE", "9");
  const ScopedEnv ttl("LONGHAND_SESSION_DEFAULT_TTL", "8");
  const ScopedFile file(
      "workers=3\nmax-concurrent-streams=12\nsession-default-ttl=7\n");
  const auto command = Parse({"--config", file.path(), "--workers", "4"});
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->config.encoder.workers, 4);
  EXPECT_EQ(command->config.max_concurrent_streams, 12);
  EXPECT_EQ(command->config.encoder.max_batch_chunks, 8);
  EXPECT_EQ(command->config.sessions.manager.lease_duration, absl::Seconds(9));
  EXPECT_EQ(command->config.sessions.manager.default_ttl, absl::Seconds(7));
}

TEST(ServerConfigTest, UnknownKeysInTheFileAreRefused) {
  const ScopedFile file("wrokers=3\n");
  EXPECT_FALSE(Parse({"--config", file.path()}).ok());
}

TEST(ServerConfigTest, PrintedConfigCanBeReadBack) {
  const auto printed = Parse({"--print-config",
                              "--workers",
                              "5",
                              "--max-document-bytes",
                              "3MiB",
                              "--log-format",
                              "json",
                              "--short-request-tokens",
                              "1000",
                              "--reflection",
                              "--default-retrieval-layers",
                              "1,2",
                              "--default-merge",
                              "lse",
                              "--session-store",
                              "rocksdb",
                              "--session-dir",
                              "/d",
                              "--session-lease",
                              "2.5",
                              "--session-on-corruption",
                              "quarantine"});
  ASSERT_TRUE(printed.ok()) << printed.status();
  ASSERT_TRUE(printed->exit_text.has_value());
  EXPECT_THAT(*printed->exit_text, HasSubstr("log-format=\"json\"\n"));
  EXPECT_THAT(*printed->exit_text, HasSubstr("log-level=\"info\"\n"));
  const ScopedFile file(*printed->exit_text);
  const auto command = Parse({"--config", file.path()});
  ASSERT_TRUE(command.ok()) << command.status() << *printed->exit_text;
  EXPECT_EQ(command->config.encoder.workers, 5);
  EXPECT_EQ(command->config.encoder.max_document_bytes, 3U << 20);
  EXPECT_EQ(command->config.log.format, LogFormat::kJson);
  EXPECT_EQ(command->config.log.level, LogLevel::kInfo);
  EXPECT_EQ(command->config.admission.short_tokens, 1000U);
  EXPECT_TRUE(command->config.reflection);
  EXPECT_THAT(command->config.encoder.defaults.retrieval_layers,
              ElementsAre(1, 2));
  EXPECT_EQ(command->config.encoder.defaults.merge, Merge::kLse);
  EXPECT_EQ(command->config.max_message_bytes, 4U << 20);
  EXPECT_FALSE(command->config.encoder.defaults.gate.has_value());
  EXPECT_FALSE(command->config.encoder.defaults.top_k.has_value());
  EXPECT_EQ(command->config.model.name, "");
  const SessionConfig& sessions = command->config.sessions;
  EXPECT_EQ(sessions.store, "rocksdb");
  EXPECT_EQ(sessions.store_options.path, "/d");
  EXPECT_TRUE(sessions.store_options.quarantine_corrupt);
  EXPECT_EQ(sessions.manager.lease_duration, absl::Milliseconds(2500));
  EXPECT_EQ(sessions.manager.max_ttl, absl::Hours(24 * 30));
  EXPECT_EQ(sessions.cache_bytes, std::nullopt);
}

TEST(ServerConfigTest, HelpNamesEveryFlagWithItsVariable) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok());
  for (const char* text : {"--max-message-bytes",
                           "LONGHAND_MAX_MESSAGE_BYTES",
                           "4MiB",
                           "--print-config",
                           "Time limits:",
                           "Network:",
                           "Exit codes",
                           "Sessions:",
                           "--session-store",
                           "LONGHAND_SESSION_STORE",
                           "LONGHAND_SESSION_DIR",
                           "LONGHAND_SESSION_REDIS_ADDRESS",
                           "LONGHAND_SESSION_REDIS_USERNAME",
                           "LONGHAND_SESSION_REDIS_PASSWORD_FILE",
                           "LONGHAND_SESSION_REDIS_TLS_CA",
                           "LONGHAND_SESSION_REDIS_TLS_CERT",
                           "LONGHAND_SESSION_REDIS_TLS_KEY",
                           "LONGHAND_SESSION_REDIS_PREFIX",
                           "LONGHAND_SESSION_MEMORY_BYTES",
                           "LONGHAND_SESSION_CACHE_BYTES",
                           "LONGHAND_SESSION_DEFAULT_TTL",
                           "LONGHAND_SESSION_MAX_TTL",
                           "2592000",
                           "LONGHAND_SESSION_MAX_PER_TENANT",
                           "LONGHAND_SESSION_LEASE",
                           "LONGHAND_SESSION_IDLE_RELEASE",
                           "LONGHAND_SESSION_WRITE_BEHIND",
                           "LONGHAND_SESSION_MAX_APPEND_BYTES",
                           "LONGHAND_SESSION_OWNER",
                           "LONGHAND_SESSION_SNAPSHOT_KEY_FILE",
                           "LONGHAND_SESSION_ON_CORRUPTION",
                           "LONGHAND_SESSION_THREADS"}) {
    EXPECT_THAT(*help->exit_text, HasSubstr(text));
  }
  const auto version = Parse({"--version"});
  ASSERT_TRUE(version.ok());
  EXPECT_THAT(*version->exit_text, HasSubstr("gRPC 1."));
}

}  // namespace
}  // namespace longhand
