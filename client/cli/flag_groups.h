// Options that several commands have. They write into the given values, which
// must outlive the parsing.
#ifndef LONGHAND_CLIENT_CLI_FLAG_GROUPS_H_
#define LONGHAND_CLIENT_CLI_FLAG_GROUPS_H_

#include <string>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Validators.hpp"
#include "client/cli/flags.h"

namespace longhand::client {

// The end of every command's help.
extern const char kExitCodes[];

// The group of the options that say what a chunk retrieves.
extern const char kRetrievalGroup[];

// A check that accepts what `parse` can read.
template <typename Parse>
CLI::Validator Readable(Parse parse, std::string expected) {
  return CLI::Validator(
      [parse, expected = std::move(expected)](std::string& text) {
        return parse(text) ? std::string() : text + " is not " + expected;
      },
      "");
}

// Which server, and as whom.
void AddTarget(CLI::App* command, ConnectionFlags* flags);
// That, how long and how often to try, and --verbose.
void AddConnection(CLI::App* command, ConnectionFlags* flags);

// What a chunk retrieves, how the document is cut, which vectors come of it.
void AddRetrievalOptions(CLI::App* command, OptionFlags* flags);
// The first without --mechanism.
void AddRetrievalSettings(CLI::App* command, OptionFlags* flags);
void AddChunkOptions(CLI::App* command, OptionFlags* flags);
void AddVectorOptions(CLI::App* command, OptionFlags* flags);

// --output table|json and, where it has a meaning, --quiet.
void AddSessionOutput(CLI::App* command, SessionOutputFlags* flags,
                      const char* quiet_help = nullptr);

// --output table|json and --out, of commands that measure.
void AddReportOutput(CLI::App* command, std::string* format, std::string* out);

void AddSessionId(CLI::App* command, std::string* id);

void AddDurability(CLI::App* command, std::string* durability);

void AddProgress(CLI::App* command, std::optional<bool>* progress,
                 const char* group);

// The commands.
void AddCompare(CLI::App* app, Flags* flags);
void AddEncode(CLI::App* app, Flags* flags);
void AddExplain(CLI::App* app, Flags* flags);
void AddLoad(CLI::App* app, Flags* flags);
void AddSession(CLI::App* app, Flags* flags);

// Those of `session` that send or ask content.
void AddSessionAppend(CLI::App* session, Flags* flags);
void AddSessionQuery(CLI::App* session, Flags* flags);
void AddSessionRewind(CLI::App* session, Flags* flags);
void AddSessionEdit(CLI::App* session, Flags* flags);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FLAG_GROUPS_H_
