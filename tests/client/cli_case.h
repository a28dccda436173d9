// CliTest: a test that runs the real longhand command (LONGHAND_BINARY) against
// a FakeServer, in a folder of its own.
#ifndef LONGHAND_TESTS_CLIENT_CLI_CASE_H_
#define LONGHAND_TESTS_CLIENT_CLI_CASE_H_

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace longhand::client {

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct RunResult {
  int code = -1;  // exit status; -1: killed by a signal
  std::string out, err;
};

class CliTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/longhand-cli-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }

  // Starts the command with `in` as standard input.
  pid_t Spawn(std::vector<std::string> args, int in, int out) {
    args.insert(args.begin(), LONGHAND_BINARY);
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    std::string server = "LONGHAND_SERVER=" + server_target_;
    std::string temporary = "TMPDIR=" + folder_;
    char* environment[] = {server.data(), temporary.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_addopen(&actions, 2, Path("stderr").c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, LONGHAND_BINARY, &actions, nullptr, argv.data(),
                          environment),
              0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  RunResult Wait(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    RunResult result;
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    result.out = ReadFile(Path("stdout"));
    result.err = ReadFile(Path("stderr"));
    return result;
  }

  RunResult Run(const std::vector<std::string>& args,
                const std::string& input = "/dev/null") {
    const int in = open(input.c_str(), O_RDONLY | O_CLOEXEC);
    const int out = open(Path("stdout").c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const pid_t pid = Spawn(args, in, out);
    close(in);
    close(out);
    return Wait(pid);
  }

  void StartServer() {
    server_.Start();
    server_target_ = server_.target();
  }

  std::string folder_;
  FakeServer server_;
  std::string server_target_ = "127.0.0.1:1";
};

// Words, `bytes` in all.
inline std::string MakeText(size_t bytes) {
  std::string text;
  for (size_t i = 0; text.size() < bytes; ++i) {
    text += "word" + std::to_string(i) + " ";
  }
  text.resize(bytes);
  return text;
}

}  // namespace longhand::client

#endif  // LONGHAND_TESTS_CLIENT_CLI_CASE_H_
