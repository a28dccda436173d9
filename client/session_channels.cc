#include "client/session_channels.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "client/client_error.h"
#include "client/retry.h"

namespace longhand::client {
namespace {

// More replicas than any deployment has; so many channels are kept.
constexpr size_t kMaxOwners = 64;

}  // namespace

bool IsHostAndPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  uint32_t port = 0;
  const absl::string_view digits = address.substr(colon + 1);
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &port) || port == 0 || port > 65535) {
    return false;
  }
  absl::string_view host = address.substr(0, colon);
  const bool is_ipv6 = host.front() == '[' && host.back() == ']';
  if (is_ipv6) host = host.substr(1, host.size() - 2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '-' || c == '_' || (is_ipv6 && (c == ':' || c == '%'));
  });
}

SessionChannels::SessionChannels(std::unique_ptr<ChannelFactory> factory,
                                 const std::string& target,
                                 RedirectOptions redirects)
    : factory_(std::move(factory)), redirects_(redirects) {
  const std::shared_ptr<grpc::Channel> channel = factory_->Make(target);
  base_ = v1::SessionService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
}

std::shared_ptr<SessionChannels::Stub> SessionChannels::Owner(
    const std::string& owner) {
  if (!redirects_.follow || !IsHostAndPort(owner) ||
      !factory_->MayCall(owner)) {
    return nullptr;
  }
  std::shared_ptr<grpc::Channel> channel;
  {
    absl::MutexLock lock(&mutex_);
    if (owners_.size() >= kMaxOwners && owners_.count(owner) == 0) {
      owners_.clear();
    }
    std::shared_ptr<grpc::Channel>& kept = owners_[owner];
    if (kept == nullptr) kept = factory_->Make(owner);
    channel = kept;
  }
  if (!channel->WaitForConnected(
          absl::ToChronoTime(absl::Now() + redirects_.connect_timeout))) {
    return nullptr;
  }
  return v1::SessionService::NewStub(channel);
}

void SessionRoute::Label(grpc::ClientContext* context) const {
  if (!session_id_.empty()) context->AddMetadata("x-session-id", session_id_);
}

void SessionRoute::AfterFailure(const absl::Status& status) {
  const bool was_at_base = stub_ == channels_->base();
  stub_ = channels_->base();
  // The first server knows best: an owner that sends us on is not followed.
  if (!was_at_base || !HasReason(status, "WRONG_REPLICA")) return;
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  const auto owner = detail->metadata.find("owner");
  if (owner == detail->metadata.end()) return;
  if (auto stub = channels_->Owner(owner->second)) stub_ = std::move(stub);
}

}  // namespace longhand::client
