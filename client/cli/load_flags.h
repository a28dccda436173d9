// What the flags of `longhand load` fill in. Plain values.
#ifndef LONGHAND_CLIENT_CLI_LOAD_FLAGS_H_
#define LONGHAND_CLIENT_CLI_LOAD_FLAGS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "client/cli/option_flags.h"

namespace longhand::client {

// Times as ParseDeadline reads them.
struct LoadFlags {
  std::string file;
  std::string token_ids;       // a file, instead of `file`
  std::string input = "text";  // text, ids
  std::string mix = "short:0.8:128,long:0.2:20000";  // see ParseMix
  uint64_t seed = 1;
  std::optional<uint64_t> clients;  // closed loop; 8 without a rate
  std::string ramp_up;              // of a closed loop; empty: none
  std::optional<double> rate;       // open loop
  std::string arrivals = "poisson";
  uint64_t max_outstanding = 1000;
  std::string duration = "10s";
  std::string warm_up;               // empty: 1s; with `requests` none
  std::optional<uint64_t> requests;  // instead of `duration`
  std::string answer_within;         // empty: the deadline
  bool heed_advice = false;
  std::string method = "auto";  // auto, encode, stream
  int connections = 0;          // 0: by the requests under way
  size_t piece_bytes = 64 << 10;
  OptionFlags options;
  std::string format = "table";  // table, json
  std::string out;               // empty: standard output
  std::optional<bool> progress;  // nullopt: if stderr is a terminal
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_LOAD_FLAGS_H_
