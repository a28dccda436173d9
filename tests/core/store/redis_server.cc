#include "tests/core/store/redis_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/store/redis_transport.h"

namespace longhand::testing {

int FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  LH_CHECK(bind(fd.get(), any, size) == 0);
  LH_CHECK(getsockname(fd.get(), any, &size) == 0);
  return ntohs(address.sin_port);
}

RedisServer::RedisServer(Options options) : options_(std::move(options)) {
  address_ = options_.tcp ? absl::StrCat("127.0.0.1:", FreePort())
                          : dir_.File("redis.sock");
  Start();
}

RedisServer::~RedisServer() { Kill(); }

void RedisServer::Start() {
  std::vector<std::string> arguments = {
      "redis-server", "--dir",     dir_.path(),
      "--save",       "",          "--appendonly",
      "no",           "--logfile", dir_.File("redis.log"),
      "--bind",       "127.0.0.1"};
  if (options_.tcp) {
    const std::string port = address_.substr(address_.find(':') + 1);
    arguments.insert(arguments.end(), {"--port", options_.tls ? "0" : port});
    if (options_.tls) {
      arguments.insert(arguments.end(), {"--tls-port", port});
    }
  } else {
    arguments.insert(arguments.end(),
                     {"--port", "0", "--unixsocket", address_});
  }
  arguments.insert(arguments.end(), options_.arguments.begin(),
                   options_.arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  const pid_t parent = getpid();
  pid_ = fork();
  LH_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  const RedisAddress address = *ParseRedisAddress(address_);
  while (!RedisTransport::Connect(address, nullptr, absl::Seconds(1)).ok()) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      std::fprintf(stderr,
                   "redis-server does not start; these tests need Debian's "
                   "package redis-server (tools/setup --tests)\n");
      std::exit(1);
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
}

void RedisServer::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::Pause() { kill(pid_, SIGSTOP); }
void RedisServer::Resume() { kill(pid_, SIGCONT); }

SessionStoreOptions RedisServer::StoreOptions() const {
  SessionStoreOptions options;
  options.address = address_;
  // Other tests may take all of the processor.
  options.timeout = absl::Seconds(20);
  return options;
}

}  // namespace longhand::testing
