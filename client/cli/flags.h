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

namespace longhand::client {

struct ConnectionFlags {
  std::string server = "127.0.0.1:50051";
  bool tls = false;
  std::string ca, cert, key, server_name;
  std::string deadline;  // see ParseDeadline; empty: none
  int retries = 3;
  bool verbose = false;
};

struct EncodeFlags {
  std::string file;
  std::string token_ids;  // a file, instead of `file`
  std::string model, mechanism, visibility, chunker, pooling;
  std::optional<float> gate;
  std::optional<uint32_t> chunk_tokens;
  std::vector<std::string> outputs;  // document, chunks, tokens, weights
  std::string format = "table";      // table, json, jsonl, npy
  std::string what;                  // document, chunks, tokens; of npy
  std::string out;                   // empty: standard output
  std::string spans;
  std::string rows = "40";  // a number or "all"
  size_t piece_bytes = 64 << 10;
  std::optional<bool> progress;  // nullopt: if stderr is a terminal
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
  EncodeFlags encode;
  InfoFlags info;
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

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FLAGS_H_
