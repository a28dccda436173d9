#include "server/tls.h"

#include <fcntl.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "server/grpc_status.h"
#include "server/logging.h"

namespace longhand {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// How often gRPC looks at what has been checked.
constexpr unsigned kGrpcRefreshSeconds = 1;

absl::Status Unavailable() {
  return MakeError(absl::StatusCode::kResourceExhausted, "TLS_UNAVAILABLE",
                   "the system gave no memory or file descriptor for the "
                   "certificates; raise the limit of open files");
}

bool WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written <= 0) return false;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// -1 on failure. gRPC's watcher takes two looks at one file for looks at the
// same content if the time of its last change is the same to the second, so
// that is a number of our own.
int MakeFile(const std::string& content, int64_t version) {
  const int fd = memfd_create("longhand-tls", MFD_CLOEXEC);
  if (fd < 0) return -1;
  const timespec times[] = {{.tv_sec = version, .tv_nsec = 0},
                            {.tv_sec = version, .tv_nsec = 0}};
  if (WriteAll(fd, content) && futimens(fd, times) == 0) return fd;
  close(fd);
  return -1;
}

// A PEM reader skips the blocks of the other kind.
std::string Identity(const TlsMaterial& material) {
  return absl::StrCat(material.cert_chain, "\n", material.key);
}

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(
    const std::string& identity, const std::string& client_ca) {
  using grpc::experimental::FileWatcherCertificateProvider;
  // gRPC's least version of TLS is 1.2.
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(
          identity, identity, client_ca, kGrpcRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  if (!client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

std::string Format(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

ClientMetric Counted(const char* result, int64_t value) {
  ClientMetric metric;
  metric.label.push_back({"result", result});
  metric.counter.value = static_cast<double>(value);
  return metric;
}

}  // namespace

ReplaceableFile::ReplaceableFile(int fd)
    : fd_(fd), path_(absl::StrCat("/proc/self/fd/", fd)) {}

absl::StatusOr<ReplaceableFile> ReplaceableFile::Create(
    const std::string& content) {
  const int fd = MakeFile(content, 1);
  if (fd < 0) return Unavailable();
  return ReplaceableFile(fd);
}

absl::Status ReplaceableFile::Replace(const std::string& content) {
  const int fd = MakeFile(content, version_ + 1);
  if (fd < 0) return Unavailable();
  const bool replaced = dup3(fd, fd_, O_CLOEXEC) == fd_;
  close(fd);
  if (!replaced) return Unavailable();
  ++version_;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<TlsCredentials>> TlsCredentials::Start(
    const TlsConfig& config) {
  LH_ASSIGN_OR_RETURN(TlsMaterial material, ReadTlsMaterial(config));
  LH_ASSIGN_OR_RETURN(const absl::Time not_after,
                      CheckTlsMaterial(material, config, absl::Now()));
  LH_ASSIGN_OR_RETURN(ReplaceableFile identity,
                      ReplaceableFile::Create(Identity(material)));
  std::optional<ReplaceableFile> client_ca;
  if (!material.client_ca.empty()) {
    LH_ASSIGN_OR_RETURN(client_ca, ReplaceableFile::Create(material.client_ca));
  }
  return std::shared_ptr<TlsCredentials>(
      new TlsCredentials(config, std::move(material), not_after,
                         std::move(identity), std::move(client_ca)));
}

TlsCredentials::TlsCredentials(const TlsConfig& config, TlsMaterial material,
                               absl::Time not_after, ReplaceableFile identity,
                               std::optional<ReplaceableFile> client_ca)
    : config_(config),
      served_(std::move(material)),
      identity_(std::move(identity)),
      client_ca_(std::move(client_ca)),
      refused_(served_),
      not_after_(not_after) {
  credentials_ =
      MakeCredentials(identity_.path(), client_ca_ ? client_ca_->path() : "");
  thread_ = std::thread([this] { Watch(); });
}

TlsCredentials::~TlsCredentials() {
  stop_.Notify();
  thread_.join();
}

void TlsCredentials::Watch() {
  while (!stop_.WaitForNotificationWithTimeout(config_.reload_interval)) {
    Look();
  }
}

void TlsCredentials::Look() {
  absl::StatusOr<TlsMaterial> found = ReadTlsMaterial(config_);
  if (found.ok() && *found == served_) {
    refused_ = std::move(found);
    return;
  }
  absl::Time not_after;
  absl::Status status = found.status();
  if (status.ok()) {
    absl::StatusOr<absl::Time> checked =
        CheckTlsMaterial(*found, config_, absl::Now());
    status = checked.status();
    if (status.ok()) {
      not_after = *checked;
      status = Adopt(*found);
    }
  }
  if (status.ok()) {
    refused_ = served_;
    refusal_reported_ = false;
    return Report(status, not_after);
  }
  // A rotation of several files that is under way is no failure.
  const bool settled = refused_ == found;
  if (!settled) {
    refused_ = std::move(found);
    refusal_reported_ = false;
  } else if (!refusal_reported_) {
    refusal_reported_ = true;
    Report(status, not_after);
  }
}

absl::Status TlsCredentials::Adopt(const TlsMaterial& material) {
  if (material.client_ca != served_.client_ca) {
    LH_RETURN_IF_ERROR(client_ca_->Replace(material.client_ca));
    served_.client_ca = material.client_ca;
  }
  LH_RETURN_IF_ERROR(identity_.Replace(Identity(material)));
  served_ = material;
  return absl::OkStatus();
}

void TlsCredentials::Report(const absl::Status& status, absl::Time not_after) {
  {
    absl::MutexLock lock(&mu_);
    ++(status.ok() ? reloads_ok_ : reloads_failed_);
    if (status.ok()) not_after_ = not_after;
  }
  if (status.ok()) {
    Log(LogLevel::kInfo, "certificates read again",
        {{"not_after", Format(not_after)}});
  } else {
    Log(LogLevel::kWarning,
        "changed certificates cannot serve; those from before are kept",
        {{"reason", StatusReason(status)},
         {"message", std::string(status.message())}});
  }
}

std::vector<MetricFamily> TlsCredentials::Collect() const {
  absl::MutexLock lock(&mu_);
  ClientMetric not_after;
  not_after.gauge.value = static_cast<double>(absl::ToUnixSeconds(not_after_));
  return {
      {"longhand_tls_certificate_not_after_timestamp_seconds",
       "When the served certificate, or another of its chain, expires.",
       MetricType::Gauge,
       {not_after}},
      {"longhand_tls_reloads_total",
       "Changes of the certificate files, by whether they are served.",
       MetricType::Counter,
       {Counted("ok", reloads_ok_), Counted("failed", reloads_failed_)}},
  };
}

}  // namespace longhand
