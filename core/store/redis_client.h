// RedisClient: commands and scripts on a Redis or Valkey server, over as many
// connections as threads ask at once. A connection that broke is dropped; the
// next call makes another. After several failures in a row calls fail at once
// for a short while, so that a dead store costs no time. Thread-safe.
#ifndef LONGHAND_CORE_STORE_REDIS_CLIENT_H_
#define LONGHAND_CORE_STORE_REDIS_CLIENT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/store/redis_reply.h"
#include "core/store/redis_scripts.h"
#include "core/store/redis_transport.h"
#include "core/store/session_store.h"

namespace longhand {

using RedisCommand = std::vector<std::string>;

class RedisClient {
 public:
  // Does not connect yet: the server may come later. FAILED_PRECONDITION
  // (STORE_OPEN) for options that can't work.
  static absl::StatusOr<std::unique_ptr<RedisClient>> Create(
      const SessionStoreOptions& options);
  ~RedisClient();

  // Errors of both: UNAVAILABLE (STORE_UNAVAILABLE), for replies that are
  // errors too.

  absl::StatusOr<RedisReply> Run(const RedisCommand& command);
  // Several commands in one go: make(i) for each i below `count` is sent before
  // the first reply is read, and is gone once it is sent. If the server does
  // not know a script, all are sent a second time. Replies in order; of several
  // that are errors, the first is the result.
  absl::StatusOr<std::vector<RedisReply>> RunAll(
      size_t count, absl::FunctionRef<RedisCommand(size_t)> make);

  // The command that runs a script.
  RedisCommand ScriptCommand(RedisScript script,
                             const std::vector<std::string>& keys,
                             const std::vector<std::string>& arguments) const;

  // Lets the next call try, however many failed.
  void CloseBreaker();

 private:
  struct Connection;

  RedisClient(const SessionStoreOptions& options, RedisAddress address,
              std::shared_ptr<const TlsContext> tls);
  absl::StatusOr<std::unique_ptr<Connection>> TakeConnection();
  absl::StatusOr<std::unique_ptr<Connection>> Connect() const;
  void GiveBack(std::unique_ptr<Connection> connection);
  absl::Status LoadScripts(Connection& connection) const;
  void CountFailure();

  const RedisAddress address_;
  const std::string username_, password_;
  const std::shared_ptr<const TlsContext> tls_;
  const absl::Duration timeout_;
  const std::vector<std::string> script_hashes_;  // as kRedisScripts

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // in a row
  absl::Time open_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_REDIS_CLIENT_H_
