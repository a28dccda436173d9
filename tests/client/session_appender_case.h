// SessionAppenderTest: a SessionClient on a FakeServer and what an appender of
// it hands out.
#ifndef LONGHAND_TESTS_CLIENT_SESSION_APPENDER_CASE_H_
#define LONGHAND_TESTS_CLIENT_SESSION_APPENDER_CASE_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/client_error.h"
#include "client/session_client.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_sessions.h"

namespace longhand::client {

inline std::string MakeText(size_t bytes) {
  std::string text;
  for (size_t i = 0; text.size() < bytes; ++i) {
    text += "word" + std::to_string(i) + " ";
  }
  text.resize(bytes);
  return text;
}

// Cannot be rewound.
class PipeSource : public StringSource {
 public:
  using StringSource::StringSource;
  bool Rewind() override { return false; }
};

// Texts, one by each Read.
class ScriptedSource : public ContentSource {
 public:
  explicit ScriptedSource(std::vector<std::string> texts)
      : texts_(std::move(texts)) {}
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override {
    if (next_ == texts_.size()) return size_t{0};
    return texts_[next_++].copy(buffer.data(), buffer.size());
  }

 private:
  const std::vector<std::string> texts_;
  size_t next_ = 0;
};

inline grpc::Status Lost() {
  return {grpc::StatusCode::UNAVAILABLE, "connection"};
}

inline grpc::Status Aborted(
    const std::string& reason,
    const std::map<std::string, std::string>& metadata = {}) {
  return MakeStatus(grpc::StatusCode::ABORTED, "not here, not now", reason,
                    metadata);
}

inline std::string Reason(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

class SessionAppenderTest : public ::testing::Test {
 protected:
  void Start(RedirectOptions redirects = {}) {
    server_.Start();
    id_ = sessions_.Add();
    ClientOptions options;
    options.target = server_.target();
    options.retry.initial_backoff = absl::Milliseconds(1);
    options.retry.on_retry = [this](const RetryEvent& event) {
      retries_.push_back(event);
    };
    auto client = SessionClient::Connect(options, redirects);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  // Appends in pieces of 1,000 bytes and notes the chunks.
  absl::StatusOr<AppendSummary> Append(ContentSource* source,
                                       AppendOptions options = {}) {
    options.session_id = id_;
    if (options.piece_bytes == AppendOptions().piece_bytes) {
      options.piece_bytes = 1000;
    }
    AppendCallbacks callbacks;
    callbacks.on_start = [this](const v1::Session&, uint64_t skipped) {
      skipped_ = skipped;
      return absl::OkStatus();
    };
    callbacks.on_chunk = [this](Chunk chunk) {
      chunks_.push_back(chunk.index);
      return absl::OkStatus();
    };
    callbacks.on_provisional_chunk = [this](Chunk) {
      return ++provisional_, absl::OkStatus();
    };
    const auto appender = client_->NewAppender(options);
    auto result = appender->Run(source, callbacks);
    progress_ = appender->progress();
    return result;
  }

  // The ids of the appends that the server read, numbered as they first came.
  std::vector<int> IdNumbers() const {
    std::vector<std::string> known;
    std::vector<int> numbers;
    for (const v1::AppendSessionRequest& request : sessions_.appends) {
      auto at = std::find(known.begin(), known.end(), request.append_id());
      numbers.push_back(static_cast<int>(at - known.begin()));
      if (at == known.end()) known.push_back(request.append_id());
    }
    return numbers;
  }

  FakeServer server_;
  FakeSessions& sessions_ = server_.sessions;
  std::unique_ptr<SessionClient> client_;
  std::string id_;
  std::vector<RetryEvent> retries_;
  std::vector<uint32_t> chunks_;
  int provisional_ = 0;
  uint64_t skipped_ = 0;
  AppendProgress progress_;
};

}  // namespace longhand::client

#endif  // LONGHAND_TESTS_CLIENT_SESSION_APPENDER_CASE_H_
