// Addresses, refusals and the end of listening. What happens without
// descriptors is in tests/integration/slow_peers_test.py.
#include "server/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

// Keeps what it is handed.
class FakeAcceptor : public Listener::Acceptor {
 public:
  struct Taken {
    absl::Mutex mu;
    std::vector<UniqueFd> connections;

    void WaitFor(size_t count) {
      absl::MutexLock lock(&mu);
      auto enough = [&] { return connections.size() >= count; };
      mu.Await(absl::Condition(&enough));
    }
  };

  explicit FakeAcceptor(std::shared_ptr<Taken> taken)
      : taken_(std::move(taken)) {}

  void HandleNewConnection(NewConnectionParameters* p) override {
    absl::MutexLock lock(&taken_->mu);
    taken_->connections.emplace_back(p->fd);
  }

 private:
  const std::shared_ptr<Taken> taken_;
};

// -1 if nobody listens.
int ConnectUnix(const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) {
    return fd;
  }
  close(fd);
  return -1;
}

int ConnectLoopback(int port) {
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  name.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) {
    return fd;
  }
  close(fd);
  return -1;
}

TEST(ListenerTest, HandsConnectionsOnUntilItIsStopped) {
  const auto listener = Listener::Open("127.0.0.1:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const int port = (*listener)->port();
  ASSERT_GT(port, 0);
  const auto taken = std::make_shared<FakeAcceptor::Taken>();
  (*listener)->Start(std::make_unique<FakeAcceptor>(taken));
  const UniqueFd first(ConnectLoopback(port));
  const UniqueFd second(ConnectLoopback(port));
  EXPECT_GE(first.get(), 0);
  EXPECT_GE(second.get(), 0);
  taken->WaitFor(2);
  EXPECT_EQ((*listener)->Collect()[0].metric[0].counter.value, 2);
  (*listener)->Stop();
  (*listener)->Stop();
  EXPECT_EQ(ConnectLoopback(port), -1);
  // What was open stays so.
  EXPECT_EQ(send(first.get(), "x", 1, MSG_NOSIGNAL), 1);
}

TEST(ListenerTest, TwoDoNotShareAPort) {
  const auto listener = Listener::Open("127.0.0.1:0");
  ASSERT_TRUE(listener.ok());
  const auto second =
      Listener::Open("127.0.0.1:" + std::to_string((*listener)->port()));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST(ListenerTest, ANameStandsForAllItsAddresses) {
  const auto listener = Listener::Open("localhost:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const UniqueFd connection(ConnectLoopback((*listener)->port()));
  EXPECT_GE(connection.get(), 0);
}

TEST(ListenerTest, AUnixSocketIsLeftToItsOwner) {
  const std::string path =
      ::testing::TempDir() + "listener." + std::to_string(getpid());
  {
    const auto listener = Listener::Open("unix:" + path);
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_EQ((*listener)->port(), -1);
    const auto taken = std::make_shared<FakeAcceptor::Taken>();
    (*listener)->Start(std::make_unique<FakeAcceptor>(taken));
    EXPECT_FALSE(Listener::Open("unix:" + path).ok());
    const UniqueFd connection(ConnectUnix(path));
    EXPECT_GE(connection.get(), 0);
  }
  EXPECT_EQ(access(path.c_str(), F_OK), -1);
}

TEST(ListenerTest, AUnixSocketThatWasLeftBehindIsReplaced) {
  const std::string path =
      ::testing::TempDir() + "left." + std::to_string(getpid());
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  {
    const UniqueFd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(
        bind(dead.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  }
  const auto listener = Listener::Open("unix:" + path);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const UniqueFd connection(ConnectUnix(path));
  EXPECT_GE(connection.get(), 0);
}

TEST(ListenerTest, OtherFilesAreNotTouched) {
  const std::string path =
      ::testing::TempDir() + "file." + std::to_string(getpid());
  const UniqueFd file(open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_FALSE(Listener::Open("unix:" + path).ok());
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  unlink(path.c_str());
  EXPECT_FALSE(Listener::Open("unix:" + std::string(200, 'x')).ok());
}

}  // namespace
}  // namespace longhand
