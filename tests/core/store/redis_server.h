// RedisServer: a real redis-server as a child process, on a Unix socket in a
// directory of its own or on a port of 127.0.0.1, without a file of data. It is
// killed with the object, and with the test process. For one thread.
#ifndef LONGHAND_TESTS_CORE_STORE_REDIS_SERVER_H_
#define LONGHAND_TESTS_CORE_STORE_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/store/session_store.h"
#include "tests/core/store/store_testing.h"

namespace longhand::testing {

class RedisServer {
 public:
  struct Options {
    bool tcp = false;
    bool tls = false;  // with tcp; `arguments` name the files
    // More of its command line.
    std::vector<std::string> arguments;
  };

  RedisServer() : RedisServer(Options()) {}
  // Returns once it accepts connections. Ends the test process, naming the
  // package, if there is no redis-server.
  explicit RedisServer(Options options);
  ~RedisServer();

  // As kill -9, and again as before.
  void Kill();
  void Start();
  // SIGSTOP and SIGCONT.
  void Pause();
  void Resume();

  const std::string& address() const { return address_; }
  const TempDir& dir() const { return dir_; }
  SessionStoreOptions StoreOptions() const;

 private:
  const TempDir dir_;
  const Options options_;
  std::string address_;
  pid_t pid_ = -1;
};

// A port of 127.0.0.1 that was free a moment ago.
int FreePort();

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_STORE_REDIS_SERVER_H_
