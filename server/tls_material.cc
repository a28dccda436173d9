#include "server/tls_material.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

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
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TLS_INVALID", message);
}

// OpenSSL's queue of errors is the thread's: what is left there would be taken
// for the cause of a later failure.
class WithoutErrors {
 public:
  WithoutErrors() { ERR_clear_error(); }
  ~WithoutErrors() { ERR_clear_error(); }
};

Bio OpenBio(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// A key with a passphrase must fail, not ask at the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

// All of `pem`, one at least.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(
    const std::string& file, const std::string& pem) {
  const Bio bio = OpenBio(pem);
  std::vector<Certificate> certificates;
  for (;;) {
    Certificate next(
        PEM_read_bio_X509(bio.get(), nullptr, &NoPassphrase, nullptr));
    if (next == nullptr) break;
    certificates.push_back(std::move(next));
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Invalid(absl::StrCat(file, " holds a certificate that is damaged"));
  }
  ERR_clear_error();
  if (certificates.empty()) {
    return Invalid(absl::StrCat(file, " holds no PEM certificate"));
  }
  return certificates;
}

absl::Time NotAfter(const X509* certificate) {
  std::tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) {
    return absl::InfinitePast();
  }
  return absl::FromTM(time, absl::UTCTimeZone());
}

// gRPC would drop the pair that it has before it finds that OpenSSL refuses
// this one, for a weak key or digest for example.
absl::Status CheckServable(const std::vector<Certificate>& chain,
                           EVP_PKEY* key) {
  const Context context(SSL_CTX_new(TLS_server_method()));
  bool fine = context != nullptr &&
              SSL_CTX_use_certificate(context.get(), chain[0].get()) == 1 &&
              SSL_CTX_use_PrivateKey(context.get(), key) == 1;
  for (size_t i = 1; fine && i < chain.size(); ++i) {
    fine = SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) == 1;
  }
  if (fine) return absl::OkStatus();
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return Invalid(absl::StrCat("OpenSSL refuses the certificate or its key: ",
                              reason == nullptr ? "no reason given" : reason));
}

}  // namespace

absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsConfig& config) {
  TlsMaterial material;
  LH_ASSIGN_OR_RETURN(material.cert_chain,
                      ReadFile(config.cert_file, kMaxPemBytes));
  LH_ASSIGN_OR_RETURN(material.key, ReadFile(config.key_file, kMaxPemBytes));
  if (!config.client_ca_file.empty()) {
    LH_ASSIGN_OR_RETURN(material.client_ca,
                        ReadFile(config.client_ca_file, kMaxPemBytes));
  }
  return material;
}

absl::StatusOr<absl::Time> CheckTlsMaterial(const TlsMaterial& material,
                                            const TlsConfig& config,
                                            absl::Time now) {
  const WithoutErrors without_errors;
  LH_ASSIGN_OR_RETURN(const std::vector<Certificate> chain,
                      ParseCertificates(config.cert_file, material.cert_chain));
  const Key key(PEM_read_bio_PrivateKey(OpenBio(material.key).get(), nullptr,
                                        &NoPassphrase, nullptr));
  if (key == nullptr) {
    return Invalid(absl::StrCat(
        config.key_file, " holds no PEM private key without passphrase"));
  }
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    return Invalid(absl::StrCat("the key in ", config.key_file,
                                " is not that of the certificate in ",
                                config.cert_file));
  }
  LH_RETURN_IF_ERROR(CheckServable(chain, key.get()));
  absl::Time not_after = absl::InfiniteFuture();
  for (const Certificate& certificate : chain) {
    not_after = std::min(not_after, NotAfter(certificate.get()));
  }
  if (not_after <= now) {
    return Invalid(absl::StrCat(
        config.cert_file, " holds a certificate that expired at ",
        absl::FormatTime(absl::RFC3339_sec, not_after, absl::UTCTimeZone()),
        "; renew it"));
  }
  if (!config.client_ca_file.empty()) {
    LH_RETURN_IF_ERROR(
        ParseCertificates(config.client_ca_file, material.client_ca).status());
  }
  return not_after;
}

}  // namespace longhand
