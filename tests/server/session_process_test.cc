// Sessions in the program longhand-server, with a tiny model and a real store:
// all methods, a drain with an open stream, and what is left after it.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/server_process.h"
#include "tests/testing/session_server.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Stub = v1::SessionService::Stub;

// Removed with the object.
class StoreDirectory {
 public:
  StoreDirectory() : path_(::testing::TempDir() + "store.XXXXXX") {
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~StoreDirectory() { EXPECT_EQ(std::system(("rm -r " + path_).c_str()), 0); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> WithFlags(const std::vector<std::string>& more) {
  std::vector<std::string> flags = TinyModel();
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

std::vector<std::string> WithStore(const std::string& directory) {
  return WithFlags({"--session-store", "rocksdb", "--session-dir",
                    directory + "/db", "--log-level", "debug"});
}

v1::AppendSessionRequest Ids(const std::string& session_id, uint64_t offset,
                             int count) {
  v1::AppendSessionRequest request = AppendRequest(session_id, offset, "");
  for (int i = 0; i < count; ++i) {
    request.mutable_token_ids()->add_ids(
        10 + static_cast<uint32_t>(offset + i) % 50);
  }
  return request;
}

// A server and a client of it.
struct SessionProcess {
  explicit SessionProcess(const std::vector<std::string>& flags)
      : process(flags) {
    const std::string address = process.WaitForAddress();
    EXPECT_NE(address, "") << process.Log();
    stub = v1::SessionService::NewStub(ChannelTo(address));
  }

  template <typename Request, typename Response>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                             const Request&, Response*),
                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status =
        (stub.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::string Create() {
    v1::CreateSessionRequest request;
    request.mutable_options()->set_chunk_tokens(10);
    return Call(&Stub::CreateSession, request).session().session_id();
  }

  v1::Session Get(const std::string& id) {
    v1::GetSessionRequest request;
    request.set_session_id(id);
    return Call(&Stub::GetSession, request).session();
  }

  // The result of one append on a stream of its own.
  v1::AppendResult Append(const v1::AppendSessionRequest& request,
                          size_t chunks) {
    grpc::ClientContext context;
    auto stream = stub->AppendSession(&context);
    EXPECT_TRUE(stream->Write(request));
    stream->WritesDone();
    v1::AppendSessionResponse response;
    for (size_t i = 0; i < chunks; ++i) {
      EXPECT_TRUE(stream->Read(&response) && response.has_chunk());
      EXPECT_FALSE(response.chunk().vector().empty());
    }
    EXPECT_TRUE(stream->Read(&response) && response.has_result());
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.result();
  }

  ServerProcess process;
  std::unique_ptr<Stub> stub;
};

TEST(SessionProcessTest, AppendsQuestionsAndRewindsWork) {
  const StoreDirectory store;
  SessionProcess server(WithStore(store.path()));
  const std::string id = server.Create();
  // Ten tokens a chunk; the last one waits for what follows.
  const v1::AppendResult first = server.Append(Ids(id, 0, 25), 2);
  EXPECT_EQ(first.committed_offset(), 25U);
  EXPECT_EQ(first.encoded_offset(), 20U);
  EXPECT_FALSE(first.duplicate());
  const v1::AppendResult again = server.Append(Ids(id, 0, 25), 0);
  EXPECT_TRUE(again.duplicate());
  EXPECT_EQ(again.state_digest(), first.state_digest());

  v1::QuerySessionRequest query;
  query.set_session_id(id);
  query.add_questions()->mutable_token_ids()->add_ids(12);
  const v1::QuerySessionResponse answer =
      server.Call(&Stub::QuerySession, query);
  ASSERT_EQ(answer.answers_size(), 1);
  EXPECT_EQ(answer.chunk_count(), 3U);  // with the tail
  EXPECT_EQ(answer.answers(0).similar_size(), 3);
  EXPECT_FALSE(answer.answers(0).vector().empty());

  grpc::ClientContext rewind_context;
  v1::RewindSessionRequest rewind;
  rewind.set_session_id(id);
  rewind.set_offset(12);
  const auto [rewound, changes] =
      ReadStream(server.stub->RewindSession(&rewind_context, rewind));
  ASSERT_TRUE(rewound.ok()) << rewound.error_message();
  EXPECT_EQ(changes.back().result().session().committed_offset(), 12U);
  EXPECT_EQ(changes.back().result().old_chunk_count(), 2U);
  server.process.Signal(SIGTERM);
  EXPECT_EQ(server.process.WaitForExit(), 0) << server.process.Log();
}

TEST(SessionProcessTest, ForksAndSnapshotsWork) {
  const StoreDirectory store;
  SessionProcess server(WithStore(store.path()));
  const std::string id = server.Create();
  server.Append(Ids(id, 0, 25), 2);
  v1::ForkSessionRequest fork;
  fork.set_session_id(id);
  const v1::Session forked = server.Call(&Stub::ForkSession, fork).session();
  EXPECT_EQ(forked.parent_session_id(), id);
  EXPECT_EQ(forked.committed_offset(), 25U);

  grpc::ClientContext export_context;
  v1::ExportSessionRequest exported;
  exported.set_session_id(forked.session_id());
  const auto [written, frames] =
      ReadStream(server.stub->ExportSession(&export_context, exported));
  ASSERT_TRUE(written.ok()) << written.error_message();
  grpc::ClientContext import_context;
  v1::ImportSessionResponse imported;
  auto writer = server.stub->ImportSession(&import_context, &imported);
  for (const auto& frame : frames) {
    v1::ImportSessionRequest request;
    request.set_data(frame.data());
    EXPECT_TRUE(writer->Write(request));
  }
  writer->WritesDone();
  const grpc::Status read = writer->Finish();
  ASSERT_TRUE(read.ok()) << read.error_message();
  EXPECT_EQ(imported.session().committed_offset(), 25U);
  EXPECT_EQ(imported.session().state_digest(), forked.state_digest());
  EXPECT_EQ(server.Call(&Stub::ListSessions, v1::ListSessionsRequest())
                .sessions_size(),
            3);
  v1::DeleteSessionRequest remove;
  remove.set_session_id(id);
  server.Call(&Stub::DeleteSession, remove);
  EXPECT_EQ(server.Call(&Stub::ListSessions, v1::ListSessionsRequest())
                .sessions_size(),
            2);
  server.process.Signal(SIGTERM);
  EXPECT_EQ(server.process.WaitForExit(), 0) << server.process.Log();
}

TEST(SessionProcessTest, AStoppedServerTellsItsStreamsAndLosesNothing) {
  const StoreDirectory store;
  std::string id;
  v1::DrainNotice notice;
  {
    SessionProcess server(WithStore(store.path()));
    id = server.Create();
    grpc::ClientContext context;
    auto stream = server.stub->AppendSession(&context);
    ASSERT_TRUE(stream->Write(Ids(id, 0, 30)));
    v1::AppendSessionResponse response;
    while (!response.has_result()) ASSERT_TRUE(stream->Read(&response));
    server.process.Signal(SIGTERM);
    ASSERT_TRUE(stream->Read(&response)) << server.process.Log();
    ASSERT_TRUE(response.has_drain());
    notice = response.drain();
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_EQ(server.process.WaitForExit(), 0) << server.process.Log();
    EXPECT_THAT(server.process.Log(), HasSubstr("\"drained\""));
    EXPECT_EQ(notice.resume_offset(), 30U);
  }
  SessionProcess next(WithStore(store.path()));
  const v1::Session session = next.Get(id);
  EXPECT_EQ(session.committed_offset(), notice.resume_offset());
  EXPECT_EQ(session.durable_offset(), notice.resume_offset());
  EXPECT_EQ(session.state_digest(), notice.state_digest());
  EXPECT_EQ(session.durability(), v1::DURABILITY_LOCAL);
  EXPECT_EQ(next.Append(Ids(id, 30, 2), 1).committed_offset(), 32U);
  next.process.Signal(SIGTERM);
  EXPECT_EQ(next.process.WaitForExit(), 0) << next.process.Log();
}

TEST(SessionProcessTest, DocumentsDoNotReachTheLog) {
  const StoreDirectory store;
  SessionProcess server(WithStore(store.path()));
  const std::string id = server.Create();
  grpc::ClientContext context;
  auto stream = server.stub->AppendSession(&context);
  ASSERT_TRUE(stream->Write(AppendRequest(id, 0, "canary-7f3a")));
  stream->WritesDone();
  v1::AppendSessionResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(ReasonOf(stream->Finish()), "TOKENIZER_MISSING");
  server.process.Signal(SIGTERM);
  EXPECT_EQ(server.process.WaitForExit(), 0);
  EXPECT_THAT(server.process.Log(), HasSubstr("\"method\":\"AppendSession\""));
  EXPECT_THAT(server.process.Log(), HasSubstr("\"sessions are kept\""));
  EXPECT_THAT(server.process.Log(), Not(HasSubstr("canary")));
}

TEST(SessionProcessTest, WhatCannotStartSaysWhy) {
  const StoreDirectory store;
  const std::string file = store.path() + "/short";
  std::ofstream(file) << "short\n";
  const std::string empty = store.path() + "/empty";
  std::ofstream(empty) << "\n";
  struct Case {
    std::vector<std::string> flags;
    int exit_code;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{"--session-store", "postgres"}, 1, "memory, redis, rocksdb"},
      {{"--session-store", "rocksdb"}, 2, "--session-dir"},
      {{"--session-store", "rocksdb", "--session-dir", file}, 1, "STORE_OPEN"},
      {{"--session-snapshot-key-file", file}, 1, "32 random ones"},
      {{"--session-snapshot-key-file", "/no/such/key"}, 1, "/no/such/key"},
      {{"--session-store", "redis", "--session-redis-address", "127.0.0.1:1",
        "--session-owner", "o", "--session-redis-password-file", empty},
       1,
       "is empty"},
  };
  for (const Case& c : cases) {
    ServerProcess process(WithFlags(c.flags));
    EXPECT_EQ(process.WaitForAddress(), "") << c.message;
    EXPECT_EQ(process.WaitForExit(), c.exit_code) << process.Log();
    EXPECT_THAT(process.Log(), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace longhand::testing
