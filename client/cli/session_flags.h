// What the flags of `longhand session ...` fill in. Plain values.
#ifndef LONGHAND_CLIENT_CLI_SESSION_FLAGS_H_
#define LONGHAND_CLIENT_CLI_SESSION_FLAGS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/option_flags.h"

namespace longhand::client {

// What several of them have.
struct SessionOutputFlags {
  std::string format = "table";  // table, json
  bool quiet = false;            // ids alone, or nothing
};

struct SessionCreateFlags {
  OptionFlags options;
  std::string ttl;  // see ParseDeadline; empty: the server's default
  SessionOutputFlags output;
};

struct SessionListFlags {
  SessionOutputFlags output;
};

struct SessionShowFlags {
  std::string id;
  SessionOutputFlags output;
};

struct SessionDeleteFlags {
  std::vector<std::string> ids;
};

struct SessionAppendFlags {
  std::string id;
  std::string file;
  std::string token_ids;    // a file, instead of `file`
  std::string file_offset;  // a number or "end"; empty: 0, of a pipe "end"
  std::string durability;   // memory, local, shared; empty: the server's
  bool close = false, provisional = false, follow = false, quiet = false;
  size_t piece_bytes = 64 << 10;
  std::string format = "table";  // table, json, jsonl, npy
  std::string out;               // empty: standard output
  std::string row_spans;
  std::string rows = "40";
  std::optional<bool> progress;  // nullopt: if stderr is a terminal
};

struct SessionQueryFlags {
  std::string id;
  std::vector<std::string> questions;
  std::string questions_file;  // a question per line
  uint32_t attended = 5, similar = 5;
  std::optional<float> document_weight;
  bool texts = false;            // in json; tables always show their beginnings
  std::string format = "table";  // table, json
};

struct SessionForkFlags {
  std::string id;
  std::string ttl;
  SessionOutputFlags output;
};

struct SessionRewindFlags {
  std::string id;
  uint64_t offset = 0;
  std::string durability;
  SessionOutputFlags output;
};

struct SessionEditFlags {
  std::string id;
  uint64_t begin = 0;
  std::optional<uint64_t> end;
  std::optional<std::string> text;
  std::string file;  // instead of `text`
  std::string durability;
  SessionOutputFlags output;
};

struct SessionExportFlags {
  std::string id;
  std::string out;
  bool force = false;
};

struct SessionImportFlags {
  std::string file;
  std::string ttl;
  SessionOutputFlags output;
};

struct SessionFlags {
  SessionCreateFlags create;
  SessionListFlags list;
  SessionShowFlags show;
  SessionDeleteFlags remove;
  SessionAppendFlags append;
  SessionQueryFlags query;
  SessionForkFlags fork;
  SessionRewindFlags rewind;
  SessionEditFlags edit;
  SessionExportFlags snapshot;
  SessionImportFlags restore;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_SESSION_FLAGS_H_
