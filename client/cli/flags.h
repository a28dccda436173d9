// What the flags of the longhand command fill in, and its command line. Plain
// values; Parse keeps no state.
#ifndef LONGHAND_CLIENT_CLI_FLAGS_H_
#define LONGHAND_CLIENT_CLI_FLAGS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cli/load_flags.h"
#include "client/cli/option_flags.h"
#include "client/cli/session_flags.h"

namespace longhand::client {

inline constexpr int kDefaultRetries = 3;
// Of `session append`: a server that is restarted is waited for.
inline constexpr int kAppendRetries = 20;
// Of `load`: what is refused is what it looks for.
inline constexpr int kLoadRetries = 0;

// The server that LONGHAND_SERVER names, or the usual one.
std::string DefaultServer();
// The file that LONGHAND_TOKEN_FILE names, or "".
std::string DefaultTokenFile();

struct ConnectionFlags {
  std::string server = DefaultServer();
  bool tls = false;
  std::string ca, cert, key, server_name;
  std::string token_file = DefaultTokenFile();
  bool insecure_token_over_plaintext = false;
  std::string deadline;        // see ParseDeadline; empty: none
  std::optional<int> retries;  // nullopt: kDefaultRetries, or of the command
  bool verbose = false;
};

struct CompareFlags {
  std::string file;
  std::vector<std::string> mechanisms;  // empty: all that there are
  std::string reference;                // empty: full, or else the first
  int repeat = 1;
  OptionFlags options;
  size_t piece_bytes = 64 << 10;
  std::string format = "table";  // table, json
  std::string out;               // empty: standard output
  std::optional<bool> progress;  // as in EncodeFlags
};

struct EncodeFlags {
  std::string file;
  std::string token_ids;  // a file, instead of `file`
  OptionFlags options;
  std::string spans;                 // a file, see ParseSpans
  std::vector<std::string> span;     // see ParseSpan
  std::vector<std::string> outputs;  // document, chunks, tokens, weights, ...
  std::string format = "table";      // table, json, jsonl, npy
  std::string what;  // of npy: document, chunks, tokens, spans, weights, ...
  std::string out;   // empty: standard output
  std::string row_spans;
  std::string rows = "40";  // a number or "all"
  size_t piece_bytes = 64 << 10;
  std::optional<bool> progress;  // nullopt: if stderr is a terminal
};

struct ExplainFlags {
  std::string file;
  OptionFlags options;
  std::string out;     // empty: standard output
  std::string format;  // html, svg; empty: by the ending of `out`
  std::string layer = "mean", head = "mean";  // a number or "mean"
  bool mean_only = false;
  std::optional<bool> progress;  // as in EncodeFlags
};

struct HealthFlags {
  std::string service;         // empty: the server as a whole
  std::string timeout = "5s";  // see ParseDeadline
};

struct InfoFlags {
  std::string model;
  std::string format = "table";  // table, json
};

struct TokenizeFlags {
  std::string file;
  std::optional<std::string> text;  // instead of `file`
  std::string model;
  std::string format = "table";  // table, json
  std::string rows = "40";
};

struct Flags {
  ConnectionFlags connection;
  CompareFlags compare;
  EncodeFlags encode;
  ExplainFlags explain;
  HealthFlags health;
  InfoFlags info;
  LoadFlags load;
  SessionFlags session;
  TokenizeFlags tokenize;
};

// The command line, which writes into `flags`. CLI11's exceptions leave its
// parse().
std::unique_ptr<CLI::App> MakeApp(Flags* flags);

// "30s", "1m30s", "500ms", or a number of seconds; nullopt if it is none of
// them or not positive.
std::optional<absl::Duration> ParseDeadline(absl::string_view text);

// A number of rows, -1 for "all"; nullopt otherwise.
std::optional<int64_t> ParseRows(absl::string_view text);

// A layer or a head from 0, -1 for "mean"; nullopt otherwise.
std::optional<int> ParsePlane(absl::string_view text);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FLAGS_H_
