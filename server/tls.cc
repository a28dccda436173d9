#include "server/tls.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxPemBytes = uint64_t{1} << 20;

template <auto* Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TLS_INVALID", message);
}

Bio OpenBio(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// A key with a passphrase must fail, not ask at the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<Certificate> ParseCertificate(const std::string& file,
                                             const std::string& pem) {
  Certificate certificate(
      PEM_read_bio_X509(OpenBio(pem).get(), nullptr, &NoPassphrase, nullptr));
  if (certificate == nullptr) {
    return Invalid(absl::StrCat(file, " holds no PEM certificate"));
  }
  return certificate;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsConfig& config) {
  if (!config.enabled()) return grpc::InsecureServerCredentials();
  LH_ASSIGN_OR_RETURN(std::string cert_pem,
                      ReadFile(config.cert_file, kMaxPemBytes));
  LH_ASSIGN_OR_RETURN(std::string key_pem,
                      ReadFile(config.key_file, kMaxPemBytes));
  LH_ASSIGN_OR_RETURN(Certificate certificate,
                      ParseCertificate(config.cert_file, cert_pem));
  Key key(PEM_read_bio_PrivateKey(OpenBio(key_pem).get(), nullptr,
                                  &NoPassphrase, nullptr));
  if (key == nullptr) {
    return Invalid(absl::StrCat(
        config.key_file, " holds no PEM private key without passphrase"));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Invalid(absl::StrCat("the key in ", config.key_file,
                                " is not that of the certificate in ",
                                config.cert_file));
  }
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (!config.client_ca_file.empty()) {
    LH_ASSIGN_OR_RETURN(options.pem_root_certs,
                        ReadFile(config.client_ca_file, kMaxPemBytes));
    LH_RETURN_IF_ERROR(
        ParseCertificate(config.client_ca_file, options.pem_root_certs)
            .status());
    options.client_certificate_request =
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  options.pem_key_cert_pairs.push_back({key_pem, cert_pem});
  return grpc::SslServerCredentials(options);
}

}  // namespace longhand
