// The output of `longhand load`. Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_LOAD_TEXT_H_
#define LONGHAND_CLIENT_CLI_LOAD_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/load_plan.h"
#include "client/load_recorder.h"
#include "client/load_runner.h"
#include "longhand/v1/model_service.pb.h"

namespace longhand::client {

// What a load was.
struct LoadHead {
  std::string input_name;
  uint64_t input_tokens = 0;
  v1::Model model;
  std::vector<MixClass> mix;
  LoadOptions options;
};

std::string FormatLoad(const LoadHead& head, const LoadReport& report,
                       const Terminal& terminal);

Json LoadToJson(const LoadHead& head, const LoadReport& report);

// At most `width` columns.
std::string FormatLoadProgress(const LoadProgress& progress, int width);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_LOAD_TEXT_H_
