#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/encode_options.h"
#include "client/cli/session_commands.h"
#include "client/cli/session_text.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// A time that the command line was checked for.
void SetTtl(const std::string& text, google::protobuf::Duration* ttl) {
  absl::Duration left = ParseDeadline(text).value_or(absl::ZeroDuration());
  ttl->set_seconds(absl::IDivDuration(left, absl::Seconds(1), &left));
  ttl->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(left)));
}

absl::Status RunCreate(const SessionCreateFlags& flags,
                       const CommandContext& context) {
  v1::CreateSessionRequest request;
  *request.mutable_options() = ToOptions(flags.options);
  if (!flags.ttl.empty()) SetTtl(flags.ttl, request.mutable_ttl());
  LH_CLIENT_ASSIGN_OR_RETURN(const v1::Session session,
                             context.sessions->Create(request, context.call()));
  return PrintSession(session, flags.output);
}

absl::Status RunList(const SessionListFlags& flags,
                     const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(const std::vector<v1::Session> sessions,
                             context.sessions->List(context.call()));
  if (flags.output.quiet) {
    std::string ids;
    for (const v1::Session& session : sessions) {
      absl::StrAppend(&ids, session.session_id(), "\n");
    }
    return WriteStdout(ids);
  }
  if (flags.output.format == "json") {
    Json list = Json::array();
    for (const v1::Session& session : sessions) {
      list.push_back(ToJson(session));
    }
    return WriteStdout(Dump(list) + "\n");
  }
  return WriteStdout(ListSessionsTable(sessions, DescribeTerminal(1)));
}

absl::Status RunShow(const SessionShowFlags& flags,
                     const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(const v1::Session session,
                             context.sessions->Get(flags.id, context.call()));
  return PrintSession(session, flags.output);
}

// All that can be deleted; the first error is reported.
absl::Status RunDelete(const SessionDeleteFlags& flags,
                       const CommandContext& context) {
  absl::Status first;
  for (const std::string& id : flags.ids) {
    first.Update(context.sessions->Delete(id, context.call()));
  }
  return first;
}

absl::Status RunFork(const SessionForkFlags& flags,
                     const CommandContext& context) {
  v1::ForkSessionRequest request;
  request.set_session_id(flags.id);
  if (!flags.ttl.empty()) SetTtl(flags.ttl, request.mutable_ttl());
  LH_CLIENT_ASSIGN_OR_RETURN(const v1::Session session,
                             context.sessions->Fork(request, context.call()));
  return PrintSession(session, flags.output);
}

}  // namespace

absl::Status PrintSession(const v1::Session& session,
                          const SessionOutputFlags& flags) {
  if (flags.quiet) return WriteStdout(session.session_id() + "\n");
  if (flags.format == "json") return WriteStdout(Dump(ToJson(session)) + "\n");
  return WriteStdout(DescribeSession(session, DescribeTerminal(1)));
}

absl::Status RunSession(const std::string& name, const SessionFlags& flags,
                        const CommandContext& context) {
  if (name == "create") return RunCreate(flags.create, context);
  if (name == "list") return RunList(flags.list, context);
  if (name == "show") return RunShow(flags.show, context);
  if (name == "append") return RunSessionAppend(flags.append, context);
  if (name == "query") return RunSessionQuery(flags.query, context);
  if (name == "fork") return RunFork(flags.fork, context);
  if (name == "rewind") return RunSessionRewind(flags.rewind, context);
  if (name == "edit") return RunSessionEdit(flags.edit, context);
  if (name == "export") return RunSessionExport(flags.snapshot, context);
  if (name == "import") return RunSessionImport(flags.restore, context);
  return RunDelete(flags.remove, context);
}

}  // namespace longhand::client
