#include "tests/client/fake_sessions.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

constexpr char kSnapshotMagic[] = "FAKESNAP";

// As docs/sessions.md has it, of one change with its operation and fields.
std::string Fold(const std::string& digest, const std::string& change) {
  const std::string all = digest + change;
  std::string result(32, '\0');
  unsigned int size = 0;
  EVP_Digest(all.data(), all.size(),
             reinterpret_cast<unsigned char*>(result.data()), &size,
             EVP_sha256(), nullptr);
  return result;
}

// 8 bytes, little-endian.
std::string Integer(uint64_t value) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes += static_cast<char>(value >> shift & 0xFF);
  }
  return bytes;
}

// Bit by bit, the definition.
uint32_t SlowCrc32c(const std::string& data) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
    }
  }
  return ~crc;
}

std::string ContentOf(const v1::AppendSessionRequest& request) {
  if (!request.has_token_ids()) return request.text();
  std::string bytes;
  for (const uint32_t id : request.token_ids().ids()) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(id >> shift & 0xFF);
    }
  }
  return bytes;
}

v1::Chunk MakeChunk(uint64_t index, uint64_t end) {
  v1::Chunk chunk;
  chunk.set_index(static_cast<uint32_t>(index));
  chunk.set_begin_byte(index * FakeSessions::kChunkBytes);
  chunk.set_end_byte(end);
  chunk.set_begin_token(chunk.begin_byte());
  chunk.set_end_token(end);
  chunk.set_norm(1);
  chunk.set_vector(
      ToBytes(MakeVector(FakeSessions::kHidden, static_cast<float>(index))));
  return chunk;
}

}  // namespace

std::string FakeSessions::Add() { return AddEntry("")->session.session_id(); }

v1::Session FakeSessions::Get(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return entries_.at(id).session;
}

std::string FakeSessions::Content(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return entries_.at(id).content;
}

size_t FakeSessions::size() {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void FakeSessions::Lose(const std::string& id, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(id);
  if (offset < entry.content.size()) {
    entry.session.set_state(v1::SESSION_STATE_OPEN);
  }
  entry.content.resize(offset);
  entry.digests.erase(entry.digests.upper_bound(offset), entry.digests.end());
  entry.session.set_state_digest(entry.digests.at(offset));
  entry.session.set_generation(entry.session.generation() + 1);
  std::erase_if(entry.records,
                [&](const Record& record) { return record.end > offset; });
  Refresh(&entry);
}

void FakeSessions::Write(const std::string& id, const std::string& text) {
  const std::lock_guard lock(mutex_);
  Apply(text, "another writer's", &entries_.at(id));
}

void FakeSessions::ForgetIds(const std::string& id) {
  const std::lock_guard lock(mutex_);
  entries_.at(id).records.clear();
}

void FakeSessions::ScriptCalls(CallScript script) {
  const std::lock_guard lock(mutex_);
  on_call_ = std::move(script);
}

grpc::Status FakeSessions::Enter(const std::string& method,
                                 grpc::ServerContext* context) {
  const std::lock_guard lock(mutex_);
  const auto& headers = context->client_metadata();
  const auto found = headers.find("x-session-id");
  if (found != headers.end()) {
    session_header.assign(found->second.data(), found->second.size());
  }
  const int count = ++calls[method];
  if (!on_call_) return grpc::Status::OK;
  return on_call_(method, count).value_or(grpc::Status::OK);
}

grpc::Status FakeSessions::Find(const std::string& id, Entry** entry) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return MakeStatus(grpc::StatusCode::NOT_FOUND, "there is no such session",
                      "SESSION_NOT_FOUND", {});
  }
  *entry = &found->second;
  return grpc::Status::OK;
}

grpc::Status FakeSessions::Fail(grpc::StatusCode code,
                                const std::string& reason, const Entry& entry) {
  return MakeStatus(
      code, "refused: " + reason, reason,
      {{"current_offset", std::to_string(entry.session.committed_offset())}});
}

FakeSessions::Entry* FakeSessions::AddEntry(const std::string& content) {
  const std::lock_guard lock(mutex_);
  std::string id = "session" + std::to_string(++made_);
  id.resize(22, '_');
  Entry& entry = entries_[id];
  entry.session.set_session_id(id);
  entry.session.set_state(v1::SESSION_STATE_OPEN);
  entry.session.set_durability(durability);
  entry.session.set_generation(1);
  entry.session.mutable_options()->set_mechanism("bsbr");
  entry.session.mutable_create_time()->set_seconds(1700000000);
  entry.session.mutable_expire_time()->set_seconds(1700003600);
  entry.content = content;
  entry.session.set_state_digest(std::string(32, '\0'));
  entry.digests[content.size()] = entry.session.state_digest();
  Refresh(&entry);
  return &entry;
}

void FakeSessions::Refresh(Entry* entry) {
  v1::Session& session = entry->session;
  const uint64_t size = entry->content.size();
  const uint64_t committed = size / entry->unit;
  session.set_committed_offset(committed);
  session.set_durable_offset(durable ? durable(committed) : committed);
  session.set_chunk_count(session.state() == v1::SESSION_STATE_CLOSED
                              ? (size + kChunkBytes - 1) / kChunkBytes
                              : size / kChunkBytes);
  session.set_encoded_offset(
      std::min(session.chunk_count() * kChunkBytes, size) / entry->unit);
  session.set_token_count(session.encoded_offset());
  session.set_state_bytes(session.chunk_count() * 100);
}

void FakeSessions::Apply(const std::string& text, const std::string& id,
                         Entry* entry) {
  const uint64_t begin = entry->content.size();
  entry->content += text;
  if (!text.empty()) {
    const std::string operation = entry->unit == 4 ? "I" : "T";
    entry->session.set_state_digest(
        Fold(entry->session.state_digest(),
             operation + Integer(text.size() / entry->unit) + text));
  }
  if (entry->session.state() == v1::SESSION_STATE_CLOSED) {
    entry->session.set_state_digest(Fold(entry->session.state_digest(), "C"));
  }
  entry->digests[entry->content.size()] = entry->session.state_digest();
  entry->records.push_back(
      {id, begin, entry->content.size(), entry->session.state_digest()});
  Refresh(entry);
}

grpc::Status FakeSessions::Check(const v1::AppendSessionRequest& request,
                                 const Entry& entry) {
  const uint64_t unit = request.has_token_ids() ? 4 : 1;
  const uint64_t offset = request.expected_offset() * unit;
  if (entry.session.state() == v1::SESSION_STATE_CLOSED) {
    return Fail(grpc::StatusCode::FAILED_PRECONDITION, "SESSION_CLOSED", entry);
  }
  if (!request.has_expected_offset() || request.append_id().size() != 16) {
    return Fail(grpc::StatusCode::INVALID_ARGUMENT, "BAD_APPEND", entry);
  }
  if (request.payload_crc32c() != SlowCrc32c(ContentOf(request))) {
    return Fail(grpc::StatusCode::INVALID_ARGUMENT, "CHECKSUM", entry);
  }
  for (const Record& record : entry.records) {
    if (record.id != request.append_id()) continue;
    if (record.begin == offset &&
        entry.content.compare(record.begin, record.end - record.begin,
                              ContentOf(request)) == 0) {
      return grpc::Status::OK;
    }
    return Fail(grpc::StatusCode::INVALID_ARGUMENT, "APPEND_ID_REUSED", entry);
  }
  if (offset > entry.content.size()) {
    return Fail(grpc::StatusCode::OUT_OF_RANGE, "OFFSET_GAP", entry);
  }
  if (offset < entry.content.size()) {
    return Fail(grpc::StatusCode::ALREADY_EXISTS, "OFFSET_ALREADY_WRITTEN",
                entry);
  }
  if (!request.if_state_digest().empty() &&
      request.if_state_digest() != entry.session.state_digest()) {
    return Fail(grpc::StatusCode::ABORTED, "STATE_DIVERGED", entry);
  }
  return grpc::Status::OK;
}

grpc::Status FakeSessions::ApplyOnce(const v1::AppendSessionRequest& request,
                                     v1::AppendResult* result,
                                     std::vector<v1::Chunk>* chunks) {
  Entry* entry = nullptr;
  grpc::Status status = Find(request.session_id(), &entry);
  if (status.ok()) status = Check(request, *entry);
  if (!status.ok()) return status;
  entry->unit = request.has_token_ids() ? 4 : 1;
  result->set_duplicate(std::any_of(
      entry->records.begin(), entry->records.end(),
      [&](const Record& r) { return r.id == request.append_id(); }));
  const uint64_t old_chunks = entry->session.chunk_count();
  if (!result->duplicate()) {
    if (request.close()) entry->session.set_state(v1::SESSION_STATE_CLOSED);
    std::string content = ContentOf(request);
    if (corrupt_appends) content[0] = '?';
    Apply(content, request.append_id(), entry);
  }
  for (uint64_t i = old_chunks; i < entry->session.chunk_count(); ++i) {
    chunks->push_back(MakeChunk(
        i, std::min<uint64_t>((i + 1) * kChunkBytes, entry->content.size())));
  }
  result->set_append_id(request.append_id());
  result->set_committed_offset(entry->session.committed_offset());
  result->set_durable_offset(entry->session.durable_offset());
  result->set_encoded_offset(entry->session.encoded_offset());
  result->set_state_digest(entry->session.state_digest());
  result->set_computed_tokens(chunks->size() * kChunkBytes);
  return status;
}

bool FakeSessions::Take(const v1::AppendSessionRequest& request,
                        grpc::ServerContext* context, Stream* stream,
                        grpc::Status* status) {
  AppendFault fault;
  if (on_append) {
    fault = on_append(request, static_cast<int>(appends.size()))
                .value_or(AppendFault());
  }
  if (fault.status || fault.drain) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms", fault.pushback);
  }
  v1::AppendSessionResponse last;
  std::vector<v1::Chunk> chunks;
  if (fault.apply) {
    *status = ApplyOnce(request, last.mutable_result(), &chunks);
    if (!status->ok()) return false;
  }
  v1::AppendSessionResponse response;
  for (const v1::Chunk& chunk : chunks) {
    if (fault.status && !fault.send_chunks) break;
    *response.mutable_chunk() = chunk;
    stream->Write(response);
  }
  if (request.provisional()) {
    *response.mutable_provisional_chunk() = MakeChunk(999, 999001);
    stream->Write(response);
  }
  if (fault.status) *status = *fault.status;
  if (fault.status) return false;
  if (fault.drain) last.mutable_drain()->set_resume_offset(0);
  stream->Write(last);
  return !fault.drain;
}

grpc::Status FakeSessions::AppendSession(grpc::ServerContext* context,
                                         Stream* stream) {
  grpc::Status status = Enter("AppendSession", context);
  v1::AppendSessionRequest request;
  while (status.ok() && stream->Read(&request)) {
    const std::lock_guard lock(mutex_);
    appends.push_back(request);
    if (!Take(request, context, stream, &status)) return status;
  }
  return status;
}

grpc::Status FakeSessions::CreateSession(
    grpc::ServerContext* context, const v1::CreateSessionRequest* request,
    v1::CreateSessionResponse* response) {
  const grpc::Status status = Enter("CreateSession", context);
  if (!status.ok()) return status;
  last_create = *request;
  *response->mutable_session() = AddEntry("")->session;
  return status;
}

grpc::Status FakeSessions::GetSession(grpc::ServerContext* context,
                                      const v1::GetSessionRequest* request,
                                      v1::GetSessionResponse* response) {
  const grpc::Status status = Enter("GetSession", context);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  const grpc::Status found = Find(request->session_id(), &entry);
  if (found.ok()) *response->mutable_session() = entry->session;
  return found;
}

grpc::Status FakeSessions::ListSessions(grpc::ServerContext* context,
                                        const v1::ListSessionsRequest* request,
                                        v1::ListSessionsResponse* response) {
  const grpc::Status status = Enter("ListSessions", context);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  auto at = entries_.upper_bound(request->page_token());
  while (at != entries_.end() &&
         response->sessions_size() < static_cast<int>(kPageSize)) {
    *response->add_sessions() = (at++)->second.session;
  }
  if (at != entries_.end()) {
    response->set_next_page_token(std::prev(at)->first);
  }
  return status;
}

grpc::Status FakeSessions::DeleteSession(
    grpc::ServerContext* context, const v1::DeleteSessionRequest* request,
    v1::DeleteSessionResponse*) {
  const grpc::Status status = Enter("DeleteSession", context);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  const grpc::Status found = Find(request->session_id(), &entry);
  if (found.ok()) entries_.erase(request->session_id());
  return found;
}

grpc::Status FakeSessions::QuerySession(grpc::ServerContext* context,
                                        const v1::QuerySessionRequest* request,
                                        v1::QuerySessionResponse* response) {
  const grpc::Status status = Enter("QuerySession", context);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  last_query = *request;
  Entry* entry = nullptr;
  const grpc::Status found = Find(request->session_id(), &entry);
  if (!found.ok()) return found;
  for (int i = 0; i < request->questions_size(); ++i) {
    v1::QuestionAnswer* answer = response->add_answers();
    answer->set_vector(ToBytes(MakeVector(kHidden, static_cast<float>(i))));
    answer->set_own_vector(ToBytes(MakeVector(kHidden, 10)));
    v1::ScoredChunk* chunk = answer->add_attended();
    chunk->set_end_byte(std::min<uint64_t>(kChunkBytes, entry->content.size()));
    chunk->set_end_token(chunk->end_byte());
    chunk->set_score(0.75F);
    if (request->texts()) {
      chunk->set_text(entry->content.substr(0, chunk->end_byte()));
    }
    *answer->add_similar() = *chunk;
    answer->mutable_similar(0)->set_score(0.5F);
  }
  response->set_committed_offset(entry->content.size());
  response->set_chunk_count(entry->session.chunk_count());
  response->set_state_digest(entry->session.state_digest());
  return status;
}

grpc::Status FakeSessions::ForkSession(grpc::ServerContext* context,
                                       const v1::ForkSessionRequest* request,
                                       v1::ForkSessionResponse* response) {
  const grpc::Status status = Enter("ForkSession", context);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  const grpc::Status found = Find(request->session_id(), &entry);
  if (!found.ok()) return found;
  Entry* fork = AddEntry(entry->content);
  fork->session.set_parent_session_id(request->session_id());
  *response->mutable_session() = fork->session;
  return status;
}

v1::ChangeResult FakeSessions::Replace(Entry* entry, uint64_t begin,
                                       uint64_t end, const std::string& text) {
  v1::ChangeResult result;
  result.set_old_chunk_count(entry->session.chunk_count());
  entry->content.replace(begin, end - begin, text);
  entry->session.set_state_digest(
      Fold(entry->session.state_digest(),
           "t" + Integer(begin) + Integer(end) + Integer(text.size()) + text));
  entry->digests[entry->content.size()] = entry->session.state_digest();
  Refresh(entry);
  *result.mutable_session() = entry->session;
  result.set_computed_tokens(text.size());
  return result;
}

grpc::Status FakeSessions::RewindSession(
    grpc::ServerContext* context, const v1::RewindSessionRequest* request,
    grpc::ServerWriter<v1::RewindSessionResponse>* writer) {
  grpc::Status status = Enter("RewindSession", context);
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  if (status.ok()) status = Find(request->session_id(), &entry);
  if (!status.ok()) return status;
  if (request->offset() > entry->content.size()) {
    return Fail(grpc::StatusCode::OUT_OF_RANGE, "OFFSET_BEYOND_END", *entry);
  }
  v1::RewindSessionResponse response;
  *response.mutable_result() =
      Replace(entry, request->offset(), UINT64_MAX, "");
  writer->Write(response);
  return status;
}

grpc::Status FakeSessions::EditSession(
    grpc::ServerContext* context, const v1::EditSessionRequest* request,
    grpc::ServerWriter<v1::EditSessionResponse>* writer) {
  grpc::Status status = Enter("EditSession", context);
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  grpc::Status found = Find(request->session_id(), &entry);
  if (!found.ok()) return found;
  if (request->if_state_digest() != entry->session.state_digest()) {
    return Fail(grpc::StatusCode::ABORTED, "STATE_DIVERGED", *entry);
  }
  v1::EditSessionResponse last;
  *last.mutable_result() = Replace(
      entry, request->begin(), request->has_end() ? request->end() : UINT64_MAX,
      request->text());
  // A scripted failure loses the answer, not the edit.
  if (!status.ok()) return status;
  v1::EditSessionResponse response;
  *response.mutable_chunk() =
      MakeChunk(request->begin() / kChunkBytes,
                (request->begin() / kChunkBytes + 1) * kChunkBytes);
  writer->Write(response);
  writer->Write(last);
  return status;
}

grpc::Status FakeSessions::ExportSession(
    grpc::ServerContext* context, const v1::ExportSessionRequest* request,
    grpc::ServerWriter<v1::ExportSessionResponse>* writer) {
  grpc::Status status = Enter("ExportSession", context);
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  if (status.ok()) status = Find(request->session_id(), &entry);
  if (!status.ok()) return status;
  v1::ExportSessionResponse response;
  response.set_data(kSnapshotMagic);
  writer->Write(response);
  response.set_data(entry->content);
  writer->Write(response);
  return status;
}

grpc::Status FakeSessions::ImportSession(
    grpc::ServerContext* context,
    grpc::ServerReader<v1::ImportSessionRequest>* reader,
    v1::ImportSessionResponse* response) {
  const grpc::Status status = Enter("ImportSession", context);
  std::string data;
  v1::ImportSessionRequest request;
  while (reader->Read(&request)) data += request.data();
  if (!status.ok()) return status;
  const std::string magic = kSnapshotMagic;
  if (data.compare(0, magic.size(), magic) != 0) {
    return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "no snapshot",
                      "SNAPSHOT_INVALID", {});
  }
  *response->mutable_session() = AddEntry(data.substr(magic.size()))->session;
  return status;
}

}  // namespace longhand::client
