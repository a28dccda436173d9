#include "client/cli/session_text.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/option_text.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

constexpr std::pair<v1::Durability, const char*> kDurabilities[] = {
    {v1::DURABILITY_MEMORY, "memory"},
    {v1::DURABILITY_LOCAL, "local"},
    {v1::DURABILITY_SHARED, "shared"}};

std::string StateName(const v1::Session& session) {
  return session.state() == v1::SESSION_STATE_CLOSED ? "closed" : "open";
}

std::string FormatTimestamp(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

}  // namespace

Json ToJson(const v1::Session& session) {
  Json json = {{"session_id", session.session_id()},
               {"state", StateName(session)},
               {"committed_offset", session.committed_offset()},
               {"durable_offset", session.durable_offset()},
               {"encoded_offset", session.encoded_offset()},
               {"chunk_count", session.chunk_count()},
               {"token_count", session.token_count()},
               {"state_bytes", session.state_bytes()},
               {"state_digest", absl::BytesToHexString(session.state_digest())},
               {"generation", session.generation()},
               {"durability", ToName(session.durability())},
               {"create_time", FormatTimestamp(session.create_time())},
               {"expire_time", FormatTimestamp(session.expire_time())}};
  if (!session.parent_session_id().empty()) {
    json["parent_session_id"] = session.parent_session_id();
  }
  json["options"] = ToJson(session.options());
  return json;
}

Json ToJson(const ScoredChunk& chunk) {
  Json json = {
      {"index", chunk.index},         {"begin_byte", chunk.begin_byte},
      {"end_byte", chunk.end_byte},   {"begin_token", chunk.begin_token},
      {"end_token", chunk.end_token}, {"score", chunk.score}};
  if (!chunk.text.empty()) json["text"] = chunk.text;
  return json;
}

std::string DescribeSession(const v1::Session& session,
                            const Terminal& terminal) {
  Table table({{"SESSION"}, {ToDisplayLine(session.session_id())}});
  const auto row = [&table](const char* label, const std::string& value) {
    table.AddRow({label, ToDisplayLine(value)});
  };
  row("state", StateName(session));
  row("content",
      absl::StrCat(FormatCount(session.committed_offset()), ", ",
                   FormatCount(session.durable_offset()), " of it durable (",
                   ToName(session.durability()), "), ",
                   FormatCount(session.encoded_offset()), " in final chunks"));
  row("chunks",
      absl::StrCat(FormatCount(session.chunk_count()), " of ",
                   FormatCount(session.token_count()), " tokens, states ",
                   FormatBytes(session.state_bytes())));
  row("digest", absl::BytesToHexString(session.state_digest()));
  row("generation", absl::StrCat(session.generation()));
  row("made", FormatTimestamp(session.create_time()));
  row("expires",
      absl::StrCat(FormatTimestamp(session.expire_time()), " if not used"));
  if (!session.parent_session_id().empty()) {
    row("fork of", session.parent_session_id());
  }
  return absl::StrCat(table.Render(terminal), "options     ",
                      DescribeOptions(session.options()), "\n");
}

std::string ListSessionsTable(const std::vector<v1::Session>& sessions,
                              const Terminal& terminal) {
  Table table({{"SESSION"},
               {"STATE"},
               {"CONTENT", true},
               {"CHUNKS", true},
               {"STATES", true},
               {"EXPIRES"}});
  for (const v1::Session& session : sessions) {
    table.AddRow({ToDisplayLine(session.session_id()), StateName(session),
                  FormatCount(session.committed_offset()),
                  FormatCount(session.chunk_count()),
                  FormatBytes(session.state_bytes()),
                  FormatTimestamp(session.expire_time())});
  }
  return absl::StrCat(table.Render(terminal), FormatCount(sessions.size()),
                      sessions.size() == 1 ? " session\n" : " sessions\n");
}

std::string ToName(v1::Durability durability) {
  for (const auto& [value, name] : kDurabilities) {
    if (value == durability) return name;
  }
  return "";
}

v1::Durability ToDurability(const std::string& name) {
  for (const auto& [value, known] : kDurabilities) {
    if (name == known) return value;
  }
  return v1::DURABILITY_UNSPECIFIED;
}

}  // namespace longhand::client
