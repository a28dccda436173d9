#include "tests/testing/fake_session_manager.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/store/store_errors.h"

namespace longhand::testing {
namespace {

constexpr char kSnapshot[] = "fake:";

// Token ids count as one character each.
std::string TextOf(const Content& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return *text;
  return std::string(std::get<std::vector<int32_t>>(content).size(), '#');
}

size_t NumChunks(const std::string& text) {
  return text.size() / kFakeChunkBytes;
}

void SetText(const std::string& text, SessionInfo* info) {
  info->committed_offset = text.size();
  info->durable_offset = text.size();
  info->num_chunks = NumChunks(text);
  info->encoded_offset = info->num_chunks * kFakeChunkBytes;
  Sha256 hash;
  hash.UpdateField(text);
  info->digest = hash.Digest();
}

}  // namespace

ChunkResult FakeChunk(size_t index, size_t text_bytes) {
  const size_t begin = index * kFakeChunkBytes;
  const size_t end = std::min(begin + kFakeChunkBytes, text_bytes);
  return {.index = static_cast<int64_t>(index),
          .begin_byte = begin,
          .end_byte = end,
          .begin_token = begin,
          .end_token = end,
          .norm = 1,
          .vector = {static_cast<float>(index), 0, 0, 0}};
}

void FakeSessionManager::Count(std::function<void(FakeSessionCounts&)> count) {
  absl::MutexLock lock(&mu_);
  count(counts_);
}

SessionInfo FakeSessionManager::Add(const SessionCall& call,
                                    const std::string& text) {
  Session session;
  session.info.key.tenant = call.tenant;
  session.info.key.id.fill(next_id_++);
  session.info.generation = 1;
  session.info.create_time = absl::FromUnixSeconds(1000);
  session.info.expire_time = absl::FromUnixSeconds(4600) + absl::Nanoseconds(7);
  session.text = text;
  SetText(text, &session.info);
  sessions_[session.info.key] = session;
  return session.info;
}

absl::StatusOr<FakeSessionManager::Session*> FakeSessionManager::Find(
    const SessionCall& call, const SessionId& id) {
  auto found = sessions_.find({call.tenant, id});
  if (found == sessions_.end()) return SessionNotFoundError();
  return &found->second;
}

absl::StatusOr<SessionInfo> FakeSessionManager::CreateSession(
    const SessionCall& call, const EncodeOptions& options,
    std::optional<absl::Duration> ttl) {
  absl::MutexLock lock(&mu_);
  ++counts_.calls;
  counts_.ttls.push_back(ttl);
  SessionInfo info = Add(call, "");
  sessions_[info.key].info.options = options;
  return sessions_[info.key].info;
}

absl::StatusOr<SessionInfo> FakeSessionManager::GetSession(
    const SessionCall& call, const SessionId& id) {
  Count([](FakeSessionCounts& c) { ++c.calls; });
  if (script_.get) return script_.get(call);
  absl::MutexLock lock(&mu_);
  LH_ASSIGN_OR_RETURN(Session * session, Find(call, id));
  return session->info;
}

absl::StatusOr<SessionPage> FakeSessionManager::ListSessions(
    const SessionCall& call, int page_size, const std::string& page_token) {
  absl::MutexLock lock(&mu_);
  ++counts_.calls;
  SessionPage page;
  for (const auto& [key, session] : sessions_) {
    if (key.tenant != call.tenant || FormatSessionId(key.id) <= page_token) {
      continue;
    }
    if (static_cast<int>(page.sessions.size()) == page_size) {
      page.next_page_token = FormatSessionId(page.sessions.back().key.id);
      break;
    }
    page.sessions.push_back(session.info);
  }
  return page;
}

absl::Status FakeSessionManager::DeleteSession(const SessionCall& call,
                                               const SessionId& id) {
  absl::MutexLock lock(&mu_);
  ++counts_.calls;
  LH_RETURN_IF_ERROR(Find(call, id).status());
  sessions_.erase({call.tenant, id});
  return absl::OkStatus();
}

absl::StatusOr<AppendResult> FakeSessionManager::Append(
    const SessionCall& call, const SessionId& id, const AppendArgs& args) {
  Count([](FakeSessionCounts& c) {
    ++c.calls;
    ++c.appends;
    c.max_open_appends = std::max(c.max_open_appends, ++c.open_appends);
  });
  if (script_.append) {
    absl::StatusOr<AppendResult> result = script_.append(call, args);
    Count([](FakeSessionCounts& c) { --c.open_appends; });
    return result;
  }
  absl::MutexLock lock(&mu_);
  --counts_.open_appends;
  LH_ASSIGN_OR_RETURN(Session * session, Find(call, id));
  if (draining_) {
    return MakeError(absl::StatusCode::kUnavailable, "DRAINING", "stopping");
  }
  if (!args.expected_offset.has_value() || args.append_id.size() != 16) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_APPEND", "bad");
  }
  if (*args.expected_offset != session->text.size()) {
    return MakeError(absl::StatusCode::kOutOfRange, "OFFSET_GAP",
                     "beyond the end",
                     {{"current_offset", absl::StrCat(session->text.size())},
                      {"durable_offset", absl::StrCat(session->text.size())},
                      {"state_digest", "00"},
                      {"generation", "1"}});
  }
  const size_t old_chunks = NumChunks(session->text);
  session->text += TextOf(args.content);
  SetText(session->text, &session->info);
  AppendResult result;
  result.committed_offset = session->info.committed_offset;
  result.durable_offset = session->info.durable_offset;
  result.encoded_offset = session->info.encoded_offset;
  result.digest = session->info.digest;
  result.generation = session->info.generation;
  for (size_t i = old_chunks; i < NumChunks(session->text); ++i) {
    result.chunks.push_back(FakeChunk(i, session->text.size()));
  }
  if (args.provisional && session->text.size() % kFakeChunkBytes != 0) {
    result.provisional_chunks.push_back(
        FakeChunk(NumChunks(session->text), session->text.size()));
  }
  return result;
}

absl::StatusOr<EditResult> FakeSessionManager::Edit(const SessionCall& call,
                                                    const SessionId& id,
                                                    const EditArgs& args) {
  Count([](FakeSessionCounts& c) { ++c.calls; });
  if (script_.edit) return script_.edit(call, args);
  absl::MutexLock lock(&mu_);
  LH_ASSIGN_OR_RETURN(Session * session, Find(call, id));
  const size_t size = session->text.size();
  if (args.begin > size || (args.end != UINT64_MAX && args.end > size)) {
    return MakeError(absl::StatusCode::kOutOfRange, "OFFSET_BEYOND_END",
                     "beyond the end");
  }
  EditResult result;
  result.old_chunks = NumChunks(session->text);
  const uint64_t end = std::min<uint64_t>(args.end, size);
  session->text.replace(args.begin, end - args.begin, TextOf(args.content));
  SetText(session->text, &session->info);
  ++session->info.generation;
  for (size_t i = args.begin / kFakeChunkBytes; i < NumChunks(session->text);
       ++i) {
    result.changed.push_back(FakeChunk(i, session->text.size()));
  }
  result.info = session->info;
  return result;
}

absl::StatusOr<QueryResult> FakeSessionManager::Query(const SessionCall& call,
                                                      const SessionId& id,
                                                      const QueryArgs& args) {
  Count([&](FakeSessionCounts& c) {
    ++c.calls;
    c.queries.push_back(args);
  });
  if (script_.query) return script_.query(call, args);
  absl::MutexLock lock(&mu_);
  LH_ASSIGN_OR_RETURN(Session * session, Find(call, id));
  QueryResult result;
  result.committed_offset = session->info.committed_offset;
  result.num_chunks = session->info.num_chunks;
  result.digest = session->info.digest;
  for (size_t i = 0; i < args.questions.size(); ++i) {
    QueryAnswer answer;
    answer.vector = {1, 0, 0, static_cast<float>(i)};
    answer.own_vector = {2, 0, 0, static_cast<float>(i)};
    answer.attended.push_back(
        {.index = 3, .begin_byte = 12, .end_byte = 16, .score = 0.5F});
    answer.similar.push_back(
        {.index = 1, .score = 0.25F, .text = args.texts ? "text" : ""});
    result.answers.push_back(std::move(answer));
  }
  return result;
}

absl::StatusOr<SessionInfo> FakeSessionManager::Fork(
    const SessionCall& call, const SessionId& id,
    std::optional<absl::Duration> ttl) {
  absl::MutexLock lock(&mu_);
  ++counts_.calls;
  counts_.ttls.push_back(ttl);
  LH_ASSIGN_OR_RETURN(Session * parent, Find(call, id));
  SessionInfo fork = Add(call, parent->text);
  sessions_[fork.key].info.parent = FormatSessionId(id);
  return sessions_[fork.key].info;
}

absl::Status FakeSessionManager::Export(
    const SessionCall& call, const SessionId& id,
    absl::FunctionRef<absl::Status(std::string_view)> output) {
  Count([](FakeSessionCounts& c) { ++c.calls; });
  if (script_.write) return script_.write(call, output);
  std::string text;
  {
    absl::MutexLock lock(&mu_);
    LH_ASSIGN_OR_RETURN(Session * session, Find(call, id));
    text = session->text;
  }
  LH_RETURN_IF_ERROR(output(kSnapshot));
  return output(text);
}

absl::StatusOr<SessionInfo> FakeSessionManager::Import(
    const SessionCall& call,
    absl::FunctionRef<absl::StatusOr<std::string>()> input,
    std::optional<absl::Duration> ttl) {
  Count([&](FakeSessionCounts& c) {
    ++c.calls;
    c.ttls.push_back(ttl);
  });
  if (script_.read) return script_.read(call, input);
  std::string bytes;
  for (;;) {
    LH_ASSIGN_OR_RETURN(std::string piece, input());
    if (piece.empty()) break;
    bytes += piece;
  }
  if (!absl::StartsWith(bytes, kSnapshot)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SNAPSHOT_INVALID",
                     "no snapshot");
  }
  absl::MutexLock lock(&mu_);
  return Add(call, bytes.substr(sizeof(kSnapshot) - 1));
}

absl::Status FakeSessionManager::Drain(absl::Time) {
  {
    absl::MutexLock lock(&mu_);
    ++counts_.drains;
    draining_ = true;
  }
  return script_.drain ? script_.drain() : absl::OkStatus();
}

bool FakeSessionManager::draining() const {
  absl::MutexLock lock(&mu_);
  return draining_;
}

void FakeSessionManager::Tick() {
  Count([](FakeSessionCounts& c) { ++c.ticks; });
}

SessionManagerStats FakeSessionManager::stats() const {
  absl::MutexLock lock(&mu_);
  return script_.stats;
}

void FakeSessionManager::SetStats(const SessionManagerStats& stats) {
  absl::MutexLock lock(&mu_);
  script_.stats = stats;
}

FakeSessionCounts FakeSessionManager::counts() const {
  absl::MutexLock lock(&mu_);
  return counts_;
}

bool FakeSessionManager::WaitFor(
    std::function<bool(const FakeSessionCounts&)> condition) const {
  absl::MutexLock lock(&mu_);
  auto holds = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return condition(counts_);
  };
  return mu_.AwaitWithTimeout(absl::Condition(&holds), absl::Minutes(1));
}

}  // namespace longhand::testing
