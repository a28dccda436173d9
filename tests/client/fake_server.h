// FakeServer: EncoderService, ModelService and SessionService on a free
// loopback port, whose answers the test scripts. Handlers run on gRPC's
// threads; set them before Start. Owned by the test; its destructor stops the
// server.
#ifndef LONGHAND_TESTS_CLIENT_FAKE_SERVER_H_
#define LONGHAND_TESTS_CLIENT_FAKE_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/server.h"
#include "grpcpp/server_context.h"
#include "longhand/v1/encoder_service.grpc.pb.h"
#include "longhand/v1/model_service.grpc.pb.h"
#include "tests/client/fake_sessions.h"

namespace longhand::client {

// Values that float32 holds exactly, `hidden` of them, from `first` on.
std::vector<float> MakeVector(size_t hidden, float first);
// Little-endian.
std::string ToBytes(const std::vector<float>& values);

// A status with ErrorInfo (domain "longhand") in grpc-status-details-bin.
grpc::Status MakeStatus(grpc::StatusCode code, const std::string& message,
                        const std::string& reason,
                        const std::map<std::string, std::string>& metadata);

class FakeServer : public v1::EncoderService::Service,
                   public v1::ModelService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::EncodeStreamResponse,
                                          v1::EncodeStreamRequest>;
  using Batch =
      grpc::ServerReaderWriter<v1::EncodeBatchResponse, v1::EncodeBatchRequest>;

  FakeServer();
  ~FakeServer() override;
  void Start();
  // REQUIRES: Start was called.
  std::string target() const;

  // Reads the stream to its end, then answers with one chunk for every
  // kChunkBytes of text (or kChunkIds ids), with what belongs to it if it was
  // asked for, the spans and the result. The default.
  grpc::Status EncodeByRule(Stream* stream);

  // The second half of that: answers for `options`, `text` and `ids`.
  grpc::Status Answer(Stream* stream) const;

  static constexpr uint64_t kChunkBytes = 1000;
  static constexpr uint64_t kChunkIds = 10;
  static constexpr size_t kHidden = 4;
  static constexpr uint32_t kLayers = 3;
  static constexpr uint32_t kHeads = 2;

  // Retrieval weights of chunk `row` of `count`: each other chunk that it sees
  // has a share of 1 to 5 parts, which depends on `first`.
  static std::vector<float> MakeWeights(const v1::EncodeOptions& options,
                                        uint32_t row, uint32_t count,
                                        uint32_t first);

  // Scripts. `attempt` counts the calls of that method from 1.
  std::function<grpc::Status(grpc::ServerContext*, Stream*, int attempt)>
      on_stream;
  std::function<grpc::Status(grpc::ServerContext*, const v1::EncodeRequest&,
                             v1::EncodeResponse*, int attempt)>
      on_encode;
  std::function<grpc::Status(grpc::ServerContext*, Batch*, int attempt)>
      on_batch;
  v1::Model model;
  FakeSessions sessions;
  // Of the last stream that EncodeByRule read; safe once the call has ended.
  v1::EncodeOptions options;
  std::string text;
  std::vector<uint32_t> ids;
  int pieces = 0;
  // Calls so far.
  std::atomic<int> streams{0}, encodes{0}, batches{0}, tokenizes{0};

 private:
  void WriteChunk(Stream* stream, uint32_t index, uint32_t count) const;
  void WriteTokens(Stream* stream, const v1::Chunk& chunk) const;
  void WriteHeadWeights(Stream* stream, uint32_t index, uint32_t count) const;
  void WriteSpans(Stream* stream) const;
  void WriteResult(Stream* stream, uint32_t count) const;

  grpc::Status EncodeStream(grpc::ServerContext* context,
                            Stream* stream) override;
  grpc::Status Encode(grpc::ServerContext* context,
                      const v1::EncodeRequest* request,
                      v1::EncodeResponse* response) override;
  grpc::Status EncodeBatch(grpc::ServerContext* context, Batch* batch) override;
  grpc::Status GetModel(grpc::ServerContext* context,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;
  // A token per byte, with the byte as its id.
  grpc::Status Tokenize(grpc::ServerContext* context,
                        const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override;

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace longhand::client

#endif  // LONGHAND_TESTS_CLIENT_FAKE_SERVER_H_
