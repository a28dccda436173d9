// TlsMaterial: certificate, key and client authorities of the server as they
// lie in the files that an operator names, checked for whether they can serve
// together. Plain values; pure functions apart from the file system.
#ifndef LONGHAND_SERVER_TLS_MATERIAL_H_
#define LONGHAND_SERVER_TLS_MATERIAL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/server_config.h"

namespace longhand {

// PEM.
struct TlsMaterial {
  std::string cert_chain;  // the server's own certificate first
  std::string key;
  std::string client_ca;  // empty: clients are not asked for certificates

  friend bool operator==(const TlsMaterial&, const TlsMaterial&) = default;
};

// What the files hold, unchecked. Reads one after the other, so a rotation in
// between can give parts that do not belong together. NOT_FOUND or
// INVALID_ARGUMENT where a file cannot be read.
absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsConfig& config);

// Whether gRPC can serve with it, by the checks that it makes itself and too
// late: every certificate parses and satisfies OpenSSL's security level, the
// key is that of the first one and has no passphrase, and the chain has not
// expired at `now`. INVALID_ARGUMENT (TLS_INVALID) names the file of `config`.
// Returns when the first certificate of the chain to expire does so.
absl::StatusOr<absl::Time> CheckTlsMaterial(const TlsMaterial& material,
                                            const TlsConfig& config,
                                            absl::Time now);

}  // namespace longhand

#endif  // LONGHAND_SERVER_TLS_MATERIAL_H_
