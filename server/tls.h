// TlsCredentials: gRPC's server credentials from the files that an operator
// names, read again while the server runs, so that certificates are renewed
// without a restart. Handshakes that begin after a change see the new files;
// connections that are open stay. It also reports to Prometheus how that goes.
// Must outlive the server that uses the credentials. Thread-safe.
//
// How a change reaches gRPC: a thread of ours reads the files and checks them,
// and only what is good is put where gRPC's own watcher looks, once a second.
// Neither alone would do. gRPC's watcher, given the operator's files, can read
// the key before and the certificate after a change, and drops the pair that
// works before it finds that the new one does not. gRPC's other way, the
// certificate config fetcher of SslServerCredentials, is not safe with
// concurrent handshakes (grpc/grpc issue 36693, open in 2026).
//
// The place where gRPC looks is memory (memfd_create), so that no key is ever
// written to a disk: chain and key in one file, which is replaced as a whole.
#ifndef LONGHAND_SERVER_TLS_H_
#define LONGHAND_SERVER_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/server_config.h"
#include "server/tls_material.h"

namespace longhand {

// A file without a name, whose content is replaced at once: a reader that opens
// path() sees all of the old or all of the new one. Thread-compatible.
class ReplaceableFile {
 public:
  // RESOURCE_EXHAUSTED (TLS_UNAVAILABLE) if the system gives no file.
  static absl::StatusOr<ReplaceableFile> Create(const std::string& content);

  absl::Status Replace(const std::string& content);

  const std::string& path() const { return path_; }

 private:
  explicit ReplaceableFile(int fd);

  // Never closed: gRPC may look at the path until its last reference to the
  // credentials is gone, which nobody can wait for, and must not find what else
  // got the number.
  int fd_;
  int64_t version_ = 1;
  std::string path_;
};

class TlsCredentials : public prometheus::Collectable {
 public:
  // `config` is enabled. The errors of ReadTlsMaterial and CheckTlsMaterial.
  static absl::StatusOr<std::shared_ptr<TlsCredentials>> Start(
      const TlsConfig& config);

  ~TlsCredentials() override;

  const std::shared_ptr<grpc::ServerCredentials>& server_credentials() const {
    return credentials_;
  }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  TlsCredentials(const TlsConfig& config, TlsMaterial material,
                 absl::Time not_after, ReplaceableFile identity,
                 std::optional<ReplaceableFile> client_ca);

  void Watch();
  // One look at the files.
  void Look() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Adopt(const TlsMaterial& material);
  void Report(const absl::Status& status, absl::Time not_after)
      ABSL_LOCKS_EXCLUDED(mu_);

  const TlsConfig config_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;

  // The watching thread's, once it runs.
  TlsMaterial served_;
  ReplaceableFile identity_;
  std::optional<ReplaceableFile> client_ca_;
  // What did not serve at the last look; looked at twice before it counts.
  absl::StatusOr<TlsMaterial> refused_;
  bool refusal_reported_ = false;

  mutable absl::Mutex mu_;
  absl::Time not_after_ ABSL_GUARDED_BY(mu_);
  int64_t reloads_ok_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t reloads_failed_ ABSL_GUARDED_BY(mu_) = 0;

  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_TLS_H_
