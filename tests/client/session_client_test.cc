// SessionClient, and the parts of it that need no server.
#include "client/session_client.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "client/append_window.h"
#include "client/client_error.h"
#include "client/crc32c.h"
#include "client/session_channels.h"
#include "client/state_digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_sessions.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;

TEST(Crc32cTest, KnownValues) {
  // The check value, and RFC 3720 B.4.
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(Crc32c(""), 0U);
}

TEST(DigestAfterTest, KnownValues) {
  // From Python's hashlib, by the table of docs/sessions.md.
  v1::AppendSessionRequest request;
  request.set_text("hello");
  const std::string text = DigestAfter(std::string(32, '\0'), request);
  EXPECT_EQ(absl::BytesToHexString(text),
            "cbe216f52111e0d476e3e461a3fd3069d96eccde70d0ac45053f52cf176867ba");
  request.mutable_token_ids()->add_ids(7592);
  request.mutable_token_ids()->add_ids(2088);
  const std::string ids = DigestAfter(text, request);
  EXPECT_EQ(absl::BytesToHexString(ids),
            "897cde49e06410048e38c292e02c492f6f34adfe67d3b255def1a907640a7345");
  request.clear_content();
  request.set_close(true);
  EXPECT_EQ(absl::BytesToHexString(DigestAfter(ids, request)),
            "f3ff970d66bab5a8c258b770f18eb4199512d67f98ced3c05c9dba0b300df99d");
  EXPECT_EQ(DigestAfter("short", request), "");
}

TEST(IsHostAndPortTest, TakesAddressesAndNothingElse) {
  for (const char* good : {"127.0.0.1:50051", "replica-0.svc.local:1",
                           "[::1]:65535", "[fe80::1%eth0]:7"}) {
    EXPECT_TRUE(IsHostAndPort(good)) << good;
  }
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536",
                          "host:+1", "unix:/run/x", "dns:///host:1",
                          "xds:///a:1", "::1:1", "a b:1", "[]:1"}) {
    EXPECT_FALSE(IsHostAndPort(bad)) << bad;
  }
}

TEST(AppendWindowTest, ForgetsOnlyWhatItMay) {
  StringSource source("0123456789");
  AppendWindow window(&source, 100, 1, 4);
  ASSERT_TRUE(window.SkipTo(102).ok());
  ASSERT_TRUE(window.Fill(6).ok());
  EXPECT_EQ(window.begin(), 102);
  EXPECT_EQ(window.end(), 108);
  EXPECT_EQ(window.Peek(104, 3), "456");
  EXPECT_FALSE(window.Forget(103));
  EXPECT_EQ(window.begin(), 103);
  EXPECT_TRUE(window.Forget(108));
  EXPECT_EQ(window.Peek(106, 9), "67");
  // Back to what is in the buffer, and to what has to be read again.
  ASSERT_TRUE(window.GoBack(107).ok());
  EXPECT_EQ(window.end(), 108);
  ASSERT_TRUE(window.GoBack(101).ok());
  ASSERT_TRUE(window.Fill(100).ok());
  EXPECT_EQ(window.Peek(101, 100), "123456789");
  EXPECT_FALSE(window.source_ended());
  ASSERT_TRUE(window.Fill(100).ok());
  EXPECT_TRUE(window.source_ended());
}

class SessionClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Start();
    client_ = Connect({});
    id_ = sessions_.Add();
  }

  std::unique_ptr<SessionClient> Connect(const RedirectOptions& redirects) {
    ClientOptions options;
    options.target = server_.target();
    options.retry.initial_backoff = absl::Milliseconds(1);
    auto client = SessionClient::Connect(options, redirects);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // The first `failures` calls of every method end with `status`.
  void FailFirst(int failures, const grpc::Status& status) {
    sessions_.ScriptCalls([=](const std::string&, int count) {
      return count <= failures ? std::optional(status) : std::nullopt;
    });
  }

  FakeServer server_;
  FakeSessions& sessions_ = server_.sessions;
  std::unique_ptr<SessionClient> client_;
  std::string id_;
};

TEST_F(SessionClientTest, SessionsComeAndGo) {
  v1::CreateSessionRequest request;
  request.mutable_options()->set_mechanism("independent");
  request.mutable_ttl()->set_seconds(60);
  const auto made = client_->Create(request);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(sessions_.last_create.options().mechanism(), "independent");
  EXPECT_EQ(sessions_.last_create.ttl().seconds(), 60);
  EXPECT_EQ(client_->Get(made->session_id())->session_id(), made->session_id());
  v1::ForkSessionRequest fork;
  fork.set_session_id(made->session_id());
  EXPECT_EQ(client_->Fork(fork)->parent_session_id(), made->session_id());
  EXPECT_TRUE(client_->Delete(made->session_id()).ok());
  EXPECT_TRUE(absl::IsNotFound(client_->Get(made->session_id()).status()));
}

TEST_F(SessionClientTest, ListingTakesAllPages) {
  for (int i = 0; i < 6; ++i) sessions_.Add();
  const auto all = client_->List();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->size(), 7);
  EXPECT_EQ(sessions_.calls["ListSessions"], 4);
}

TEST_F(SessionClientTest, AnswersAreDecoded) {
  sessions_.Write(id_, std::string(1500, 'a'));
  v1::QuerySessionRequest request;
  request.set_session_id(id_);
  request.add_questions()->set_text("who?");
  request.add_questions()->set_text("what?");
  request.set_texts(true);
  const auto result = client_->Query(request);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->answers.size(), 2);
  EXPECT_EQ(result->answers[1].vector, MakeVector(FakeSessions::kHidden, 1));
  EXPECT_EQ(result->answers[0].attended[0].score, 0.75F);
  EXPECT_EQ(result->answers[0].similar[0].text, std::string(1000, 'a'));
  EXPECT_EQ(result->committed_offset, 1500);
}

TEST_F(SessionClientTest, AnEditIsNotRepeatedBlindly) {
  sessions_.Write(id_, "hello world");
  v1::EditSessionRequest request;
  request.set_session_id(id_);
  request.set_begin(0);
  request.set_end(5);
  request.set_text("HELLO");
  std::vector<uint32_t> chunks;
  const OnChunk on_chunk = [&](Chunk chunk) {
    chunks.push_back(chunk.index);
    return absl::OkStatus();
  };
  const auto result = client_->Edit(request, on_chunk);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), "HELLO world");
  EXPECT_EQ(result->session().committed_offset(), 11);
  EXPECT_THAT(chunks, ElementsAre(0));

  // The answer to an insertion is lost: it stands there once.
  sessions_.ScriptCalls([](const std::string& method, int count) {
    std::optional<grpc::Status> status;
    if (method == "EditSession" && count == 2) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "lost");
    }
    return status;
  });
  request.set_end(0);
  request.set_text(">>");
  const auto unknown = client_->Edit(request);
  EXPECT_EQ(GetErrorDetail(unknown.status())->reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(sessions_.Content(id_), ">>HELLO world");
}

TEST_F(SessionClientTest, RewindsGoBack) {
  sessions_.Write(id_, "hello world");
  v1::RewindSessionRequest request;
  request.set_session_id(id_);
  request.set_offset(5);
  EXPECT_TRUE(client_->Rewind(request).ok());
  EXPECT_EQ(sessions_.Content(id_), "hello");
  request.set_offset(6);
  EXPECT_TRUE(absl::IsOutOfRange(client_->Rewind(request).status()));
}

TEST_F(SessionClientTest, SnapshotsMakeTheWayBack) {
  const std::string text(200 * 1000, 'x');
  sessions_.Write(id_, text);
  FailFirst(1, {grpc::StatusCode::UNAVAILABLE, "busy"});
  std::string snapshot;
  const auto sink = [&](absl::string_view data) {
    snapshot.append(data.data(), data.size());
    return absl::OkStatus();
  };
  ASSERT_TRUE(client_->Export(id_, sink).ok());
  StringSource source(snapshot);
  const auto made = client_->Import(&source, absl::Seconds(90));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(sessions_.Content(made->session_id()), text);

  StringSource nonsense("nonsense");
  EXPECT_TRUE(absl::IsInvalidArgument(
      client_->Import(&nonsense, std::nullopt).status()));
  const auto full = [](absl::string_view) {
    return absl::ResourceExhaustedError("disk full");
  };
  EXPECT_EQ(client_->Export(id_, full).message(), "disk full");
}

TEST_F(SessionClientTest, TransientErrorsOfSessionsAreRetriedOthersAreNot) {
  FailFirst(2, MakeStatus(grpc::StatusCode::ABORTED, "moving",
                          "STALE_GENERATION", {}));
  EXPECT_TRUE(client_->Get(id_).ok());
  EXPECT_EQ(sessions_.calls["GetSession"], 3);
  FailFirst(9, MakeStatus(grpc::StatusCode::ABORTED, "no", "OTHER", {}));
  EXPECT_TRUE(absl::IsAborted(client_->Get(id_).status()));
  EXPECT_EQ(sessions_.calls["GetSession"], 4);
}

TEST_F(SessionClientTest, TheOwnerIsAskedUnlessRedirectsAreOff) {
  FakeServer owner;
  owner.Start();
  ASSERT_EQ(owner.sessions.Add(), id_);
  owner.sessions.Write(id_, "here");
  FailFirst(99, MakeStatus(grpc::StatusCode::ABORTED, "elsewhere",
                           "WRONG_REPLICA", {{"owner", owner.target()}}));
  const auto session = client_->Get(id_);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->committed_offset(), 4);
  EXPECT_EQ(sessions_.calls["GetSession"], 1);

  RedirectOptions off;
  off.follow = false;
  EXPECT_TRUE(absl::IsAborted(Connect(off)->Get(id_).status()));
  EXPECT_EQ(sessions_.calls["GetSession"], 1 + 4);
  EXPECT_EQ(owner.sessions.calls["GetSession"], 1);
}

}  // namespace
}  // namespace longhand::client
