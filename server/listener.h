// Listener: the port, and the thread that accepts connections and hands them to
// gRPC. gRPC 1.51 stops listening for ever once accept fails for want of a
// descriptor (CVE-2023-4785), which anybody can bring about who can connect,
// with or without a certificate. Here such a connection waits or is closed, and
// what comes later is served. A few descriptors are left for everything else
// that the server opens. It also counts for Prometheus. Open, Start and Stop
// come from one thread; Collect is thread-safe.
#ifndef LONGHAND_SERVER_LISTENER_H_
#define LONGHAND_SERVER_LISTENER_H_

#include <grpcpp/server_builder.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace longhand {

class Listener : public prometheus::Collectable {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  // Binds all that `address` stands for and listens; connections wait until
  // Start. REQUIRES: `address` passed CheckListenAddress. UNAVAILABLE
  // (LISTEN_FAILED) says why not.
  static absl::StatusOr<std::shared_ptr<Listener>> Open(
      const std::string& address);

  ~Listener() override;

  // The bound port; -1 for a Unix socket.
  int port() const { return port_; }

  // Accepts. `acceptor` is of a grpc::Server that runs until after Stop.
  void Start(std::unique_ptr<Acceptor> acceptor);

  // Refuses connections from now on. More than once is fine.
  void Stop();

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Listener(std::vector<UniqueFd> sockets, UniqueFd stop_event, int port,
           std::string unix_path);

  void Run();
  // Takes what waits at the socket.
  void AcceptAll(int socket);
  void TakeConnection(int connection);
  // Whether to go on with the next connection.
  bool HandleAcceptError(int error);
  void Refused(const char* why);

  std::vector<UniqueFd> sockets_;
  const UniqueFd stop_event_;
  const int port_;
  const std::string unix_path_;  // empty if it is none
  std::unique_ptr<Acceptor> acceptor_;
  std::thread thread_;
  std::atomic<int64_t> accepted_{0};
  std::atomic<int64_t> refused_{0};
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_LISTENER_H_
