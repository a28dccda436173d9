#include "client/token_file.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr size_t kMaxTokenBytes = 4096;
constexpr absl::Duration kReadInterval = absl::Seconds(1);

bool IsToken(absl::string_view text) {
  const size_t end = text.find_last_not_of('=');
  if (end == absl::string_view::npos || text.size() > kMaxTokenBytes) {
    return false;
  }
  const absl::string_view body = text.substr(0, end + 1);
  return std::all_of(body.begin(), body.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("-._~+/", c);
  });
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  // Some over the limit, so that a longer file is told from a long token.
  std::string text(2 * kMaxTokenBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.good() && !file.eof()) {
    return MakeErrnoError(errno != 0 ? errno : EIO, "TOKEN_FILE_UNREADABLE",
                          absl::StrCat("cannot read ", path));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  absl::StripTrailingAsciiWhitespace(&text);
  if (!IsToken(text)) {
    return MakeClientError(
        absl::StatusCode::kInvalidArgument, "TOKEN_FILE_INVALID",
        absl::StrCat(path,
                     " does not hold one token of letters, digits and "
                     "-._~+/ alone"));
  }
  return text;
}

bool IsLoopbackHost(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr v4 = {};
  const std::string text(host);
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  return host == "::1" || host == "[::1]";
}

class TokenInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(std::string token) : token_(std::move(token)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* call) override {
    if (call->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                PRE_SEND_INITIAL_METADATA)) {
      call->GetSendInitialMetadata()->emplace("authorization",
                                              absl::StrCat("Bearer ", token_));
    }
    call->Proceed();
  }

 private:
  const std::string token_;
};

}  // namespace

bool IsLocalTarget(absl::string_view target) {
  if (absl::StartsWith(target, "unix:") ||
      absl::StartsWith(target, "unix-abstract:")) {
    return true;
  }
  if (!absl::ConsumePrefix(&target, "dns:///") &&
      !absl::ConsumePrefix(&target, "ipv4:") &&
      !absl::ConsumePrefix(&target, "ipv6:")) {
    absl::ConsumePrefix(&target, "dns:");
  }
  absl::string_view host = target;
  if (absl::StartsWith(target, "[")) {
    const size_t end = target.find(']');
    if (end == absl::string_view::npos) return false;
    const absl::string_view rest = target.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return false;
    if (absl::StrContains(rest, ',')) return false;
    host = target.substr(0, end + 1);
  } else if (std::count(target.begin(), target.end(), ':') == 1) {
    if (absl::StrContains(target, ',')) return false;
    host = target.substr(0, target.find(':'));
  }
  return IsLoopbackHost(host);
}

absl::StatusOr<std::shared_ptr<TokenFile>> TokenFile::Open(
    const std::string& path) {
  LH_CLIENT_ASSIGN_OR_RETURN(std::string token, ReadToken(path));
  std::shared_ptr<TokenFile> file(new TokenFile(path));
  absl::MutexLock lock(&file->mutex_);
  file->token_ = std::move(token);
  file->read_time_ = absl::Now();
  return file;
}

std::string TokenFile::Get() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  if (now >= read_time_ + kReadInterval) {
    read_time_ = now;
    absl::StatusOr<std::string> token = ReadToken(path_);
    if (token.ok()) token_ = *std::move(token);
  }
  return token_;
}

grpc::experimental::Interceptor*
TokenInterceptorFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo*) {
  return new TokenInterceptor(token_->Get());
}

}  // namespace longhand::client
