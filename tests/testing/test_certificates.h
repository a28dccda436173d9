// TestCertificates: an authority and certificates issued by it, made by openssl
// in a directory of their own that goes with the object. For tests.
#ifndef LONGHAND_TESTS_TESTING_TEST_CERTIFICATES_H_
#define LONGHAND_TESTS_TESTING_TEST_CERTIFICATES_H_

#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/check.h"
#include "server/server_config.h"

namespace longhand::testing {

class TestCertificates {
 public:
  // The program that makes them; tests skip themselves without it.
  static bool HaveOpenssl() {
    return std::system("openssl version >/dev/null 2>&1") == 0;
  }

  // Makes ca, and, for localhost, server.
  explicit TestCertificates(std::string directory)
      : directory_(std::move(directory)) {
    Run("mkdir -p " + directory_);
    Run("cd " + directory_ +
        " && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca "
        "-keyout ca.key -out ca.pem");
    Issue("server", "/CN=localhost", "DNS:localhost");
  }
  ~TestCertificates() { Run("rm -r " + directory_); }
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  // NAME.pem and NAME.key. `alternative_names`: as "DNS:a,DNS:b", or "".
  void Issue(const std::string& name, const std::string& subject,
             const std::string& alternative_names) {
    const std::string extension =
        alternative_names.empty()
            ? ""
            : " -addext subjectAltName=" + alternative_names;
    Run("cd " + directory_ + " && openssl req -newkey rsa:2048 -nodes -subj " +
        subject + extension + " -keyout " + name + ".key -out " + name +
        ".csr && openssl x509 -req -in " + name +
        ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-copy_extensions copy -out " +
        name + ".pem");
  }

  std::string Path(const std::string& file) const {
    return directory_ + "/" + file;
  }

  // For a server that asks for client certificates.
  TlsConfig MutualTls() const {
    return {.cert_file = Path("server.pem"),
            .key_file = Path("server.key"),
            .client_ca_file = Path("ca.pem")};
  }

  // With the certificate `name`; "": without one.
  grpc::SslCredentialsOptions Client(const std::string& name) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read("ca.pem");
    if (!name.empty()) {
      options.pem_private_key = Read(name + ".key");
      options.pem_cert_chain = Read(name + ".pem");
    }
    return options;
  }

 private:
  static void Run(const std::string& command) {
    LH_CHECK(std::system(("exec 2>/dev/null; " + command).c_str()) == 0);
  }

  std::string Read(const std::string& file) const {
    std::ifstream stream(Path(file));
    return {std::istreambuf_iterator<char>(stream),
            std::istreambuf_iterator<char>()};
  }

  const std::string directory_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_TEST_CERTIFICATES_H_
