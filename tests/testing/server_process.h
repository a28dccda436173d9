// ServerProcess: the program longhand-server, started and ended by a test. The
// test's target defines LONGHAND_SERVER, its path.
#ifndef LONGHAND_TESTS_TESTING_SERVER_PROCESS_H_
#define LONGHAND_TESTS_TESTING_SERVER_PROCESS_H_

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace longhand::testing {

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// One run of longhand-server on free loopback ports; killed with the object.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> flags)
      : directory_(::testing::TempDir() + "server.XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    std::vector<std::string> arguments = {
        LONGHAND_SERVER,    "--listen=127.0.0.1:0",
        "--metrics-listen", "127.0.0.1:0",
        "--port-file",      directory_ + "/port",
        "--log-format",     "json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int log =
          open((directory_ + "/log").c_str(), O_CREAT | O_WRONLY, 0600);
      dup2(log, STDOUT_FILENO);
      dup2(log, STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }

  ~ServerProcess() {
    if (!exited_) {
      kill(pid_, SIGKILL);
      WaitForExit();
    }
    for (const char* name : {"/port", "/log"}) {
      unlink((directory_ + name).c_str());
    }
    rmdir(directory_.c_str());
  }

  // The address once the server is ready; "" if it exits instead.
  std::string WaitForAddress() {
    for (;;) {
      const std::string port = ReadAll(directory_ + "/port");
      if (!port.empty()) {
        return "127.0.0.1:" + port.substr(0, port.find('\n'));
      }
      if (waitpid(pid_, &status_, WNOHANG) == pid_) {
        exited_ = true;
        return "";
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  void Signal(int number) const { kill(pid_, number); }

  // The exit code, or -1 if a signal ended it.
  int WaitForExit() {
    if (!exited_) waitpid(pid_, &status_, 0);
    exited_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

  std::string Log() const { return ReadAll(directory_ + "/log"); }

 private:
  std::string directory_;
  pid_t pid_ = -1;
  bool exited_ = false;
  int status_ = 0;
};

// A model of a few kilobytes that takes token ids only.
inline std::vector<std::string> TinyModel() {
  return {"--model", LONGHAND_TESTDATA_DIR "/parity/bert",
          "--without-tokenizer", "--workers", "1"};
}

inline std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_SERVER_PROCESS_H_
