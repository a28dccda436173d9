// FakeSessions: a SessionService that keeps to the append protocol (offsets,
// append ids, digests, CRC-32C) over plain strings and whose failures the test
// scripts. A chunk is kChunkBytes of text, a token is a byte. Handlers run on
// gRPC's threads; set the scripts before the server starts. Owned by the
// FakeServer that registers it.
#ifndef LONGHAND_TESTS_CLIENT_FAKE_SESSIONS_H_
#define LONGHAND_TESTS_CLIENT_FAKE_SESSIONS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "grpcpp/server_context.h"
#include "longhand/v1/session_service.grpc.pb.h"

namespace longhand::client {

// What happens to one append.
struct AppendFault {
  bool apply = true;  // do it first; else nothing is done
  // End the stream with this in place of the result; chunks are sent before it
  // only if `send_chunks` is set.
  std::optional<grpc::Status> status;
  bool send_chunks = false;
  // End the stream with a drain notice in place of the result.
  bool drain = false;
  // Sent as grpc-retry-pushback-ms.
  std::string pushback = "1";
};

class FakeSessions : public v1::SessionService::Service {
 public:
  static constexpr uint64_t kChunkBytes = 1000;
  static constexpr size_t kHidden = 4;
  static constexpr uint32_t kPageSize = 2;  // whatever is asked for

  // Makes an empty session and returns its id.
  std::string Add();
  v1::Session Get(const std::string& id);
  std::string Content(const std::string& id);
  size_t size();
  // Loses what came after `offset`, the end of an append, as a store that fails
  // over does.
  void Lose(const std::string& id, uint64_t offset);
  // Another writer's append.
  void Write(const std::string& id, const std::string& text);
  // Forgets the ids of appends.
  void ForgetIds(const std::string& id);
  // Every append that was read, in order. Safe once the calls have ended.
  std::vector<v1::AppendSessionRequest> appends;

  // Scripts. `count` counts the appends, or the calls of `method`, from 1.
  std::function<std::optional<AppendFault>(const v1::AppendSessionRequest&,
                                           int count)>
      on_append;
  // For the calls from now on; the other scripts stand before the server
  // starts.
  using CallScript = std::function<std::optional<grpc::Status>(
      const std::string& method, int count)>;
  void ScriptCalls(CallScript script);
  // Applies other content than was sent.
  bool corrupt_appends = false;
  // Calls so far, by method.
  std::map<std::string, int> calls;
  // Best durability, and how much of a session is durable.
  v1::Durability durability = v1::DURABILITY_SHARED;
  std::function<uint64_t(uint64_t committed)> durable;
  // Of the last call about a session.
  std::string session_header;
  v1::QuerySessionRequest last_query;
  v1::CreateSessionRequest last_create;

 private:
  using Stream = grpc::ServerReaderWriter<v1::AppendSessionResponse,
                                          v1::AppendSessionRequest>;
  struct Record {
    std::string id;
    uint64_t begin = 0, end = 0;
    std::string digest;  // after it
  };
  struct Entry {
    v1::Session session;
    std::string content;  // four bytes a token
    uint64_t unit = 1;    // bytes that an offset counts
    std::vector<Record> records;
    std::map<uint64_t, std::string> digests;
  };

  grpc::Status Enter(const std::string& method, grpc::ServerContext* context);
  grpc::Status Find(const std::string& id, Entry** entry);
  grpc::Status Fail(grpc::StatusCode code, const std::string& reason,
                    const Entry& entry);
  Entry* AddEntry(const std::string& content);
  void Apply(const std::string& text, const std::string& id, Entry* entry);
  void Refresh(Entry* entry);
  grpc::Status Check(const v1::AppendSessionRequest& request,
                     const Entry& entry);
  grpc::Status ApplyOnce(const v1::AppendSessionRequest& request,
                         v1::AppendResult* result,
                         std::vector<v1::Chunk>* chunks);
  // One append; false ends the stream with *status.
  bool Take(const v1::AppendSessionRequest& request, grpc::ServerContext*,
            Stream* stream, grpc::Status* status);
  v1::ChangeResult Replace(Entry* entry, uint64_t begin, uint64_t end,
                           const std::string& text);

  grpc::Status CreateSession(grpc::ServerContext*,
                             const v1::CreateSessionRequest*,
                             v1::CreateSessionResponse*) override;
  grpc::Status GetSession(grpc::ServerContext*, const v1::GetSessionRequest*,
                          v1::GetSessionResponse*) override;
  grpc::Status ListSessions(grpc::ServerContext*,
                            const v1::ListSessionsRequest*,
                            v1::ListSessionsResponse*) override;
  grpc::Status DeleteSession(grpc::ServerContext*,
                             const v1::DeleteSessionRequest*,
                             v1::DeleteSessionResponse*) override;
  grpc::Status AppendSession(grpc::ServerContext*, Stream*) override;
  grpc::Status QuerySession(grpc::ServerContext*,
                            const v1::QuerySessionRequest*,
                            v1::QuerySessionResponse*) override;
  grpc::Status ForkSession(grpc::ServerContext*, const v1::ForkSessionRequest*,
                           v1::ForkSessionResponse*) override;
  grpc::Status RewindSession(
      grpc::ServerContext*, const v1::RewindSessionRequest*,
      grpc::ServerWriter<v1::RewindSessionResponse>*) override;
  grpc::Status EditSession(
      grpc::ServerContext*, const v1::EditSessionRequest*,
      grpc::ServerWriter<v1::EditSessionResponse>*) override;
  grpc::Status ExportSession(
      grpc::ServerContext*, const v1::ExportSessionRequest*,
      grpc::ServerWriter<v1::ExportSessionResponse>*) override;
  grpc::Status ImportSession(grpc::ServerContext*,
                             grpc::ServerReader<v1::ImportSessionRequest>*,
                             v1::ImportSessionResponse*) override;

  std::recursive_mutex mutex_;
  CallScript on_call_;
  std::map<std::string, Entry> entries_;
  int made_ = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_TESTS_CLIENT_FAKE_SESSIONS_H_
