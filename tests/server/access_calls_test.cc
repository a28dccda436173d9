// Who may call what: every method of every service of this project, found by
// its descriptor, so that no method can be forgotten.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/access_file.h"
#include "tests/testing/session_server.h"

namespace longhand::testing {
namespace {

namespace pb = google::protobuf;

using ::testing::SizeIs;

// Of all files of the package that are linked in.
std::vector<const pb::MethodDescriptor*> AllMethods() {
  std::vector<std::string> files;
  EXPECT_TRUE(
      pb::DescriptorPool::internal_generated_database()->FindAllFileNames(
          &files));
  std::vector<const pb::MethodDescriptor*> methods;
  for (const std::string& name : files) {
    const pb::FileDescriptor* file =
        pb::DescriptorPool::generated_pool()->FindFileByName(name);
    if (file == nullptr || file->package() != "longhand.v1") continue;
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

std::string PathOf(const pb::MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// Sends one message, whatever streams the method has, and reads to the end.
grpc::Status CallAny(TestServer& test, const std::string& path,
                     const std::string& request, const std::string& token) {
  grpc::GenericStub stub(test.channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(1));
  if (!token.empty()) AddToken(token, &context);
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    LH_CHECK(queue.Next(&tag, &ok));
    return ok;
  };
  auto call = stub.PrepareCall(&context, path, &queue);
  call->StartCall(nullptr);
  if (wait()) {
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    wait();  // a refused call may be gone by now
    grpc::ByteBuffer response;
    do {
      call->Read(&response, nullptr);
    } while (wait());
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  return status;
}

class AccessCallsTest : public ::testing::Test {
 protected:
  AccessCallsTest()
      : file_(TenantsJson(TokenEntry("alice", "a-token") + "," +
                          TokenEntry("bob", "b-token"))),
        test_({}, Config(file_)) {}

  static ServerConfig Config(const AccessFile& file) {
    ServerConfig config = LoopbackConfig();
    config.access.tokens_file = file.path();
    return config;
  }

  const AccessFile file_;
  SessionServer test_;
};

TEST_F(AccessCallsTest, TheDescriptorsListAllServices) {
  std::set<std::string> services;
  for (const pb::MethodDescriptor* method : AllMethods()) {
    services.insert(method->service()->full_name());
  }
  EXPECT_EQ(services, (std::set<std::string>{"longhand.v1.EncoderService",
                                             "longhand.v1.ModelService",
                                             "longhand.v1.SessionService"}));
  EXPECT_THAT(AllMethods(), SizeIs(16));
}

TEST_F(AccessCallsTest, NoMethodAnswersAStranger) {
  const std::map<std::string, std::string> reasons = {
      {"", "AUTH_REQUIRED"}, {"c-token", "AUTH_INVALID"}};
  for (const pb::MethodDescriptor* method : AllMethods()) {
    for (const auto& [token, reason] : reasons) {
      // Also with a field that no request has: requests are looked at later.
      for (const char* request : {"", "\x78\x01"}) {
        const grpc::Status status =
            CallAny(test_, PathOf(*method), request, token);
        EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED)
            << method->full_name() << ": " << status.error_message();
        EXPECT_EQ(ReasonOf(status), reason) << method->full_name();
      }
    }
  }
  // Nothing was begun for anybody.
  EXPECT_EQ(test_.manager->counts().calls, 0);
  EXPECT_EQ(test_.encoder->stats().opened, 0);
  EXPECT_EQ(test_.server->metrics().auth_missing.Value(), 32);
  EXPECT_EQ(test_.server->metrics().auth_invalid.Value(), 32);
}

TEST_F(AccessCallsTest, EveryMethodAnswersItsCaller) {
  for (const pb::MethodDescriptor* method : AllMethods()) {
    const grpc::Status status = CallAny(test_, PathOf(*method), "", "a-token");
    EXPECT_NE(status.error_code(), grpc::UNAUTHENTICATED)
        << method->full_name() << ": " << status.error_message();
    EXPECT_NE(status.error_code(), grpc::UNIMPLEMENTED) << method->full_name();
  }
}

TEST_F(AccessCallsTest, ServicesThatAreOffDoNotExist) {
  for (const char* path :
       {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/longhand.v1.SessionService/NoSuchMethod"}) {
    for (const char* token : {"", "a-token"}) {
      EXPECT_EQ(CallAny(test_, path, "", token).error_code(),
                grpc::UNIMPLEMENTED)
          << path;
    }
  }
}

// A complete request of each method that is about one session. $ stands for its
// id.
const std::map<std::string, std::string> kSessionRequests = {
    {"AppendSession",
     "session_id: '$' expected_offset: 0 append_id: '0123456789abcdef' "
     "text: 'abcd'"},
    {"DeleteSession", "session_id: '$'"},
    {"EditSession", "session_id: '$' begin: 0 text: 'x'"},
    {"ExportSession", "session_id: '$'"},
    {"ForkSession", "session_id: '$'"},
    {"GetSession", "session_id: '$'"},
    {"QuerySession", "session_id: '$' questions { text: 'why' }"},
    {"RewindSession", "session_id: '$' offset: 0"}};

std::string SessionRequest(const pb::MethodDescriptor& method,
                           const std::string& id) {
  std::unique_ptr<pb::Message> request(pb::MessageFactory::generated_factory()
                                           ->GetPrototype(method.input_type())
                                           ->New());
  EXPECT_TRUE(pb::TextFormat::ParseFromString(
      absl::StrReplaceAll(kSessionRequests.at(method.name()), {{"$", id}}),
      request.get()))
      << method.name();
  return request->SerializeAsString();
}

TEST_F(AccessCallsTest, SessionsOfOthersAreUnknown) {
  for (const pb::MethodDescriptor* method : AllMethods()) {
    if (method->input_type()->FindFieldByName("session_id") == nullptr) {
      continue;
    }
    ASSERT_EQ(kSessionRequests.count(method->name()), 1U) << method->name();
    grpc::ClientContext context;
    AddToken("a-token", &context);
    v1::CreateSessionResponse created;
    ASSERT_TRUE(test_.sessions->CreateSession(&context, {}, &created).ok());
    const std::string id = created.session().session_id();
    const std::string path = PathOf(*method);
    const grpc::Status others =
        CallAny(test_, path, SessionRequest(*method, id), "b-token");
    const grpc::Status unknown =
        CallAny(test_, path, SessionRequest(*method, kUnknownId), "b-token");
    EXPECT_EQ(others.error_code(), grpc::NOT_FOUND) << path;
    EXPECT_EQ(ReasonOf(others), "SESSION_NOT_FOUND") << path;
    EXPECT_EQ(others.error_message(), unknown.error_message()) << path;
    EXPECT_EQ(others.error_details(), unknown.error_details()) << path;
    const grpc::Status own =
        CallAny(test_, path, SessionRequest(*method, id), "a-token");
    EXPECT_TRUE(own.ok()) << path << ": " << own.error_message();
  }
}

TEST_F(AccessCallsTest, CallersOfOneConnectionDoNotMix) {
  constexpr int kRounds = 25;
  const std::vector<std::string> tokens = {"a-token", "b-token"};
  std::vector<std::set<std::string>> created(tokens.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < tokens.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        grpc::ClientContext context;
        AddToken(tokens[i], &context);
        v1::CreateSessionResponse response;
        const grpc::Status status =
            test_.sessions->CreateSession(&context, {}, &response);
        ASSERT_TRUE(status.ok()) << status.error_message();
        created[i].insert(response.session().session_id());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_THAT(created[i], SizeIs(kRounds));
    grpc::ClientContext context;
    AddToken(tokens[i], &context);
    v1::ListSessionsRequest request;
    request.set_page_size(1000);
    v1::ListSessionsResponse response;
    ASSERT_TRUE(
        test_.sessions->ListSessions(&context, request, &response).ok());
    std::set<std::string> listed;
    for (const auto& session : response.sessions()) {
      listed.insert(session.session_id());
    }
    EXPECT_EQ(listed, created[i]);
  }
}

}  // namespace
}  // namespace longhand::testing
