// Sessions as JSON values and as lines for people. Pure functions; safe from
// any thread.
#ifndef LONGHAND_CLIENT_CLI_SESSION_TEXT_H_
#define LONGHAND_CLIENT_CLI_SESSION_TEXT_H_

#include <string>
#include <vector>

#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/session_result.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

// The keys that `longhand session show --help` lists.
Json ToJson(const v1::Session& session);

// {"index", "begin_byte", "end_byte", "begin_token", "end_token", "score"} and,
// where present, "text".
Json ToJson(const ScoredChunk& chunk);

// A line for each property.
std::string DescribeSession(const v1::Session& session,
                            const Terminal& terminal);

// A table with a row for each.
std::string ListSessionsTable(const std::vector<v1::Session>& sessions,
                              const Terminal& terminal);

// "memory", "local", "shared", or "" for the server's default, and back.
std::string ToName(v1::Durability durability);
v1::Durability ToDurability(const std::string& name);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_SESSION_TEXT_H_
