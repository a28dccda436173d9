// AccessFile: a file for --auth-tokens, made by a test and gone with the
// object. For one test.
#ifndef LONGHAND_TESTS_TESTING_ACCESS_FILE_H_
#define LONGHAND_TESTS_TESTING_ACCESS_FILE_H_

#include <grpcpp/client_context.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "gtest/gtest.h"

namespace longhand::testing {

inline std::string HashOfToken(const std::string& token) {
  Sha256 hash;
  hash.Update(token);
  return hash.HexDigest();
}

// One entry with one token; `more` as ",\"weight\":2".
inline std::string TokenEntry(const std::string& name, const std::string& token,
                              const std::string& more = "") {
  return absl::StrCat("{\"name\":\"", name, "\",\"token_sha256\":[\"",
                      HashOfToken(token), "\"]", more, "}");
}

inline std::string TenantsJson(const std::string& entries) {
  return absl::StrCat("{\"tenants\":[", entries, "]}");
}

class AccessFile {
 public:
  explicit AccessFile(const std::string& text)
      : path_(absl::StrCat(::testing::TempDir(), "tenants.", getpid(), ".",
                           ++count_)) {
    Replace(text);
  }
  ~AccessFile() { std::remove(path_.c_str()); }
  AccessFile(const AccessFile&) = delete;
  AccessFile& operator=(const AccessFile&) = delete;

  const std::string& path() const { return path_; }

  // Readers see the old text or the new one.
  void Replace(const std::string& text) const {
    const std::string temporary = path_ + ".new";
    std::ofstream(temporary) << text;
    LH_CHECK(std::rename(temporary.c_str(), path_.c_str()) == 0);
  }

 private:
  inline static int count_ = 0;
  const std::string path_;
};

inline void AddToken(const std::string& token, grpc::ClientContext* context) {
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_ACCESS_FILE_H_
