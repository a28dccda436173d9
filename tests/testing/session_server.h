// SessionServer: a TestServer over a FakeSessionManager, and short ways to talk
// to it. For one test.
#ifndef LONGHAND_TESTS_TESTING_SESSION_SERVER_H_
#define LONGHAND_TESTS_TESTING_SESSION_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/fake_session_manager.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {

// An id that the server did not make.
constexpr char kUnknownId[] = "AAAAAAAAAAAAAAAAAAAAAA";

class SessionServer : public TestServer {
 public:
  explicit SessionServer(FakeSessionScript script = {},
                         const ServerConfig& config = LoopbackConfig())
      : SessionServer(config, new FakeSessionManager(std::move(script))) {}

  // A new session's id.
  std::string Create() {
    grpc::ClientContext context;
    v1::CreateSessionResponse response;
    LH_CHECK(sessions->CreateSession(&context, {}, &response).ok());
    return response.session().session_id();
  }

  // A unary method by its stub's member, such as &Stub::GetSession.
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::SessionService::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    return (sessions.get()->*method)(&context, request, response);
  }

  FakeSessionManager* manager;  // the server's

 private:
  SessionServer(const ServerConfig& config, FakeSessionManager* fake)
      : TestServer(config, {}, FakeServedModel(),
                   std::unique_ptr<SessionManager>(fake)),
        manager(fake) {}
};

inline v1::AppendSessionRequest AppendRequest(const std::string& session_id,
                                              uint64_t offset,
                                              const std::string& text) {
  v1::AppendSessionRequest request;
  request.set_session_id(session_id);
  request.set_expected_offset(offset);
  request.set_append_id(std::string(16, static_cast<char>('a' + offset % 26)));
  request.set_text(text);
  return request;
}

// One AppendSession call.
struct AppendCall {
  explicit AppendCall(TestServer& test)
      : stream(test.sessions->AppendSession(&context)) {}

  // Sends all, half-closes and reads to the end.
  grpc::Status Run(const std::vector<v1::AppendSessionRequest>& requests) {
    for (const auto& request : requests) {
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
    return ReadAll();
  }

  grpc::Status ReadAll() {
    v1::AppendSessionResponse response;
    while (stream->Read(&response)) responses.push_back(response);
    return stream->Finish();
  }

  // Up to the next result.
  bool ReadResult() {
    v1::AppendSessionResponse response;
    while (stream->Read(&response)) {
      responses.push_back(response);
      if (response.has_result()) return true;
    }
    return false;
  }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::AppendSessionRequest,
                                           v1::AppendSessionResponse>>
      stream;
  std::vector<v1::AppendSessionResponse> responses;
};

// Reads a server stream to its end.
template <typename Response>
std::pair<grpc::Status, std::vector<Response>> ReadStream(
    std::unique_ptr<grpc::ClientReader<Response>> stream) {
  std::vector<Response> responses;
  Response response;
  while (stream->Read(&response)) responses.push_back(response);
  return {stream->Finish(), responses};
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_SESSION_SERVER_H_
