#include "client/cli/session_flags.h"

#include <string>

#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kSessionFooter[] = R"(
A session is a document that the server keeps with everything computed for it:
what is appended costs its own tokens, and a question costs the question.
Offsets count bytes of text, or tokens where the content is token ids.

Examples:
  id=$(longhand session create --quiet --mechanism bsbr --visibility causal)
  longhand session append "$id" report.txt
  longhand session query "$id" "Who pays for the repairs?"
  longhand session append "$id" log.txt --file-offset end --follow
  longhand session show "$id"
  longhand session delete "$id"

`longhand session COMMAND --help` describes a command and all its options.
)";

constexpr char kCreateFooter[] = R"(
Options that are left out take the server's defaults (longhand info); sessions
default to a document weight of 0.

Examples:
  longhand session create
  longhand session create --ttl 24h --chunk-tokens 128
  id=$(longhand session create --quiet)

)";

constexpr char kListFooter[] = R"(
Examples:
  longhand session list
  longhand session list --output json | jq -r '.[].session_id'
  longhand session list --quiet | xargs -r longhand session delete

)";

constexpr char kShowFooter[] = R"(
With --output json: {"session_id", "state", "committed_offset",
"durable_offset", "encoded_offset", "chunk_count", "token_count", "state_bytes",
"state_digest" (hexadecimal), "generation", "durability", "create_time",
"expire_time", "parent_session_id", "options"}.

Examples:
  longhand session show "$id"
  longhand session show "$id" --output json | jq .committed_offset

)";

constexpr char kDeleteFooter[] = R"(
Examples:
  longhand session delete "$id"

)";

constexpr char kForkFooter[] = R"(
Examples:
  longhand session fork "$id"
  draft=$(longhand session fork "$id" --quiet --ttl 10m)

)";

constexpr char kExportFooter[] = R"(
The snapshot holds the content and all that was computed for it. It belongs to
one model, one set of options and one tenant; import says what differs.

Examples:
  longhand session export "$id" -o report.lhs
  longhand session export "$id" | zstd > report.lhs.zst

)";

constexpr char kImportFooter[] = R"(
Examples:
  longhand session import report.lhs
  zstd -dc report.lhs.zst | longhand session import - --ttl 1h --quiet

)";

void AddTtl(CLI::App* command, std::string* ttl, const char* help) {
  command->add_option("--ttl", *ttl, help)
      ->check(Readable(ParseDeadline, "a time such as 24h"))
      ->type_name("TIME");
}

void AddCreate(CLI::App* session, Flags* flags) {
  SessionCreateFlags* create = &flags->session.create;
  CLI::App* command =
      session->add_subcommand("create", "Make an empty session.");
  AddTtl(command, &create->ttl,
         "How long it lives after its last use: 30m, 24h\n"
         "(default: the server's)");
  AddSessionOutput(command, &create->output, "Print the id alone");
  AddRetrievalOptions(command, &create->options);
  AddChunkOptions(command, &create->options);
  AddVectorOptions(command, &create->options);
  AddConnection(command, &flags->connection);
  command->footer(std::string(kCreateFooter) + kExitCodes);
}

void AddListAndShow(CLI::App* session, Flags* flags) {
  CLI::App* list = session->add_subcommand("list", "List your sessions.");
  AddSessionOutput(list, &flags->session.list.output,
                   "Print the ids alone, one per line");
  AddConnection(list, &flags->connection);
  list->footer(std::string(kListFooter) + kExitCodes);

  CLI::App* show = session->add_subcommand("show", "Describe a session.");
  AddSessionId(show, &flags->session.show.id);
  AddSessionOutput(show, &flags->session.show.output);
  AddConnection(show, &flags->connection);
  show->footer(std::string(kShowFooter) + kExitCodes);
}

void AddDelete(CLI::App* session, Flags* flags) {
  CLI::App* command = session->add_subcommand(
      "delete", "Remove sessions from memory and from the store. Forks stay.");
  command
      ->add_option("SESSION", flags->session.remove.ids,
                   "The sessions, by their ids")
      ->required()
      ->type_name("");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kDeleteFooter) + kExitCodes);
}

void AddFork(CLI::App* session, Flags* flags) {
  SessionForkFlags* fork = &flags->session.fork;
  CLI::App* command = session->add_subcommand(
      "fork",
      "Make a session of the same content that goes its own way from here.\n"
      "What both have is kept once.");
  AddSessionId(command, &fork->id);
  AddTtl(command, &fork->ttl,
         "How long it lives after its last use (default: as the\n"
         "old one)");
  AddSessionOutput(command, &fork->output, "Print the new id alone");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kForkFooter) + kExitCodes);
}

void AddSnapshots(CLI::App* session, Flags* flags) {
  SessionExportFlags* snapshot = &flags->session.snapshot;
  CLI::App* out = session->add_subcommand(
      "export", "Write a session to a file that import takes.");
  AddSessionId(out, &snapshot->id);
  out->add_option("-o,--out", snapshot->out,
                  "Write to FILE, which appears when complete\n"
                  "(default: standard output, if that is no terminal)")
      ->type_name("FILE");
  out->add_flag("--force", snapshot->force, "Replace FILE if it exists");
  AddConnection(out, &flags->connection);
  out->footer(std::string(kExportFooter) + kExitCodes);

  SessionImportFlags* restore = &flags->session.restore;
  CLI::App* in = session->add_subcommand(
      "import", "Make a session from a file that export wrote.");
  in->add_option("FILE", restore->file, "The snapshot, or - for standard input")
      ->required()
      ->type_name("");
  AddTtl(in, &restore->ttl,
         "How long it lives after its last use (default: as the\n"
         "exported one)");
  AddSessionOutput(in, &restore->output, "Print the new id alone");
  AddConnection(in, &flags->connection);
  in->footer(std::string(kImportFooter) + kExitCodes);
}

}  // namespace

void AddSessionId(CLI::App* command, std::string* id) {
  command->add_option("SESSION", *id, "The session, by its id")
      ->required()
      ->type_name("");
}

void AddSessionOutput(CLI::App* command, SessionOutputFlags* flags,
                      const char* quiet_help) {
  command->add_option("--output", flags->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT");
  if (quiet_help != nullptr) {
    command->add_flag("-q,--quiet", flags->quiet, quiet_help);
  }
}

void AddDurability(CLI::App* command, std::string* durability) {
  command
      ->add_option("--durability", *durability,
                   "The answer comes once the content is in the server's\n"
                   "memory, synced to its disk (local), or acknowledged by\n"
                   "the store that servers share (shared); default: memory")
      ->check(CLI::IsMember({"memory", "local", "shared"}))
      ->type_name("WHERE");
}

void AddSession(CLI::App* app, Flags* flags) {
  CLI::App* session = app->add_subcommand(
      "session",
      "Documents that grow: append to them, ask them, fork, rewind and edit "
      "them.");
  session->require_subcommand(1);
  session->footer(std::string(kSessionFooter) + "\n" + kExitCodes);
  AddCreate(session, flags);
  AddListAndShow(session, flags);
  AddSessionAppend(session, flags);
  AddSessionQuery(session, flags);
  AddFork(session, flags);
  AddSessionRewind(session, flags);
  AddSessionEdit(session, flags);
  AddDelete(session, flags);
  AddSnapshots(session, flags);
}

}  // namespace longhand::client
