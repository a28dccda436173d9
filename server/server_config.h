// ServerConfig: everything that an operator can set, as read from the command
// line, LONGHAND_* environment variables and a configuration file. Nothing else
// in the server reads flags or the environment. Plain values.
#ifndef LONGHAND_SERVER_SERVER_CONFIG_H_
#define LONGHAND_SERVER_SERVER_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "core/session/session_manager.h"
#include "core/store/session_store.h"
#include "server/access.h"
#include "server/logging.h"

namespace longhand {

struct TlsConfig {
  std::string cert_file;       // PEM, the chain
  std::string key_file;        // PEM
  std::string client_ca_file;  // PEM; clients must then show a certificate
  // How often the files are looked at for a change.
  absl::Duration reload_interval = absl::Seconds(10);

  bool enabled() const { return !cert_file.empty(); }
};

// See AdmissionOptions; places follow from the encoder's options.
struct AdmissionConfig {
  uint64_t short_tokens = 2048;
  int max_queued = 1024;
  uint64_t max_queued_bytes = uint64_t{64} << 20;
  absl::Duration max_wait = absl::Seconds(10);
};

struct SessionConfig {
  // A name from session_stores.def, or "none": no sessions.
  std::string store = "memory";
  SessionStoreOptions store_options;
  std::string redis_password_file;
  std::string snapshot_key_file;
  std::string owner;          // empty: made of the address
  uint64_t memory_bytes = 0;  // 0: a quarter of what there is
  // Unset: a quarter of memory_bytes.
  std::optional<uint64_t> cache_bytes;
  int threads = 16;
  // What the above does not set.
  SessionManagerOptions manager;
};

struct ServerConfig {
  ModelOptions model;
  EncoderOptions encoder;
  SessionConfig sessions;
  AdmissionConfig admission;

  std::string listen = "127.0.0.1:50051";
  bool insecure_allow_remote_plaintext = false;
  TlsConfig tls;
  AccessConfig access;
  bool reflection = false;
  std::string port_file;

  // Bytes of one gRPC message, in either direction.
  uint64_t max_message_bytes = uint64_t{4} << 20;
  // Per connection.
  int max_concurrent_streams = 64;
  // A connection on which nothing comes for so long is pinged, and closed if
  // it does not answer within a third of it.
  absl::Duration keepalive = absl::Seconds(30);
  // What gRPC's transports may hold altogether.
  uint64_t grpc_memory_bytes = uint64_t{512} << 20;
  // Responses that wait for clients to read them, all streams together; for
  // what is in work when that is reached, as much again.
  uint64_t max_unread_bytes = uint64_t{256} << 20;

  absl::Duration max_request = absl::Minutes(10);  // unary calls
  absl::Duration max_stream = absl::Hours(1);
  // A stream ends when the client neither sends nor reads for so long.
  absl::Duration stall_timeout = absl::Minutes(5);
  // Calls that take longer are logged as such; 0: none.
  absl::Duration slow_request = absl::Seconds(10);
  absl::Duration drain_delay = absl::ZeroDuration();
  absl::Duration drain_timeout = absl::Seconds(20);

  std::string metrics_listen = "127.0.0.1:9464";  // empty: no metrics
  LogOptions log;
  bool allow_core_dumps = false;
};

// What the command line asks for: to run with `config`, or, if `exit_text` is
// set, to print it and exit with 0 (--help, --version, --print-config).
struct CommandLine {
  ServerConfig config;
  std::optional<std::string> exit_text;
};

// Reads flags, environment and the file that --config names; the first of these
// that sets a value wins in the order command line, file, environment.
// INVALID_ARGUMENT (reason CONFIG_INVALID) for values that are malformed, out
// of range or contradict each other.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace longhand

#endif  // LONGHAND_SERVER_SERVER_CONFIG_H_
