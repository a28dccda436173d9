#include "tests/client/fake_server.h"

#include <algorithm>
#include <bit>
#include <chrono>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/server_builder.h"

namespace longhand::client {
namespace {

bool Wants(const v1::EncodeOptions& options, v1::Output output) {
  return std::find(options.outputs().begin(), options.outputs().end(),
                   output) != options.outputs().end();
}

}  // namespace

std::vector<float> MakeVector(size_t hidden, float first) {
  std::vector<float> values;
  for (size_t i = 0; i < hidden; ++i) {
    values.push_back(first + 0.25F * static_cast<float>(i));
  }
  return values;
}

std::string ToBytes(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(bits >> shift & 0xFF);
    }
  }
  return bytes;
}

grpc::Status MakeStatus(grpc::StatusCode code, const std::string& message,
                        const std::string& reason,
                        const std::map<std::string, std::string>& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("longhand");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  status.add_details()->PackFrom(info);
  return {code, message, status.SerializeAsString()};
}

FakeServer::FakeServer() {
  model.set_name("fake-model");
  model.set_fingerprint("0123abcd");
  model.set_hidden_size(kHidden);
  model.set_layer_count(kLayers);
  model.set_head_count(kHeads);
  model.add_mechanisms("bsbr");
  model.add_mechanisms("independent");
  model.mutable_limits()->set_max_message_bytes(1 << 20);
  model.add_feature_maps("elu");
  model.add_merges("gate");
  model.add_state_codecs("f32");
  model.mutable_default_options()->set_mechanism("bsbr");
  model.mutable_default_options()->set_gate(0.25F);
  on_stream = [this](grpc::ServerContext*, Stream* stream, int) {
    return EncodeByRule(stream);
  };
}

FakeServer::~FakeServer() {
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
}

void FakeServer::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(static_cast<v1::EncoderService::Service*>(this));
  builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
  builder.RegisterService(&sessions);
  builder.SetMaxReceiveMessageSize(64 << 20);
  server_ = builder.BuildAndStart();
}

std::string FakeServer::target() const {
  return "127.0.0.1:" + std::to_string(port_);
}

grpc::Status FakeServer::EncodeByRule(Stream* stream) {
  text.clear();
  ids.clear();
  pieces = 0;
  v1::EncodeStreamRequest request;
  stream->Read(&request);
  options = request.config();
  while (stream->Read(&request)) {
    ++pieces;
    text += request.text();
    ids.insert(ids.end(), request.token_ids().ids().begin(),
               request.token_ids().ids().end());
    v1::EncodeStreamResponse progress;
    progress.mutable_progress()->set_received_bytes(text.size());
    stream->Write(progress);
  }
  return Answer(stream);
}

grpc::Status FakeServer::Answer(Stream* stream) const {
  const uint64_t length = ids.empty() ? text.size() : ids.size();
  const uint64_t step = ids.empty() ? kChunkBytes : kChunkIds;
  const auto count = static_cast<uint32_t>((length + step - 1) / step);
  for (uint32_t i = 0; i < count; ++i) WriteChunk(stream, i, count);
  WriteSpans(stream);
  WriteResult(stream, count);
  return grpc::Status::OK;
}

std::vector<float> FakeServer::MakeWeights(const v1::EncodeOptions& options,
                                           uint32_t row, uint32_t count,
                                           uint32_t first) {
  const bool causal = options.visibility() != v1::VISIBILITY_BIDIRECTIONAL &&
                      options.visibility() != v1::VISIBILITY_TWO_PASS;
  std::vector<float> weights(causal ? row + 1 : count);
  float sum = 0;
  for (uint32_t i = 0; i < weights.size(); ++i) {
    if (i != row) weights[i] = static_cast<float>(1 + (i + first) % 5);
    sum += weights[i];
  }
  for (float& weight : weights) weight = sum == 0 ? 0 : weight / sum;
  return weights;
}

void FakeServer::WriteChunk(Stream* stream, uint32_t index,
                            uint32_t count) const {
  const bool is_text = ids.empty();
  const uint64_t length = is_text ? text.size() : ids.size();
  const uint64_t step = is_text ? kChunkBytes : kChunkIds;
  v1::EncodeStreamResponse response;
  v1::Chunk* chunk = response.mutable_chunk();
  chunk->set_index(index);
  chunk->set_begin_token(index * step);
  chunk->set_end_token(std::min((index + 1) * step, length));
  if (is_text) chunk->set_begin_byte(chunk->begin_token());
  if (is_text) chunk->set_end_byte(chunk->end_token());
  chunk->set_norm(0.5F + static_cast<float>(index));
  chunk->set_vector(ToBytes(MakeVector(kHidden, static_cast<float>(index))));
  if (Wants(options, v1::OUTPUT_RETRIEVAL_WEIGHTS)) {
    chunk->set_retrieval_weights(
        ToBytes(MakeWeights(options, index, count, 0)));
  }
  if (options.anchor_weight() > 0) {
    chunk->mutable_context_mix()->set_anchor_weight(options.anchor_weight());
  }
  stream->Write(response);
  if (Wants(options, v1::OUTPUT_TOKEN_VECTORS)) WriteTokens(stream, *chunk);
  if (Wants(options, v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS)) {
    WriteHeadWeights(stream, index, count);
  }
}

void FakeServer::WriteTokens(Stream* stream, const v1::Chunk& chunk) const {
  for (uint64_t i = chunk.begin_token(); i < chunk.end_token(); ++i) {
    v1::EncodeStreamResponse rows;
    rows.mutable_token_vectors()->set_chunk_index(chunk.index());
    rows.mutable_token_vectors()->set_begin_token(i);
    rows.mutable_token_vectors()->add_ids(static_cast<uint32_t>(i));
    rows.mutable_token_vectors()->set_vectors(
        ToBytes(MakeVector(kHidden, static_cast<float>(i))));
    stream->Write(rows);
  }
}

void FakeServer::WriteHeadWeights(Stream* stream, uint32_t index,
                                  uint32_t count) const {
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    std::string bytes;
    for (uint32_t head = 0; head < kHeads; ++head) {
      bytes += ToBytes(
          MakeWeights(options, index, count, 1 + layer * kHeads + head));
    }
    v1::EncodeStreamResponse response;
    v1::HeadRetrievalWeights* weights =
        response.mutable_head_retrieval_weights();
    weights->set_chunk_index(index);
    weights->set_layer(layer);
    weights->set_weights(bytes);
    stream->Write(response);
  }
}

void FakeServer::WriteSpans(Stream* stream) const {
  // In order of their ends, as the service does.
  std::vector<int> order;
  for (int i = 0; i < options.spans_size(); ++i) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
    return options.spans(a).end() < options.spans(b).end();
  });
  for (const int i : order) {
    v1::EncodeStreamResponse response;
    v1::SpanVector* span = response.mutable_span_vector();
    span->set_index(static_cast<uint32_t>(i));
    span->set_begin_byte(options.spans(i).begin());
    span->set_end_byte(options.spans(i).end());
    span->set_begin_token(options.spans(i).begin());
    span->set_end_token(options.spans(i).end());
    span->set_norm(2);
    span->set_vector(ToBytes(MakeVector(kHidden, static_cast<float>(100 + i))));
    stream->Write(response);
  }
}

void FakeServer::WriteResult(Stream* stream, uint32_t count) const {
  v1::EncodeStreamResponse last;
  last.mutable_result()->set_document_vector(ToBytes(MakeVector(kHidden, -1)));
  v1::EncodeSummary* summary = last.mutable_result()->mutable_summary();
  summary->set_received_bytes(text.size());
  summary->set_received_tokens(ids.empty() ? text.size() : ids.size());
  summary->set_encoded_tokens(summary->received_tokens() + 2 * count);
  summary->set_chunk_count(count);
  summary->set_hidden_size(kHidden);
  summary->set_model_fingerprint(model.fingerprint());
  *summary->mutable_options() = options;
  summary->mutable_timings()->mutable_compute()->set_nanos(500000000);
  stream->Write(last);
}

grpc::Status FakeServer::EncodeStream(grpc::ServerContext* context,
                                      Stream* stream) {
  return on_stream(context, stream, ++streams);
}

grpc::Status FakeServer::Encode(grpc::ServerContext* context,
                                const v1::EncodeRequest* request,
                                v1::EncodeResponse* response) {
  return on_encode(context, *request, response, ++encodes);
}

grpc::Status FakeServer::EncodeBatch(grpc::ServerContext* context,
                                     Batch* batch) {
  return on_batch(context, batch, ++batches);
}

grpc::Status FakeServer::GetModel(grpc::ServerContext*,
                                  const v1::GetModelRequest*,
                                  v1::GetModelResponse* response) {
  *response->mutable_model() = model;
  return grpc::Status::OK;
}

grpc::Status FakeServer::Tokenize(grpc::ServerContext*,
                                  const v1::TokenizeRequest* request,
                                  v1::TokenizeResponse* response) {
  ++tokenizes;
  for (size_t i = 0; i < request->text().size(); ++i) {
    response->add_ids(static_cast<unsigned char>(request->text()[i]));
    response->add_begin_bytes(i);
    response->add_end_bytes(i + 1);
    if (request->include_tokens()) {
      response->add_tokens(request->text().substr(i, 1));
    }
  }
  return grpc::Status::OK;
}

}  // namespace longhand::client
