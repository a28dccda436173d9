// The outputs of `longhand compare`. Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_COMPARISON_TEXT_H_
#define LONGHAND_CLIENT_CLI_COMPARISON_TEXT_H_

#include <string>
#include <vector>

#include "client/cli/json_output.h"
#include "client/cli/mechanism_comparison.h"
#include "client/cli/table.h"
#include "longhand/v1/model_service.pb.h"

namespace longhand::client {

// What was compared.
struct ComparisonHead {
  std::string input_name;
  v1::Model model;
  std::string reference;
  int repeat = 1;
};

// A row for each mechanism, then what was left out.
std::string FormatComparison(const ComparisonHead& head,
                             const std::vector<MechanismResult>& results,
                             const Terminal& terminal);

// {"format": "longhand.compare.v1", ..}.
Json ComparisonToJson(const ComparisonHead& head,
                      const std::vector<MechanismResult>& results);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_COMPARISON_TEXT_H_
