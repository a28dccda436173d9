// Measurements of sessions without a network between: what an append costs at
// every length of history, what a question costs, how long a session needs to
// come back from a store. Plain functions; one caller at a time.
#ifndef LONGHAND_BENCH_SESSIONS_SESSION_MEASUREMENTS_H_
#define LONGHAND_BENCH_SESSIONS_SESSION_MEASUREMENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "core/session/document_encoder.h"
#include "core/session/session_manager.h"
#include "core/store/session_store.h"

namespace longhand::sessions {

struct BenchOptions {
  EncodeOptions encode;
  std::vector<int64_t> histories;  // tokens, ascending
  int append_tokens = 128;
  int rounds = 40;
  uint64_t max_memory_bytes = 0;
};

// Token ids of a text repeated without end, in order.
class TokenSupply {
 public:
  explicit TokenSupply(std::vector<int32_t> ids) : ids_(std::move(ids)) {}
  std::vector<int32_t> Take(int64_t count);

 private:
  const std::vector<int32_t> ids_;
  size_t next_ = 0;
};

// Everything that sessions run on.
class Bench {
 public:
  static absl::StatusOr<std::unique_ptr<Bench>> Create(
      Encoder* encoder, const std::string& store,
      const SessionStoreOptions& store_options, const BenchOptions& options);

  SessionManager& manager() { return *manager_; }

  // A session of so many tokens.
  absl::StatusOr<SessionId> MakeSession(int64_t tokens, TokenSupply* supply);
  // Seconds of one append.
  absl::StatusOr<double> TimeAppend(const SessionId& id, int64_t offset,
                                    std::vector<int32_t> ids,
                                    Durability durability);
  // Seconds of one call with so many questions of 16 tokens each.
  absl::StatusOr<double> TimeQuery(const SessionId& id, int questions,
                                   TokenSupply* supply);

  // Takes the session's memory away, as a restart does.
  absl::Status Restart();

 private:
  Bench(Encoder* encoder, std::string store, SessionStoreOptions store_options,
        BenchOptions options)
      : encoder_(encoder),
        store_name_(std::move(store)),
        store_options_(std::move(store_options)),
        options_(std::move(options)) {}

  absl::Status Open();

  Encoder* const encoder_;
  const std::string store_name_;
  const SessionStoreOptions store_options_;
  const BenchOptions options_;
  std::unique_ptr<SessionModel> model_;
  std::unique_ptr<SessionStore> store_;
  std::unique_ptr<SessionManager> manager_;
};

struct AppendCost {
  int64_t history = 0;          // tokens
  std::vector<double> seconds;  // by round
};

// Appends to a fork of a session of each history in turn, round by round, so
// that whatever else the machine does hits all of them alike. `bare`: seconds
// of one chunk's forward pass with nothing to retrieve from, by round.
absl::StatusOr<std::vector<AppendCost>> MeasureAppends(
    Bench& bench, const BenchOptions& options, Encoder& encoder,
    TokenSupply* supply, std::vector<double>* bare);

// 0 <= share <= 1. REQUIRES: values is not empty.
double Percentile(std::vector<double> values, double share);

}  // namespace longhand::sessions

#endif  // LONGHAND_BENCH_SESSIONS_SESSION_MEASUREMENTS_H_
